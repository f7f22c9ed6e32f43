/** Where values are read: the model's logits, logits in float64 that were changed, or those that a keep...() kept. */
export const LOGITS = 0;
export const ADJUSTED = 1;
export const KEPT = 2;
export type Source = typeof LOGITS | typeof ADJUSTED | typeof KEPT;

/**
 * What drawing a token does to every token of a vocabulary, and the arrays on which it works; n is at most their
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
  /** What the find...() functions found, in rising order. */
  readonly places: Uint32Array;
  /** [BINS] */
  readonly bins: Float64Array;
  /** The sum of the weights, in order, after weigh() and the keep...() that follow it. */
  readonly total: number;
  /** After a weigh() that isMeasured: the sum of the weights, each times its exponent. */
  readonly moment: number;
  /** After a weigh() that isMeasured: the least exponent of a weight above 0. */
  readonly lowest: number;
  /** After sumOfRest(): the sum of the weights of what was not kept, by e^x in float32. */
  readonly rest: number;
  /** The most that it may differ from the sum of weigh()'s weights. */
  readonly error: number;
  /** The same of the sum of those weights, each times its exponent. */
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
   * The place that weigh() and walk(n, u * total) find for n values, by sums of e^x in float32, in a fourth of the time;
   * -1 where a boundary lies so near that only exact sums can tell.
   */
  drawRoughly(source: Source, n: number, max: number, temperature: number, u: number): number;
  /** sum(e^(logit - max)) of n logits, each e^x in float32: right to some 1e-7 of the sum. @param max the largest of them */
  sumOfExp(n: number, max: number): number;
  /** Sums up what keepAbove(source, n, bound) leaves out. */
  sumOfRest(source: Source, n: number, max: number, temperature: number, bound: number): void;
  /** How many of n logits are larger than that of an id, or equal with a smaller id, plus 1. */
  rankOf(n: number, id: number): number;
}

/** Tokens are parted by their distance into so many bins: see ../typical.ts. */
export const BINS = 4096;
