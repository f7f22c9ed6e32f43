import { PriorityQueue } from "./priority-queue.js";

/** Two adjacent tokens. */
export interface Pair {
  readonly left: number;
  readonly right: number;
  /** How often they occur in all pieces. */
  count: number;
  /** Where the left one is, or once was, in ascending order. */
  places: number[];
}

interface Queued {
  readonly pair: Pair;
  /** Its count when it was queued. */
  readonly count: number;
}

const NONE = -1;

/**
 * A text's pieces as tokens, and the count of every adjacent pair. A merge changes only the counts of pairs around it,
 * so all merges together take time nearly linear in the pieces.
 * Source of the method: Sennrich et al. 2016 (arXiv:1508.07909), section 3.2.
 */
export class PairCounts {
  /** [n_symbols]: the token at each place; NONE after it was merged into the one before. */
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
   * @param ids the tokens of all pieces in turn: [n_symbols]; merges change it
   * @param ends where each piece ends: [n_pieces]
   * @param weights how often each piece occurs in the text: [n_pieces]
   * @param limit above every id, later ones included
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

  /** The most frequent pair, of equals the one with the smaller ids; undefined if none occurs `least` times. */
  best(least: number): Pair | undefined {
    for (let queued = this.#queue.pop(); queued; queued = this.#queue.pop()) {
      const { pair, count } = queued;
      if (pair.count < least) continue;
      if (count === pair.count) return pair;
      this.#queue.push({ pair, count: pair.count }); // its count has fallen: it waits for its turn
    }
    return undefined;
  }

  /**
   * Merges a pair at all its places, in each piece from left to right. Every new pair contains the new token, so one
   * sweep finds its places in order, and later merges only remove some.
   * @param result an unused id
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
