/** Penalties on tokens already in the context. */

import type { MirostatState } from "./mirostat.js";

/** What a sample's next token follows. */
export interface Past {
  /** The tokens in its context, prompt first. */
  readonly context: readonly number[];
  /** How many of the newest it drew itself; the others are the prompt's. */
  readonly drawn: number;
  /** What samplers remember of this sample from token to token; without it, each token is a sample's first. */
  readonly state?: MirostatState;
}

/** The newest n tokens of what came before; 0 = all. */
export function newest(past: Past, n: number): Past {
  if (n === 0 || past.context.length <= n) return past;
  return { ...past, context: past.context.slice(-n), drawn: Math.min(past.drawn, n) };
}

/** How much tokens already in the context lose. */
export interface PenaltyOptions {
  /** Logits of tokens in the context are divided by it where positive, multiplied where negative; 1 = off. */
  readonly repetition_penalty?: number;
  /** Subtracted from the logits of tokens that the sample has drawn; 0 = off. */
  readonly presence_penalty?: number;
  /** Subtracted from a token's logit for each time that the sample has drawn it; 0 = off. */
  readonly frequency_penalty?: number;
}

/** Changes logits [n_vocab] by what came before. */
export type Adjust = (logits: Float64Array, past: Past) => void;

/**
 * Makes the function that penalises tokens, in this order:
 * - repetition_penalty, as CTRL has it (Keskar et al. 2019, arXiv 1909.05858, section 4.1; a negative logit is
 *   multiplied, since dividing it would strengthen it): once, whether the token is in the prompt or the sample;
 * - presence_penalty and frequency_penalty, as OpenAI's API defines them: c tokens of an id cost
 *   c frequency_penalty + (c > 0) presence_penalty. Only the sample's tokens count, none of the prompt.
 * @param spared tokens that are never penalised: those that end a text. A sample that begins from one
 *   has said nothing yet, and a penalty would keep it from ending
 * @returns undefined if all are off
 */
export function makePenalties(
  n_vocab: number,
  { repetition_penalty = 1, presence_penalty = 0, frequency_penalty = 0 }: PenaltyOptions,
  spared: ReadonlySet<number>,
): Adjust | undefined {
  if (repetition_penalty === 1 && presence_penalty === 0 && frequency_penalty === 0) return undefined;
  const counts = new Uint32Array(n_vocab); // of tokens that the sample drew; all 0 between calls
  return (logits, { context, drawn }) => {
    if (repetition_penalty !== 1) {
      for (const id of new Set(context)) {
        if (spared.has(id)) continue;
        if (logits[id] > 0) logits[id] /= repetition_penalty;
        else logits[id] *= repetition_penalty;
      }
    }
    if (presence_penalty === 0 && frequency_penalty === 0) return;
    const first = context.length - drawn;
    for (let i = first; i < context.length; i++) counts[context[i]]++;
    for (let i = first; i < context.length; i++) {
      const id = context[i];
      if (counts[id] > 0 && !spared.has(id)) logits[id] -= counts[id] * frequency_penalty + presence_penalty;
      counts[id] = 0; // its next occurrence has had its penalty
    }
  };
}
