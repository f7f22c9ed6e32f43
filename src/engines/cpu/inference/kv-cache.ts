import { PAGE, PANEL } from "../../../../assembly/abi.js";
import type { Sequence } from "../../../model/engine.js";
import type { Hparams } from "../../../model/hparams.js";
import type { Heap } from "../runtime/heap.js";

/** A sequence with the addresses of its pages, each of them PAGE positions of keys and values for every layer. */
export class CachedSequence implements Sequence {
  length = 0;
  pages: number[] = [];
}

/** The key/value cache: grows with what is used, page by page; forks share full pages. */
export class Cache {
  /** Bytes of one layer in a page: keys [n_head, 4, n_state, 8], values [n_head, ceil(n_state / 8), 32, 8]. */
  readonly layerBytes: number;
  private readonly pageBytes: number;
  /** How many sequences hold a page. */
  private readonly holders = new Map<number, number>();
  private readonly sequences = new Set<CachedSequence>();

  constructor(
    private readonly heap: Heap,
    hparams: Hparams,
  ) {
    const n_state = hparams.n_embd / hparams.n_head;
    this.layerBytes = hparams.n_head * PAGE * (n_state + Math.ceil(n_state / PANEL) * PANEL) * 4;
    this.pageBytes = hparams.n_layer * this.layerBytes;
  }

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

  /** Allocates pages for this many positions. @throws UserError when there is no memory left */
  reserve(sequence: CachedSequence, length: number): void {
    while (sequence.pages.length * PAGE < length) {
      const page = this.heap.allocate(this.pageBytes);
      this.holders.set(page, 1);
      sequence.pages.push(page);
    }
  }

  /** @param length how many of its first positions the copy has */
  fork(from: CachedSequence, length = from.length): CachedSequence {
    const copy = this.create();
    copy.length = length;
    const full = Math.floor(length / PAGE); // never written to again
    try {
      for (const page of from.pages.slice(0, full)) {
        this.holders.set(page, this.holders.get(page)! + 1);
        copy.pages.push(page);
      }
      if (full * PAGE < length) {
        this.reserve(copy, length);
        const page = from.pages[full];
        new Uint8Array(this.heap.memory.buffer).copyWithin(copy.pages[full], page, page + this.pageBytes);
      }
    } catch (error) {
      this.free(copy);
      throw error;
    }
    return copy;
  }

  free(sequence: CachedSequence): void {
    this.sequences.delete(sequence);
    for (const page of sequence.pages) {
      const holders = this.holders.get(page)! - 1;
      if (holders > 0) this.holders.set(page, holders);
      else {
        this.holders.delete(page);
        this.heap.release(page);
      }
    }
    sequence.pages = [];
  }
}
