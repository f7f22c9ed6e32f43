import { setImmediate as nextTurn } from "node:timers/promises";
import type { Engine } from "../model/engine.js";
import { UserError } from "../system/errors.js";
import { expNegative } from "../system/exact-math.js";
import { NOT_NUMBERS } from "./draw.js";
import { logProbability, type TokenLogprob, tokenLogprob } from "./logprobs.js";
import type { TokenTexts } from "./token-texts.js";

/** Tokens whose logits are looked at together: [PIECE, n_vocab] floats are in memory at a time. */
const PIECE = 64;

/** How likely a model finds a text. */
export interface Score {
  /** Natural logarithm of each token's probability, given all that stands before it in its window. */
  readonly logprobs: readonly number[];
  /** Their sum. */
  readonly total: number;
  /** exp(-total / number of tokens): as uncertain as a fair choice between this many tokens. */
  readonly perplexity: number;
  /** -total in bits, over the text's bytes in UTF-8. */
  readonly bits_per_byte: number;
}

/** A text's tokens whose log-probabilities are wanted; see logProbabilities(). */
export interface Scoring {
  readonly start: number;
  readonly ids: readonly number[];
  readonly stride: number;
  /** So many of the first tokens have been scored before. */
  readonly known?: number;
  readonly signal?: AbortSignal;
}

/**
 * The log-probability of each token of a text, given `start` and the tokens before it. A text longer than the
 * context is read in windows that begin `stride` tokens apart; each token is scored once, in the first window
 * that holds it, and the windows after the first see at least n_ctx - stride tokens before it.
 * Source of the strides: Hugging Face's guide to the perplexity of fixed-length models.
 * @param start the id that stands before the text (end of text)
 * @param stride 1 to n_ctx; smaller is slower, and gives each token more to go by
 * @throws UserError when the model's logits are not finite numbers
 */
export async function logProbabilities(
  engine: Engine,
  start: number,
  ids: readonly number[],
  stride: number,
  signal?: AbortSignal,
): Promise<number[]> {
  const logprobs: number[] = [];
  for await (const piece of logProbabilityPieces(engine, { start, ids, stride, signal }))
    logprobs.push(...piece);
  return logprobs;
}

/** The same piece by piece, each a few tokens' log-probabilities; from any token on, as if all had been computed. */
export function logProbabilityPieces(engine: Engine, scoring: Scoring): AsyncGenerator<number[], void, void> {
  return judge(engine, scoring, (logits, id) => finite(logProbability(logits, id)));
}

/**
 * The tokens of a text, each with its log-probability, its rank and the `top` likeliest in its place; windows as
 * those of logProbabilities().
 * @throws UserError when the model's logits are not finite numbers
 */
export async function tokenLogprobs(
  engine: Engine,
  tokens: TokenTexts,
  { top, ...scoring }: Scoring & { readonly top: number },
): Promise<TokenLogprob[]> {
  const all: TokenLogprob[] = [];
  for await (const piece of judge(engine, scoring, (logits, id) => {
    const token = tokenLogprob(tokens, logits, id, top);
    finite(token.logprob);
    return token;
  })) {
    all.push(...piece);
  }
  return all;
}

function finite(logprob: number): number {
  if (!Number.isFinite(logprob)) throw new UserError(NOT_NUMBERS);
  return logprob;
}

/** What the logits [n_vocab] in each token's place say of it, a few tokens at a time. */
async function* judge<T>(
  engine: Engine,
  { start, ids, stride, known = 0, signal }: Scoring,
  say: (logits: Float32Array, id: number) => T,
): AsyncGenerator<T[], void, void> {
  const { n_ctx, n_vocab } = engine.hparams;
  if (stride < 1 || stride > n_ctx) throw new RangeError(`stride ${stride} is not in 1 .. ${n_ctx}`);
  const read = (from: number, to: number): readonly number[] =>
    // what stands before the tokens from .. to - 1
    from === 0 ? [start, ...ids.slice(0, to - 1)] : ids.slice(from - 1, to - 1);
  let scored = known;
  const first = stride * Math.max(0, Math.floor((known - n_ctx) / stride) + 1); // the first window that ends behind them
  for (let begin = first; scored < ids.length; begin += stride) {
    const end = Math.min(begin + n_ctx, ids.length);
    const sequence = engine.createSequence();
    try {
      // The window's first tokens have been scored already.
      if (scored > begin) await engine.forward([{ sequence, ids: read(begin, scored) }], "none");
      for (let at = scored; at < end; at += PIECE) {
        await nextTurn(); // else no Ctrl-C is heard: a small model's pass lets nothing else have a turn
        signal?.throwIfAborted();
        const piece = read(at, Math.min(at + PIECE, end));
        const [logits] = await engine.forward([{ sequence, ids: piece }], "all"); // [piece.length, n_vocab]
        yield piece.map((_, i) => say(logits.subarray(i * n_vocab, (i + 1) * n_vocab), ids[at + i]));
      }
      scored = end;
    } finally {
      engine.free(sequence);
    }
  }
}

/** Sums log-probabilities up. @param bytes length of the text in UTF-8 */
export function summarize(logprobs: readonly number[], bytes: number): Score {
  const total = logprobs.reduce((sum, logprob) => sum + logprob, 0);
  return {
    logprobs,
    total,
    perplexity: 1 / expNegative(total / logprobs.length),
    bits_per_byte: -total / Math.LN2 / bytes,
  };
}
