/** Drawing a token from logits: all arithmetic is float64 and in a fixed order, so that a seed gives one text. */

import type { SomeLogits } from "../model/engine.js";
import { UserError } from "../system/errors.js";
import { log } from "../system/exact-math.js";
import { type AdjustOptions, type DrawTokens, makeAdjust } from "./adjust.js";
import { cut } from "./cut.js";
import { kernelsFor } from "./kernels/create.js";
import { ADJUSTED, KEPT, LOGITS } from "./kernels/kernels.js";
import { allOf, heavyOf, type Known } from "./known.js";
import { Mirostat } from "./mirostat.js";
import type { Past } from "./penalties.js";

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
  return kernels.argmax(LOGITS, logits.length);
}

/** Cuts are tried first on tokens of at least these weights, so that few need exact ones. */
const FLOORS = [1e-4, 1e-6];

/** A logit that every token of weight `floor` or more reaches. */
function boundOf(floor: number, max: number, temperature: number): number {
  const depth = temperature * log(floor);
  return max + depth - 1e-3 * temperature - 1e-6 * (Math.abs(max) - depth);
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
  /** Whether the sum of all weights decides what is cut. */
  const isSummed = isTypical || top_p < 1 || mirostat !== undefined;
  const isCut = isSummed || min_p > 0;
  const cuts = { typical_p, top_p, min_p, mirostat };

  const draw = (given: Float32Array | SomeLogits, u: number, past = NO_PAST): number => {
    const [raw, some] = given instanceof Float32Array ? [given, undefined] : [given.logits, given.ids];
    const n = raw.length;
    const kernels = kernelsFor(n);
    kernels.logits.set(raw);
    let best = kernels.argmax(LOGITS, n);
    if (best < 0) throw new UserError(NOT_NUMBERS);
    if (adjust) {
      kernels.widen(n);
      adjust(kernels.adjusted, past);
      best = kernels.argmax(ADJUSTED, n);
      if (best < 0) throw new UserError(NONE_LEFT);
    }
    if (temperature === 0) return some ? some[best] : best;
    const source = adjust ? ADJUSTED : LOGITS;
    const max = adjust ? kernels.adjusted[best] : raw[best];

    /** Draws one of the first `count` tokens. */
    const pick = (count: number): number => {
      const at = kernels.walk(count, u * kernels.total);
      // Past the last one only if u * total rounds up to total.
      return at < count ? at : likeliestOf(kernels.weights, count);
    };
    /** Cuts the first `count` tokens down and draws one. @returns its id; undefined if too little is known to decide */
    const pickCut = (count: number, known: Known): number | undefined => {
      const kept = cut(kernels, count, known, cuts, past.state);
      if (kept === undefined) return undefined;
      const place = pick(kept);
      if (mirostat && past.state) mirostat.observe(kernels.weights[place] / kernels.total, past.state);
      return kernels.ids[place];
    };

    if (k === 0 && !isCut) {
      const id = kernels.drawRoughly(source, n, max, temperature, u);
      if (id >= 0) return id;
      kernels.weigh(source, n, max, temperature, false);
      return pick(n);
    }
    for (const floor of k === 0 ? FLOORS : []) {
      const bound = boundOf(floor, max, temperature);
      const count = kernels.keepAbove(source, n, bound);
      kernels.weigh(KEPT, count, max, temperature, isTypical);
      if (isSummed) kernels.sumOfRest(source, n, max, temperature, bound);
      const id = pickCut(count, heavyOf(kernels, floor));
      if (id !== undefined) return id;
    }
    let count = n;
    if (k > 0) count = kernels.keepLargest(source, n, k);
    else kernels.keepAll(n);
    kernels.weigh(k > 0 ? KEPT : source, count, max, temperature, isTypical);
    const id = pickCut(count, allOf(kernels)) as number; // all is known
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
