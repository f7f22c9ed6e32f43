import type { Encoder } from "../encoder/encoder.js";
import { type Attention, attentionOf } from "../sampling/attention.js";
import type { TokenLogprob } from "../sampling/logprobs.js";
import { checkOptions } from "../sampling/options.js";
import { logProbabilities, type Score, summarize, tokenLogprobs } from "../sampling/score.js";
import { UserError } from "../system/errors.js";
import { insideOf, type Model } from "./model.js";

/** How a text is scored. */
export interface ScoreOptions {
  /** Report each token's rank and this many of the likeliest in its place: see TextScore.token_logprobs. */
  readonly top?: number;
  /** A text longer than the context is read in windows that start this many tokens apart. Default: half the context. */
  readonly stride?: number;
  /** Special and added tokens in the text are tokens, not text. Default: true, but false for OpenAI's models. */
  readonly special?: boolean;
  /** Stops the work; the signal's reason is thrown. */
  readonly signal?: AbortSignal;
}

/** How likely a model finds a text: the same as a line of `gpt2 score --format jsonl`. */
export interface TextScore extends Score {
  readonly text: string;
  readonly ids: readonly number[];
  /** Each token with its rank and the likeliest in its place, with `top`. */
  readonly token_logprobs?: readonly TokenLogprob[];
}

/**
 * How likely the model finds a text, token by token, after the token that begins a text (`<|endoftext|>`) and the text
 * so far.
 * @throws UserError for an empty text; RangeError for a wrong option; the signal's reason on an abort
 */
export async function score(model: Model, text: string, options: ScoreOptions = {}): Promise<TextScore> {
  checkOptions(options, ["top", "stride", "special", "signal"]);
  options.signal?.throwIfAborted();
  const { encoder, engine, hparams } = insideOf(model);
  const { stride = Math.ceil(hparams.n_ctx / 2), top, signal } = options;
  if (stride > hparams.n_ctx) throw new RangeError(`stride must be at most ${hparams.n_ctx}, not ${stride}`);
  if (text === "") throw new UserError("an empty text has no score");
  const start = startOf(encoder);
  const ids = encoder.encode(text, { special: options.special });
  const bytes = Buffer.byteLength(text);
  if (top === undefined) {
    return { text, ids, ...summarize(await logProbabilities(engine, start, ids, stride, signal), bytes) };
  }
  const token_logprobs = await tokenLogprobs(engine, encoder, { start, ids, top, stride, signal });
  const logprobs = token_logprobs.map(({ logprob }) => logprob);
  return { text, ids, ...summarize(logprobs, bytes), token_logprobs };
}

/**
 * What the model's layers attend to while it reads a text of at most 128 tokens: the weights that
 * `gpt2 score --attention` shows.
 * @throws UserError for an empty or a longer text, and on engines that give no weights; RangeError for a wrong option
 */
export async function attention(
  model: Model,
  text: string,
  options: Pick<ScoreOptions, "special" | "signal"> = {},
): Promise<Attention> {
  checkOptions(options, ["special", "signal"]);
  options.signal?.throwIfAborted();
  const { encoder, engine } = insideOf(model);
  if (text === "") throw new UserError("an empty text has no attention");
  const start = startOf(encoder);
  return attentionOf(engine, start, encoder.encode(text, { special: options.special }), options.signal);
}

function startOf({ startOfText }: Encoder): number {
  if (startOfText !== undefined) return startOfText;
  throw new UserError("the model's vocabulary has no <|endoftext|>, which a text begins with");
}

/**
 * The logits [n_vocab] of the token that follows the ids; its probabilities are `e ** (logit - logsumexp)`.
 * @param ids 1 to n_ctx token ids
 * @throws RangeError when there are none or too many, or one is not a token's
 */
export async function logits(model: Model, ids: readonly number[]): Promise<Float32Array> {
  const { engine } = insideOf(model);
  const sequence = engine.createSequence();
  try {
    const [last] = await engine.forward([{ sequence, ids }]);
    return last;
  } finally {
    engine.free(sequence);
  }
}
