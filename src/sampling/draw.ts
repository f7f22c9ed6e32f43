/** Drawing a token from logits: all arithmetic is float64 and in a fixed order, so that a seed gives one text. */

import type { SomeLogits } from "../model/engine.js";
import { UserError } from "../system/errors.js";
import { type AdjustOptions, type DrawTokens, makeAdjust } from "./adjust.js";
import { kernelsFor } from "./kernels/create.js";
import type { Kernels } from "./kernels/kernels.js";
import { Mirostat } from "./mirostat.js";
import type { Past } from "./penalties.js";
import { keepTypical } from "./typical.js";

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

/** Said of logits of which no token can be drawn, nor a score be had. */
export const NOT_NUMBERS =
  "the model's logits are not numbers: its weights are damaged or overflow float32: download or train it again";

export const NONE_LEFT = "logit_bias, bad_words and no_repeat_ngram_size leave the model no token to write";

/** Draws tokens under one set of options. */
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

/** The place of the largest logit, the first of them where several are equal; -1 where there is none, or one is NaN. */
export function argmax(logits: Float32Array): number {
  const kernels = kernelsFor(logits.length);
  kernels.logits.set(logits);
  return kernels.argmax(false, logits.length);
}

/**
 * Keeps the nucleus: the heaviest tokens, as few as reach the part p of the total; of equals the smaller id comes first.
 * @returns how many
 */
function keepTopP(kernels: Kernels, count: number, p: number): number {
  const { weights, places } = kernels;
  const wanted = p * kernels.total;
  // Sorting 50,000 tokens takes ten times longer than all else, and the nucleus nearly always lies among
  // the few heavy ones: try those first.
  for (const cutoff of [1e-3, 1e-6, 0]) {
    const found = kernels.findHeavy(count, cutoff);
    const sorted = Float64Array.from(places.subarray(0, found), (i) => weights[i]).sort();
    let reached = 0;
    let size = 0;
    while (size < found && reached < wanted) reached += sorted[found - ++size];
    if (reached < wanted && cutoff > 0) continue;
    const least = sorted[found - Math.max(size, 1)];
    let kept = kernels.findHeavy(count, least);
    for (let i = kept - 1; kept > Math.max(size, 1); i--) {
      if (weights[places[i]] > least) continue;
      places.copyWithin(i, i + 1, kept--); // it ties with the last, and its id is larger
    }
    kernels.keepPlaces(kept);
    return kept;
  }
  return count;
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
  const mirostat = mirostat_tau > 0 ? new Mirostat(mirostat_tau) : undefined;
  const k = top_k > 0 && top_k < n_vocab ? top_k : 0;
  const isTypical = typical_p < 1;
  const isCut = isTypical || top_p < 1 || min_p > 0 || mirostat !== undefined;

  const draw = (given: Float32Array | SomeLogits, u: number, past = NO_PAST): number => {
    const [raw, some] = given instanceof Float32Array ? [given, undefined] : [given.logits, given.ids];
    const n = raw.length;
    const kernels = kernelsFor(n);
    const { ids, weights } = kernels;
    kernels.logits.set(raw);
    let best = kernels.argmax(false, n);
    if (best < 0) throw new UserError(NOT_NUMBERS);
    if (adjust) {
      kernels.widen(n);
      adjust(kernels.adjusted, past);
      best = kernels.argmax(true, n);
      if (best < 0) throw new UserError(NONE_LEFT);
    }
    if (temperature === 0) return some ? some[best] : best;
    const max = adjust ? kernels.adjusted[best] : raw[best];
    let count = n;
    if (k > 0) count = kernels.keepLargest(adjust !== undefined, n, k);
    else if (isCut) kernels.keepAll(n);
    kernels.weigh(k > 0 || adjust !== undefined, count, max, temperature, isTypical);
    if (isTypical) count = keepTypical(kernels, count, typical_p);
    if (top_p < 1) count = keepTopP(kernels, count, top_p);
    if (min_p > 0) {
      count = kernels.findHeavy(count, min_p); // the likeliest token weighs 1
      kernels.keepPlaces(count);
    }
    if (mirostat) count = mirostat.keep(kernels, count, past.state);
    const at = kernels.walk(count, u * kernels.total);
    // Behind all of them only where u * total rounds up to total.
    const place = at < count ? at : likeliestOf(weights, count);
    if (mirostat && past.state) mirostat.observe(weights[place] / kernels.total, past.state);
    const id = k > 0 || isCut ? ids[place] : place;
    return some ? some[id] : id;
  };
  const largest = adjust ? 0 : temperature === 0 ? 1 : k;
  return Object.assign(draw, { largest });
}

/** The place of the largest weight, the first of them where several are equal. */
function likeliestOf(weights: Float64Array, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) if (weights[i] > weights[best]) best = i;
  return best;
}
