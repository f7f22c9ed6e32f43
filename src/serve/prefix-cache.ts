import type { Engine, Sequence } from "../model/engine.js";

/** Positions in an engine's page of keys and values. */
const PAGE = 32;

/** A sequence, and the tokens that it has read or is about to read. */
interface Kept {
  readonly sequence: Sequence;
  readonly ids: readonly number[];
}

/** The length of two lists' common prefix. */
export function commonLength(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}

const roomOf = (ids: readonly number[]): number => Math.ceil(ids.length / PAGE) * PAGE;

/**
 * Keeps recent sequences, so that prompts with the same beginning need not be computed again. Frees the least recently
 * used when there are too many.
 */
export class PrefixCache {
  /** Least recently used first. */
  #kept: Kept[] = [];
  #tokens = 0;

  /** @param capacity the most tokens kept; those that sequences share count for each */
  constructor(
    private readonly engine: Engine,
    private readonly capacity: number,
  ) {}

  /** Tokens kept, in whole pages. */
  get tokens(): number {
    return this.#tokens;
  }

  /** The longest prefix of the ids, at most `most` tokens, that a kept sequence has read. */
  find(ids: readonly number[], most: number): number {
    return Math.max(0, ...this.#kept.map((kept) => Math.min(commonLength(kept.ids, ids), most)));
  }

  /** A sequence that has read the first `length` ids, from find(): a copy, or a kept one that ends there. */
  take(ids: readonly number[], length: number): Sequence {
    const index = this.#kept.findLastIndex((kept) => commonLength(kept.ids, ids) >= length);
    const kept = this.#kept[index];
    if (kept.ids.length === length) {
      this.#remove(index);
      return kept.sequence;
    }
    const copy = this.engine.fork(kept.sequence, length);
    this.#kept.push(...this.#kept.splice(index, 1)); // used just now
    return copy;
  }

  /** Keeps a sequence that nobody is using, or frees it. @param ids what it has read */
  keep(sequence: Sequence, ids: readonly number[]): void {
    // A sequence that is a prefix of another is not needed.
    for (let i = this.#kept.length - 1; i >= 0; i--) {
      const common = commonLength(this.#kept[i].ids, ids);
      if (common === ids.length) {
        this.engine.free(sequence);
        this.#kept.push(...this.#kept.splice(i, 1));
        return;
      }
      if (common === this.#kept[i].ids.length) this.engine.free(this.#remove(i).sequence);
    }
    if (ids.length === 0 || roomOf(ids) > this.capacity) {
      this.engine.free(sequence);
      return;
    }
    this.#kept.push({ sequence, ids });
    this.#tokens += roomOf(ids);
    while (this.#tokens > this.capacity) this.engine.free(this.#remove(0).sequence);
  }

  /** Frees all sequences. @returns whether there were any */
  clear(): boolean {
    const wasEmpty = this.#kept.length === 0;
    while (this.#kept.length > 0) this.engine.free(this.#remove(0).sequence);
    return !wasEmpty;
  }

  #remove(index: number): Kept {
    const [kept] = this.#kept.splice(index, 1);
    this.#tokens -= roomOf(kept.ids);
    return kept;
  }
}
