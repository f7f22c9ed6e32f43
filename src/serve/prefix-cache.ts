import type { Engine, Sequence } from "../model/engine.js";

/** Engines keep keys and values in pages of so many positions. */
const PAGE = 32;

/** A sequence and the tokens that it has read, or will have read when it has come so far. */
interface Kept {
  readonly sequence: Sequence;
  readonly ids: readonly number[];
}

/** How many ids two lists have in common from the beginning. */
export function commonLength(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}

const roomOf = (ids: readonly number[]): number => Math.ceil(ids.length / PAGE) * PAGE;

/**
 * Sequences that were read lately, so that what begins with the same tokens need not be computed again. Those used
 * least recently are freed when there are too many.
 */
export class PrefixCache {
  /** The least recently used first. */
  #kept: Kept[] = [];
  #tokens = 0;

  /** @param capacity tokens that may be kept; what sequences share is counted for each */
  constructor(
    private readonly engine: Engine,
    private readonly capacity: number,
  ) {}

  /** Tokens that are kept, in whole pages. */
  get tokens(): number {
    return this.#tokens;
  }

  /** How many of the ids' first tokens, at most `most`, one of the sequences has read. */
  find(ids: readonly number[], most: number): number {
    return Math.max(0, ...this.#kept.map((kept) => Math.min(commonLength(kept.ids, ids), most)));
  }

  /** A sequence that has read the first `length` of the ids, as find() said: a copy, or a kept one that ends there. */
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
    // Of two that begin alike the longer one does for both.
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

  /** Frees all; whether there were any. */
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
