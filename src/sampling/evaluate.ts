import { setImmediate as nextTurn } from "node:timers/promises";
import type { Encoder } from "../encoder/encoder.js";
import type { Engine } from "../model/engine.js";
import { UserError } from "../system/errors.js";
import { argmax, NOT_NUMBERS } from "./draw.js";
import { logProbability } from "./logprobs.js";
import { textIds } from "./prompt.js";

/** A text split before its last word, which the model is to find: LAMBADA's task (arXiv 1606.06031). */
export interface LastWord {
  /** All before the word, without the spaces between. */
  readonly context: string;
  /** The word, with the spaces before it. */
  readonly word: string;
}

/** Splits a text before its last word; undefined if it has only one. */
export function lastWordOf(text: string): LastWord | undefined {
  const [, context, word] = /^(.*\S)(\s+\S+)\s*$/s.exec(text) ?? [];
  return context === undefined ? undefined : { context, word };
}

/** How a model scores a last word. */
export interface LastWordScore {
  /** Whether each of its tokens was the likeliest after all before it: whether greedy decoding finds the word. */
  readonly isFound: boolean;
  /** Natural logarithm of the word's probability. */
  readonly logprob: number;
}

/**
 * How well the model finds a text's last word. Of a context that is too long, the newest tokens are read.
 * @param special whether special tokens in the text are read as such
 * @throws UserError when the model's logits are not finite numbers
 */
export async function scoreLastWord(
  engine: Engine,
  encoder: Pick<Encoder, "encode" | "special" | "startOfText">,
  { context, word }: LastWord,
  special?: boolean,
): Promise<LastWordScore> {
  const { n_ctx, n_vocab } = engine.hparams;
  const wanted = encoder.encode(word, { special });
  if (wanted.length >= n_ctx)
    throw new UserError(`a word of ${wanted.length} tokens does not fit the context`);
  // The last token is only predicted: it need not be read.
  const before = textIds(encoder, context, special).slice(-(n_ctx - wanted.length + 1));
  await nextTurn(); // lets a Ctrl-C in
  const sequence = engine.createSequence();
  try {
    if (before.length > 1) await engine.forward([{ sequence, ids: before.slice(0, -1) }], "none");
    const ids = [before[before.length - 1], ...wanted.slice(0, -1)];
    const [logits] = await engine.forward([{ sequence, ids }], "all"); // [wanted.length, n_vocab]
    let logprob = 0;
    let isFound = true;
    for (const [i, id] of wanted.entries()) {
      const row = logits.subarray(i * n_vocab, (i + 1) * n_vocab); // [n_vocab]
      logprob += logProbability(row, id);
      isFound &&= argmax(row) === id;
    }
    if (!Number.isFinite(logprob)) throw new UserError(NOT_NUMBERS);
    return { isFound, logprob };
  } finally {
    engine.free(sequence);
  }
}
