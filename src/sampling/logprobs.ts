/** How likely the model found a token, and what it would rather have said. */

import { log } from "../system/exact-math.js";
import { kernelsFor } from "./kernels/create.js";
import { LOGITS } from "./kernels/kernels.js";
import type { TokenTexts } from "./token-texts.js";

/** A token as a list of likely ones shows it. */
export interface LikelyToken {
  readonly id: number;
  /** Its bytes as UTF-8; U+FFFD stands for what is no whole character. */
  readonly text: string;
  readonly bytes: readonly number[];
  /** Natural logarithm of its probability under the model's own distribution: whatever options shape the draw. */
  readonly logprob: number;
}

/** A token that was drawn or read, and the likeliest at its place. */
export interface TokenLogprob extends LikelyToken {
  /** 1 for the likeliest token; of equals the smaller id comes first. */
  readonly rank: number;
  /** The likeliest tokens, in order: as many as were asked for. */
  readonly top: readonly LikelyToken[];
}

/** A token that was drawn. */
export interface DrawnToken extends TokenLogprob {
  /** What it adds to the sample's text, in which stop texts are looked for then: nothing, for half a character. */
  readonly added: string;
}

/** A drawn token as it is told: what it added is in the sample's text. */
export function withoutAdded({ added: _, ...token }: DrawnToken): TokenLogprob {
  return token;
}

/** A token with the n likeliest alone. */
export function withTop(token: TokenLogprob, n: number): TokenLogprob {
  return { ...token, top: token.top.slice(0, n) };
}

/**
 * log(sum(e^logit)) over logits [n_vocab], as their largest and what is to be added; not finite where one is not.
 * @param likeliest the place of the largest, where it is known
 */
export function logSumExp(logits: Float32Array, likeliest?: number): readonly [max: number, rest: number] {
  const kernels = kernelsFor(logits.length);
  kernels.logits.set(logits);
  const best = likeliest ?? kernels.argmax(LOGITS, logits.length);
  if (best < 0) return [Number.NaN, Number.NaN];
  return [logits[best], log(kernels.sumOfExp(logits.length, logits[best]))];
}

/** log P(id) under the softmax of logits [n_vocab]; not finite where one of them is not. */
export function logProbability(logits: Float32Array, id: number): number {
  const [max, rest] = logSumExp(logits);
  return logits[id] - max - rest;
}

/** The ids of the n largest logits, largest first, and the rank of one; of equals the smaller id comes first. */
export function rankAndTop(logits: Float32Array, id: number, n: number): { rank: number; top: number[] } {
  const kernels = kernelsFor(logits.length);
  kernels.logits.set(logits);
  const found = n > 0 ? kernels.keepLargest(LOGITS, logits.length, Math.min(n, logits.length)) : 0;
  const top = [...kernels.ids.subarray(0, found)].sort((a, b) => logits[b] - logits[a] || a - b);
  const place = top.indexOf(id);
  const rank = place >= 0 ? place + 1 : kernels.rankOf(logits.length, id);
  return { rank, top: top.slice(0, n) };
}

/** What logits [n_vocab] say of a token. @param n how many of the likeliest are told */
export function tokenLogprob(tokens: TokenTexts, logits: Float32Array, id: number, n: number): TokenLogprob {
  const { rank, top } = rankAndTop(logits, id, n);
  const [max, rest] = logSumExp(logits, top[0]);
  const token = (each: number): LikelyToken => ({
    ...named(tokens, each),
    logprob: logits[each] - max - rest,
  });
  return { ...token(id), rank, top: top.map(token) };
}

function named(tokens: TokenTexts, id: number): Omit<LikelyToken, "logprob"> {
  const bytes = tokens.tokenBytes(id);
  return { id, text: Buffer.from(bytes).toString("utf8"), bytes: [...bytes] };
}
