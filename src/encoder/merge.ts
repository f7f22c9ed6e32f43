import { PriorityQueue } from "./priority-queue.js";

/** The merges in order of rank: `left` and `right` become `result`. Each column is [n_merges]. */
export interface Merges {
  readonly left: Int32Array;
  readonly right: Int32Array;
  readonly result: Int32Array;
  /** pairTable() of these merges, if it exists already: [pairSlots(n_merges), 3]. */
  readonly table?: Int32Array;
}

/** The number of slots in the table for n merges: a power of two. */
export function pairSlots(merges: number): number {
  let slots = 16;
  while (slots < 2 * merges) slots *= 2;
  return slots;
}

/** The start of the slot that holds a pair, or else of the free slot for it; assembly/vocabulary/ does the same. */
function slotOf(table: Int32Array, left: number, right: number): number {
  const slots = table.length / 3;
  const hash = Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
  let at = 3 * ((hash ^ (hash >>> 15)) & (slots - 1));
  while (table[at] !== -1 && (table[at] !== left || table[at + 1] !== right)) {
    at = at + 3 === table.length ? 0 : at + 3;
  }
  return at;
}

/** The hash table of pairs and ranks. For a pair listed twice the later rank counts, as in OpenAI's encoder. */
export function pairTable({ left, right }: Merges): Int32Array {
  const table = new Int32Array(3 * pairSlots(left.length)).fill(-1);
  for (let rank = 0; rank < left.length; rank++) {
    table.set([left[rank], right[rank], rank], slotOf(table, left[rank], right[rank]));
  }
  return table;
}

/** Up to this many bytes the simple loop is faster than mergeLong's bookkeeping. */
const SHORT = 48;

/**
 * Byte pair encoding: repeatedly replaces the adjacent pair of the lowest rank by its result, everywhere from left to
 * right, until no pair can be merged.
 * Source: Sennrich et al. 2016 (arXiv:1508.07909); openai/gpt-2 src/encoder.py.
 */
export class Merger {
  /** Open addressing: each slot is [left, right, rank], with left -1 in a free one. */
  readonly #slots: Int32Array;
  readonly #merges: Merges;
  /** For each rank, the places in the piece where its pair waits; all undefined between pieces. */
  readonly #places: (number[] | undefined)[];

  constructor(merges: Merges) {
    this.#slots = merges.table ?? pairTable(merges);
    this.#merges = merges;
    this.#places = new Array(merges.left.length).fill(undefined);
  }

  /** A pair's place in the list of merges; -1 if it is not there. */
  #rankOf(left: number, right: number): number {
    return this.#slots[slotOf(this.#slots, left, right) + 2]!;
  }

  /**
   * Merges the tokens of one piece in place.
   * @param ids the tokens of the piece's bytes come first: [>= n]
   * @param n the number of bytes
   * @returns the number of tokens that remain at the front of ids
   */
  merge(ids: Int32Array, n: number): number {
    return n <= SHORT ? this.#mergeShort(ids, n) : this.#mergeLong(ids, n);
  }

  #mergeShort(ids: Int32Array, n: number): number {
    const merges = this.#merges;
    let length = n;
    for (;;) {
      let lowest = -1;
      for (let i = 0; i + 1 < length; i++) {
        const rank = this.#rankOf(ids[i]!, ids[i + 1]!);
        if (rank !== -1 && (lowest === -1 || rank < lowest)) lowest = rank;
      }
      if (lowest === -1) return length;
      const left = merges.left[lowest]!;
      const right = merges.right[lowest]!;
      const result = merges.result[lowest]!;
      let kept = 0;
      for (let i = 0; i < length; kept++) {
        const found = ids[i] === left && i + 1 < length && ids[i + 1] === right;
        ids[kept] = found ? result : ids[i]!;
        i += found ? 2 : 1;
      }
      length = kept;
    }
  }

  /** The same in O(n log n): a linked list of tokens, and for every rank the places where its pair waits. */
  #mergeLong(ids: Int32Array, n: number): number {
    const next = new Int32Array(n);
    const previous = new Int32Array(n);
    const merges = this.#merges;
    const places = this.#places;
    const ranks = new PriorityQueue<number>((a, b) => a < b);
    const note = (place: number): void => {
      if (place < 0 || next[place] === n) return;
      const rank = this.#rankOf(ids[place]!, ids[next[place]!]!);
      if (rank === -1) return;
      const waiting = places[rank];
      if (waiting) {
        waiting.push(place);
      } else {
        places[rank] = [place];
        ranks.push(rank);
      }
    };
    for (let i = 0; i < n; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
      note(i);
    }
    for (let rank = ranks.pop(); rank !== undefined; rank = ranks.pop()) {
      const left = merges.left[rank]!;
      const right = merges.right[rank]!;
      const result = merges.result[rank]!;
      const waiting = places[rank]!;
      places[rank] = undefined;
      // Already in order from left to right: all places of a pair are noted in one sweep, because a token is made
      // in the same round wherever it occurs.
      for (const place of waiting) {
        const second = next[place]!;
        // An earlier merge may have taken either half.
        if (ids[place] !== left || ids[second] !== right) continue;
        ids[place] = result;
        ids[second] = -1;
        next[place] = next[second]!;
        if (next[place] !== n) previous[next[place]!] = place;
        note(previous[place]!);
        note(place);
      }
    }
    let kept = 0;
    for (let i = 0; i < n; i = next[i]!) ids[kept++] = ids[i]!;
    return kept;
  }
}
