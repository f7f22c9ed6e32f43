/** Drawing a token from logits: all arithmetic is float64 and in a fixed order, so that a seed gives one text. */

import type { SomeLogits } from "../model/engine.js";
import { UserError } from "../system/errors.js";
import { expNegative } from "../system/exact-math.js";
import { type AdjustOptions, type DrawTokens, makeAdjust } from "./adjust.js";
import { Mirostat } from "./mirostat.js";
import type { Past } from "./penalties.js";
import { makeTypical } from "./typical.js";

/** What shapes the distribution that tokens are drawn from. */
export interface DrawOptions extends AdjustOptions {
  /** Logits are divided by it; 0 takes the likeliest token, always. */
  readonly temperature: number;
  /** Only the k likeliest tokens can be drawn, with all that tie with the k-th; 0 = all. */
  readonly top_k: number;
  /** Only the smallest set of likeliest tokens whose probability reaches p can be drawn; 1 = all. */
  readonly top_p: number;
  /** Only tokens at least this many times as probable as the likeliest one can be drawn; 0 = all. */
  readonly min_p?: number;
  /** Only the tokens that surprise about as much as one expects, together p probable, can be drawn; 1 = all. */
  readonly typical_p?: number;
  /** Mirostat's surprise, in bits a token; 0 = off. */
  readonly mirostat_tau?: number;
}

/** The largest bias: far beyond every logit, and far from the largest number there is. */
const MAX_BIAS = 1e9;

/** Whether a number can be a token's bias: from -1e9 to 1e9, or -Infinity. */
export function isBias(value: unknown): value is number {
  return typeof value === "number" && (Math.abs(value) <= MAX_BIAS || value === Number.NEGATIVE_INFINITY);
}

/** What is wrong with biases for a model with n_vocab tokens, in words that follow their name; or undefined. */
export function faultOfBias(bias: ReadonlyMap<number, number>, n_vocab: number): string | undefined {
  for (const id of bias.keys()) {
    if (id >= n_vocab) return `: the model has no token ${id}, its ids are 0 to ${n_vocab - 1}`;
  }
  const isBanned = bias.size === n_vocab && [...bias.values()].every((value) => value === -Infinity);
  return isBanned ? " must leave the model a token to write" : undefined;
}

/** Said of logits of which no token can be drawn, nor a score be had. */
export const NOT_NUMBERS =
  "the model's logits are not numbers: its weights are damaged or overflow float32: download or train it again";

export const NONE_LEFT = "logit_bias, bad_words and no_repeat_ngram_size leave the model no token to write";

export interface Draw {
  /**
   * Draws a token id from logits [n_vocab], which it leaves as they are, with a uniform random number in [0, 1).
   * @param logits where `largest` is not 0, so many of the largest are enough, and the token is the same
   */
  (logits: Float32Array | SomeLogits, u: number, past?: Past): number;
  /** How many of the largest logits it needs, with all that tie with the last of them; 0 = all logits. */
  readonly largest: number;
}

const NO_PAST: Past = { context: [], drawn: 0 };

/** float32 as the engine gives them, float64 where something was added. */
type Logits = Float32Array | Float64Array;

/**
 * Finds the k largest of the values, 1 <= k <= values.length, in one pass.
 * @param heap [k] afterwards they are in it, the least of them first
 * @param places [values.length] afterwards it begins with the places, in order, of all values that are at least
 *   heap[0], and of others that were among the k largest when the pass came to them
 * @returns how many places those are
 */
function findLargest(values: Logits, k: number, heap: Logits, places: Uint32Array): number {
  const sink = (start: number): void => {
    const value = heap[start];
    let i = start;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= k) break;
      if (child + 1 < k && heap[child + 1] < heap[child]) child++;
      if (heap[child] >= value) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = value;
  };
  for (let i = 0; i < k; i++) {
    heap[i] = values[i];
    places[i] = i;
  }
  for (let i = (k >> 1) - 1; i >= 0; i--) sink(i);
  let count = k;
  let least = heap[0];
  for (let i = k; i < values.length; i++) {
    const value = values[i];
    if (value < least) continue;
    places[count++] = i;
    if (value === least) continue;
    heap[0] = value;
    sink(0);
    least = heap[0];
  }
  return count;
}

/** The place of the largest logit, the first of them where several are equal. */
export function argmax(logits: Logits): number {
  let best = -1;
  let max = -Infinity;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i];
    if (logit <= max) continue;
    if (Number.isNaN(logit)) return -1;
    max = logit;
    best = i;
  }
  return max < Infinity ? best : -1;
}

/**
 * Makes the function that draws tokens, in this order: what adjust.ts does to logits, in its order; logits /
 * temperature; top_k; typical_p (typical.ts); top_p; min_p (Nguyen et al. 2024, arXiv 2407.01082); Mirostat, over what
 * the others left (mirostat.ts); and one draw by walking the kept tokens' cumulative probability in order of id.
 * Differs from the original (openai/gpt-2 src/sample.py) in two points that were faults there: the token that
 * crosses top_p is kept, and temperature 0 means greedy.
 * @param n_vocab length of the logits that will come
 * @throws UserError, RangeError as makeAdjust(); from the returned function: UserError when logits are not finite
 *   numbers, or none is left
 */
export function makeDraw(
  n_vocab: number,
  options: DrawOptions,
  tokens: DrawTokens = { ends: new Set() },
): Draw {
  const { temperature, top_k, top_p, min_p = 0, typical_p = 1, mirostat_tau = 0 } = options;
  const adjust = makeAdjust(n_vocab, options, tokens);
  const keepTypical = typical_p < 1 ? makeTypical(n_vocab, typical_p) : undefined;
  const mirostat = mirostat_tau > 0 ? new Mirostat(mirostat_tau) : undefined;
  const k = top_k > 0 && top_k < n_vocab ? top_k : 0;
  const heap = adjust ? new Float64Array(k) : new Float32Array(k);
  const places = new Uint32Array(k > 0 ? n_vocab : 0);
  const ids = new Uint32Array(n_vocab);
  const weights = new Float64Array(n_vocab);
  const exponents = keepTypical && new Float64Array(n_vocab);

  /** Reduces the first `count` of ids and weights to the nucleus, still in order of id; returns its size. */
  const keepTopP = (count: number, total: number): number => {
    const wanted = top_p * total;
    // Sorting 50,000 tokens takes ten times longer than all else, and the nucleus nearly always lies among
    // the few heavy ones: try those first.
    for (const cutoff of [1e-3, 1e-6, 0]) {
      const order: number[] = [];
      for (let i = 0; i < count; i++) if (weights[i] >= cutoff) order.push(i);
      order.sort((a, b) => weights[b] - weights[a] || a - b);
      let reached = 0;
      let size = 0;
      while (size < order.length && reached < wanted) reached += weights[order[size++]];
      if (reached < wanted && cutoff > 0) continue;
      const nucleus = order.slice(0, Math.max(size, 1)).sort((a, b) => a - b);
      for (let i = 0; i < nucleus.length; i++) {
        ids[i] = ids[nucleus[i]];
        weights[i] = weights[nucleus[i]];
      }
      return nucleus.length;
    }
    return count;
  };

  /** Reduces the first `count` of ids and weights to those of at least min_p; the likeliest token weighs 1. */
  const keepMinP = (count: number): number => {
    let kept = 0;
    for (let i = 0; i < count; i++) {
      if (weights[i] < min_p) continue;
      ids[kept] = ids[i];
      weights[kept] = weights[i];
      kept++;
    }
    return kept;
  };

  const draw = (given: Float32Array | SomeLogits, u: number, past = NO_PAST): number => {
    const [raw, some] = given instanceof Float32Array ? [given, undefined] : [given.logits, given.ids];
    let best = argmax(raw);
    if (best < 0) {
      throw new UserError(NOT_NUMBERS);
    }
    const logits = adjust ? adjust(raw, past) : raw;
    if (adjust) best = argmax(logits);
    if (best < 0) throw new UserError(NONE_LEFT);
    if (temperature === 0) return some ? some[best] : best;
    const max = logits[best];
    const found = k > 0 ? findLargest(logits, k, heap, places) : logits.length;
    const threshold = k > 0 ? heap[0] : -Infinity;
    let count = 0;
    let total = 0;
    for (let at = 0; at < found; at++) {
      const i = k > 0 ? places[at] : at;
      const logit = logits[i];
      if (logit < threshold) continue;
      const exponent = (logit - max) / temperature;
      const weight = expNegative(exponent);
      if (exponents) exponents[count] = exponent;
      ids[count] = some ? some[i] : i;
      weights[count] = weight;
      total += weight;
      count++;
    }
    if (exponents && keepTypical) {
      count = keepTypical({ ids, weights, exponents }, count);
      total = sum(weights, count);
    }
    if (top_p < 1) count = keepTopP(count, total);
    if (min_p > 0) count = keepMinP(count);
    if (mirostat) count = mirostat.keep({ ids, weights }, count, past.state);
    if (top_p < 1 || min_p > 0 || mirostat) total = sum(weights, count);
    const at = walk(weights, count, u * total);
    // Behind all of them only where u * total rounds up to total.
    const place = at < count ? at : likeliestOf(weights, count);
    if (mirostat && past.state) mirostat.observe(weights[place] / total, past.state);
    return ids[place];
  };
  const largest = adjust ? 0 : temperature === 0 ? 1 : k;
  return Object.assign(draw, { largest });
}

function sum(weights: Float64Array, count: number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += weights[i];
  return total;
}

/** The place at which the cumulative weight goes beyond the target; `count` where it does not. */
function walk(weights: Float64Array, count: number, target: number): number {
  let cumulative = 0;
  for (let i = 0; i < count; i++) {
    cumulative += weights[i];
    if (cumulative > target) return i;
  }
  return count;
}

/** The place of the largest weight, the first of them where several are equal. */
function likeliestOf(weights: Float64Array, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) if (weights[i] > weights[best]) best = i;
  return best;
}
