import { PriorityQueue } from "./priority-queue.js";

/** Two tokens that stand side by side. */
export interface Pair {
  readonly left: number;
  readonly right: number;
  /** How often, over all pieces. */
  count: number;
  /** Where the left one stands, or once stood, in ascending order. */
  places: number[];
}

interface Queued {
  readonly pair: Pair;
  /** Its count when it was queued. */
  readonly count: number;
}

const NONE = -1;

/**
 * Pieces of a text as tokens, and how often each pair of tokens stands side by side. A merge changes the counts
 * of the pairs around it and no others, so the time of all merges together is nearly linear in the pieces.
 * Source of the method: Sennrich et al. 2016 (arXiv:1508.07909), section 3.2.
 */
export class PairCounts {
  /** [n_symbols]: the token at each place, NONE where it was merged into the one before it. */
  readonly #ids: Int32Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** [n_symbols]: the number of the piece. */
  readonly #piece: Int32Array;
  readonly #weights: readonly number[];
  readonly #pairs = new Map<number, Pair>();
  readonly #limit: number;
  /** Most frequent first, then the smaller left id, then the smaller right id. */
  readonly #queue = new PriorityQueue<Queued>(
    (a, b) =>
      a.count > b.count ||
      (a.count === b.count &&
        (a.pair.left < b.pair.left || (a.pair.left === b.pair.left && a.pair.right < b.pair.right))),
  );

  /**
   * @param ids the tokens of all pieces, one after the other; it is changed
   * @param ends where each piece ends
   * @param weights how often each piece stands in the text
   * @param limit every id, later ones too, is below it
   */
  constructor(ids: Int32Array, ends: Int32Array, weights: readonly number[], limit: number) {
    this.#ids = ids;
    this.#weights = weights;
    this.#limit = limit;
    this.#next = new Int32Array(ids.length);
    this.#previous = new Int32Array(ids.length);
    this.#piece = new Int32Array(ids.length);
    let place = 0;
    ends.forEach((end, piece) => {
      for (let begin = place; place < end; place++) {
        this.#piece[place] = piece;
        this.#previous[place] = place > begin ? place - 1 : NONE;
        this.#next[place] = place + 1 < end ? place + 1 : NONE;
        if (place + 1 < end) this.#add(ids[place]!, ids[place + 1]!, weights[piece]!, place);
      }
    });
    for (const pair of this.#pairs.values()) this.#queue.push({ pair, count: pair.count });
  }

  /** The pair that stands most often, the smaller ids first; undefined where none stands `least` times. */
  best(least: number): Pair | undefined {
    for (let queued = this.#queue.pop(); queued; queued = this.#queue.pop()) {
      const { pair, count } = queued;
      if (pair.count < least) continue;
      if (count === pair.count) return pair;
      this.#queue.push({ pair, count: pair.count }); // it has become fewer: its turn comes later
    }
    return undefined;
  }

  /**
   * Merges a pair at all its places, in each piece from left to right. All pairs that this makes have the new
   * token in them, so their places are found in one sweep, in order, and later merges only take from them.
   * @param result an id that is not used yet
   */
  merge(pair: Pair, result: number): void {
    const { left, right, places } = pair;
    const ids = this.#ids;
    const made = new Set<Pair>();
    for (const place of places) {
      const second = this.#next[place]!;
      if (ids[place] !== left || second === NONE || ids[second] !== right) continue; // an earlier merge took it
      const weight = this.#weights[this.#piece[place]!]!;
      const before = this.#previous[place]!;
      const after = this.#next[second]!;
      if (before !== NONE) {
        this.#take(ids[before]!, left, weight);
        made.add(this.#add(ids[before]!, result, weight, before));
      }
      if (after !== NONE) {
        this.#take(right, ids[after]!, weight);
        made.add(this.#add(result, ids[after]!, weight, place));
        this.#previous[after] = place;
      }
      ids[place] = result;
      ids[second] = NONE;
      this.#next[place] = after;
    }
    this.#pairs.delete(left * this.#limit + right);
    pair.places = [];
    for (const each of made) this.#queue.push({ pair: each, count: each.count });
  }

  #add(left: number, right: number, weight: number, place: number): Pair {
    const key = left * this.#limit + right;
    let pair = this.#pairs.get(key);
    if (!pair) {
      pair = { left, right, count: 0, places: [] };
      this.#pairs.set(key, pair);
    }
    pair.count += weight;
    pair.places.push(place);
    return pair;
  }

  #take(left: number, right: number, weight: number): void {
    const pair = this.#pairs.get(left * this.#limit + right);
    if (pair) pair.count -= weight;
  }
}
