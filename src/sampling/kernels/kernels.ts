/** Which array is read: the model's logits, the adjusted ones in float64, or those kept by keepLargest() or keepAbove(). */
export const LOGITS = 0;
export const ADJUSTED = 1;
export const KEPT = 2;
export type Source = typeof LOGITS | typeof ADJUSTED | typeof KEPT;

/**
 * The passes over a whole vocabulary that drawing a token takes, and the arrays that they work on; n is at most their
 * length. The tokens that may still be drawn are the first `count` of `ids`, in rising order, and of `weights`.
 */
export interface Kernels {
  readonly logits: Float32Array;
  readonly adjusted: Float64Array;
  readonly kept: Float64Array;
  readonly ids: Uint32Array;
  /** e^exponent. */
  readonly weights: Float64Array;
  /** (logit - max) / temperature, after a weigh() that isMeasured; after measure(), their distances. */
  readonly exponents: Float64Array;
  /** The places found by findHeavy() and findBin(), in rising order. */
  readonly places: Uint32Array;
  /** [BINS] */
  readonly bins: Float64Array;
  /** The sum of the weights, in order, after weigh(), keepPlaces() and keepNear(). */
  readonly total: number;
  /** After a weigh() that isMeasured: the sum of the weights, each times its exponent. */
  readonly moment: number;
  /** After a weigh() that isMeasured: the least exponent of a weight above 0. */
  readonly lowest: number;
  /** After sumOfRest(): the sum of the weights left out, with e^x in float32. */
  readonly rest: number;
  /** An upper bound of its error. */
  readonly error: number;
  /** The sum of those weights, each times its exponent, and an upper bound of its error. */
  readonly restMoment: number;
  readonly momentError: number;

  /** The place of the largest of n logits, of equals the first; -1 where one is NaN or Infinity, or all are -Infinity. */
  argmax(source: Source, n: number): number;
  /** Copies n logits to `adjusted`. */
  widen(n: number): void;
  /** Numbers the first n ids from 0. */
  keepAll(n: number): void;
  /** Keeps the k largest of n values, and all that tie with the least of them. @returns how many */
  keepLargest(source: Source, n: number, k: number): number;
  /** Keeps the values of at least a bound, which is rounded to float32 for LOGITS. @returns how many */
  keepAbove(source: Source, n: number, bound: number): number;
  /** Turns `count` values into weights; the bits of each are expNegative()'s. @param isMeasured for keepTypical() */
  weigh(source: Source, count: number, max: number, temperature: number, isMeasured: boolean): void;
  /** Finds the weights of at least `least`. @returns how many */
  findHeavy(count: number, least: number): number;
  /** Keeps the tokens at the first `count` places. */
  keepPlaces(count: number): void;
  /** Turns exponents into distances from `mean`, and adds each weight to the bin distance * scale, rounded. */
  measure(count: number, mean: number, scale: number, bins: number): void;
  /** Finds the tokens of a bin whose weights are above 0. @returns how many */
  findBin(count: number, bin: number, scale: number): number;
  /** How many tokens' distance is at most `limit`. */
  countNear(count: number, limit: number): number;
  /** Keeps the tokens whose distance is at most `limit`, and whose weight is above 0. @returns how many */
  keepNear(count: number, limit: number): number;
  /** The first place at which the sum of the weights is above target; `count` where there is none. */
  walk(count: number, target: number): number;
  /**
   * The place that weigh() and walk(n, u * total) find for n values, from sums of e^x in float32; -1 if a boundary
   * between two tokens is so near that only exact sums can decide.
   */
  drawRoughly(source: Source, n: number, max: number, temperature: number, u: number): number;
  /** sum(e^(logit - max)) of n logits, each e^x in float32: right to some 1e-7 of the sum. @param max the largest of them */
  sumOfExp(n: number, max: number): number;
  /** Sums up what keepAbove(source, n, bound) leaves out. */
  sumOfRest(source: Source, n: number, max: number, temperature: number, bound: number): void;
  /** The rank of an id's logit among n: 1 for the largest; of equals the smaller id comes first. */
  rankOf(n: number, id: number): number;
}

/** How many bins tokens are sorted into by their distance: see ../typical.ts. */
export const BINS = 4096;
