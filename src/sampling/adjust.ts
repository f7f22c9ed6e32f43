/** Changes logits before a token is drawn from them. */

import { type BadWordsOptions, makeBadWords } from "./bad-words.js";
import { type DryOptions, makeDry } from "./dry.js";
import { makeNoRepeatNgram } from "./no-repeat-ngram.js";
import { type Adjust, makePenalties, newest, type PenaltyOptions } from "./penalties.js";
import { type TokenTexts, tokenTexts } from "./token-texts.js";

/** What is added to logits, and which tokens are banned. */
export interface AdjustOptions extends PenaltyOptions, DryOptions, BadWordsOptions {
  /** Added to the logits of these token ids; -Infinity: never drawn. */
  readonly logit_bias?: ReadonlyMap<number, number>;
  /** How many of the newest tokens the penalties and DRY look at; 0 = the whole context. */
  readonly penalty_window?: number;
  /** No sequence of n tokens comes twice; 0 = off. */
  readonly no_repeat_ngram_size?: number;
}

/** What drawing needs to know of a model's tokens. */
export interface DrawTokens {
  /** Those that end a text; they are never penalised. */
  readonly ends: ReadonlySet<number>;
  /** Their bytes, for options that look at text. */
  readonly texts?: TokenTexts;
}

/**
 * Makes the function that adjusts logits, in this order: logit_bias; repetition_penalty, presence_penalty and
 * frequency_penalty (penalties.ts); DRY (dry.ts); no_repeat_ngram_size (no-repeat-ngram.ts); bad_words (bad-words.ts).
 * @returns changes logits [n_vocab] in place; undefined if every option is off
 * @throws UserError as makeDry(); RangeError when an option needs the tokens' bytes and there are none
 */
export function makeAdjust(
  n_vocab: number,
  options: AdjustOptions,
  { ends, texts }: DrawTokens,
): Adjust | undefined {
  const { logit_bias = new Map(), penalty_window = 0, no_repeat_ngram_size = 0, bad_words = [] } = options;
  let known: readonly string[] | undefined;
  const allTexts = (): readonly string[] => {
    if (!texts) throw new RangeError("bad_words and dry_multiplier need the tokens' bytes");
    known ??= tokenTexts(texts, n_vocab);
    return known;
  };
  const within = (adjust: Adjust | undefined): Adjust | undefined =>
    adjust && ((logits, past) => adjust(logits, newest(past, penalty_window)));
  const adjusts = [
    within(makePenalties(n_vocab, options, ends)),
    within(makeDry(options, allTexts, ends)),
    makeNoRepeatNgram(no_repeat_ngram_size, ends),
    makeBadWords(bad_words, allTexts),
  ].filter((adjust) => adjust !== undefined);
  if (logit_bias.size === 0 && adjusts.length === 0) return undefined;
  return (logits, past) => {
    for (const [id, bias] of logit_bias) logits[id] += bias;
    for (const adjust of adjusts) adjust(logits, past);
  };
}
