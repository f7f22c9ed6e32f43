import type { Sequence } from "../model/engine.js";

/** A sequence and its pages, each holding a few positions' keys and values for every layer. */
export class CachedSequence implements Sequence {
  length = 0;
  pages: number[] = [];
}

/** A key/value cache in pages: it grows page by page with use, and forks share full pages. */
export abstract class PagedCache {
  /** How many sequences hold a page. */
  private readonly holders = new Map<number, number>();
  private readonly sequences = new Set<CachedSequence>();

  /** @param positions in a page */
  constructor(private readonly positions: number) {}

  /** A page that nobody holds. @throws UserError when there is no memory left */
  protected abstract allocate(): number;
  /** Takes back a page that nobody holds any more. */
  protected abstract release(page: number): void;
  /** Copies a page's keys and values to another. */
  protected abstract copy(from: number, to: number): void;

  /** A new, empty sequence. */
  create(): CachedSequence {
    const sequence = new CachedSequence();
    this.sequences.add(sequence);
    return sequence;
  }

  /** @throws RangeError when the sequence is not of this cache, or has been freed */
  check(sequence: Sequence): CachedSequence {
    if (sequence instanceof CachedSequence && this.sequences.has(sequence)) return sequence;
    throw new RangeError("no sequence of this engine, or one that has been freed");
  }

  /** How many pages a sequence lacks for this many positions. */
  protected missing({ pages }: CachedSequence, length: number): number {
    return Math.max(0, Math.ceil(length / this.positions) - pages.length);
  }

  /** Allocates pages for this many positions. @throws UserError when there is no memory left */
  reserve(sequence: CachedSequence, length: number): void {
    for (let missing = this.missing(sequence, length); missing > 0; missing--) {
      const page = this.allocate();
      this.holders.set(page, 1);
      sequence.pages.push(page);
    }
  }

  /**
   * A sequence that continues from where this one is. Full pages are shared, as nothing writes to them again.
   * @param length how many of its first positions the fork has
   */
  fork(from: CachedSequence, length = from.length): CachedSequence {
    const fork = this.create();
    fork.length = length;
    const full = Math.floor(length / this.positions);
    try {
      for (const page of from.pages.slice(0, full)) {
        this.holders.set(page, this.holders.get(page)! + 1);
        fork.pages.push(page);
      }
      if (full * this.positions < length) {
        this.reserve(fork, length);
        this.copy(from.pages[full], fork.pages[full]);
      }
    } catch (error) {
      this.free(fork);
      throw error;
    }
    return fork;
  }

  /** Frees a sequence; its pages go when no other holds them. */
  free(sequence: CachedSequence): void {
    this.sequences.delete(sequence);
    for (const page of sequence.pages) {
      const holders = this.holders.get(page)! - 1;
      if (holders > 0) this.holders.set(page, holders);
      else {
        this.holders.delete(page);
        this.release(page);
      }
    }
    sequence.pages = [];
  }
}
