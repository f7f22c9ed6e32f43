import { MAX_SEED } from "../random.js";
import { DRY_DEFAULTS } from "./dry.js";
import { isBias } from "./logit-bias.js";
import { type NumberRule, obeys, wanted } from "./number-rule.js";

/** An option that decides what is sampled. The command line, the library and /set all read it here. */
export interface SamplingOption {
  readonly rule: NumberRule | { readonly type: "biases" | "texts" | "lines" | "flag" | "switch" };
  /** What its value is called in help: `--top_k <k>`. */
  readonly placeholder?: string;
  /** For help: what it does. */
  readonly text: string;
  /** Undefined: the default is no value of the option; the text says what happens. */
  readonly initial?: number;
  /** It changes which samples are written, or how fast, and never a sample's text. */
  readonly keepsText?: true;
}

/** The most samples, tokens or likeliest tokens that can be asked for. */
export const MAX_COUNT = 1_000_000_000;
/** The most samples computed at once: more would take more memory and gain no speed. */
const MAX_BATCH = 1024;

/** The most alternatives that can be reported for a token. */
export const MAX_TOP = 100;

const whole = (min: number, max: number): NumberRule => ({ type: "whole", min, max });
const decimal = (min: number, max: number): NumberRule => ({ type: "decimal", min, max });

/** THE table of sampling options, in the order in which help and /show list them. */
export const SAMPLING_OPTIONS = {
  seed: {
    rule: whole(0, MAX_SEED),
    placeholder: "n",
    text: "same seed, same text (default: random, printed on stderr)",
    keepsText: true, // a run's samples have one; it is compared by itself
  },
  nsamples: {
    rule: whole(1, MAX_COUNT),
    placeholder: "n",
    text: "number of samples",
    initial: 1,
    keepsText: true,
  },
  batch_size: {
    rule: whole(1, MAX_BATCH),
    placeholder: "n",
    text: "samples computed at once; affects speed and memory, never the text",
    initial: 1,
    keepsText: true,
  },
  length: {
    rule: whole(1, MAX_COUNT),
    placeholder: "n",
    text: "maximum number of new tokens (default: until the model ends the text, or its context is full)",
  },
  temperature: {
    rule: decimal(0, Number.POSITIVE_INFINITY),
    placeholder: "t",
    text: "randomness; 0 always takes the likeliest token",
    initial: 1,
  },
  top_k: {
    rule: whole(0, MAX_COUNT),
    placeholder: "k",
    text: "draw from the k likeliest tokens; 0 = all; 40 is a good value",
    initial: 0,
  },
  top_p: {
    rule: { type: "decimal", min: 0, max: 1, isAboveMin: true, hint: "1 turns it off" },
    placeholder: "p",
    text: "draw from the smallest set of tokens whose total probability reaches p; 1 = all",
    initial: 1,
  },
  min_p: {
    rule: decimal(0, 1),
    placeholder: "p",
    text: "draw from the tokens at least p times as probable as the likeliest; 0 = all; 0.05 is a good value",
    initial: 0,
  },
  repetition_penalty: {
    rule: { type: "decimal", min: 0.01, max: 100, hint: "1 turns it off" },
    placeholder: "r",
    text: "penalise tokens already in the context; 1 = off; 1.2 is a good value",
    initial: 1,
  },
  presence_penalty: {
    rule: decimal(-2, 2),
    placeholder: "a",
    text: "subtract this from the logit of every token the sample has drawn; 0 = off",
    initial: 0,
  },
  frequency_penalty: {
    rule: decimal(-2, 2),
    placeholder: "a",
    text: "subtract this from a token's logit for each time the sample has drawn it; 0 = off",
    initial: 0,
  },
  penalty_window: {
    rule: whole(0, MAX_COUNT),
    placeholder: "n",
    text: "the penalties, DRY included, see only the last n tokens; 0 = the whole context",
    initial: 0,
  },
  dry_multiplier: {
    rule: decimal(0, 100),
    placeholder: "m",
    text: "DRY: penalty for a token that would extend a repetition of the context; 0 = off; 0.8 is a good value",
    initial: DRY_DEFAULTS.dry_multiplier,
  },
  dry_base: {
    rule: decimal(1, 10),
    placeholder: "b",
    text: "DRY: factor by which the penalty grows with each further token",
    initial: DRY_DEFAULTS.dry_base,
  },
  dry_allowed_length: {
    rule: whole(1, MAX_COUNT),
    placeholder: "n",
    text: "DRY: repeating fewer than n tokens costs nothing",
    initial: DRY_DEFAULTS.dry_allowed_length,
  },
  dry_breaker: {
    rule: { type: "texts" },
    placeholder: "text",
    text: 'DRY: repetitions end at tokens that contain this text; may be repeated (default: newline, colon, ", *)',
  },
  no_repeat_ngram_size: {
    rule: whole(0, MAX_COUNT),
    placeholder: "n",
    text: "never repeat a sequence of n tokens from the context; 0 = off; 3 is a good value",
    initial: 0,
  },
  typical_p: {
    rule: { type: "decimal", min: 0, max: 1, isAboveMin: true, hint: "1 turns it off" },
    placeholder: "p",
    text: "draw from the tokens nearest the expected surprise, with total probability p; 1 = all",
    initial: 1,
  },
  mirostat_tau: {
    rule: decimal(0, 100),
    placeholder: "t",
    text: "Mirostat 2: keep the text's surprise near t bits a token; 0 = off; 5 is a good value",
    initial: 0,
  },
  bad_words: {
    rule: { type: "lines" },
    placeholder: "file",
    text: "never write any line of this file; case and spaces count",
  },
  logit_bias: {
    rule: { type: "biases" },
    placeholder: "id=value",
    text: "add a number to a token's logit; -inf bans the token; may be repeated",
  },
  stop: {
    rule: { type: "texts" },
    placeholder: "text",
    text: "end a sample before this text; \\n is a newline; may be repeated",
  },
  ignore_eos: {
    rule: { type: "flag" },
    text: "print <|endoftext|> and continue instead of ending the sample there",
  },
  special: {
    rule: { type: "switch" },
    placeholder: "on|off",
    text: "read special and added tokens in a prompt as tokens, not as text (default: on, but off for OpenAI's models)",
  },
  show_special: {
    rule: { type: "flag" },
    text: "print special tokens, which are otherwise left out of a sample",
  },
  logprobs: {
    rule: whole(0, MAX_TOP),
    placeholder: "n",
    text: "in jsonl: each token's log-probability and rank, and the n likeliest in its place (default: off)",
    keepsText: true,
  },
} as const satisfies Readonly<Record<string, SamplingOption>>;

/** The most texts that a beam search keeps at each step: each takes a key/value cache of its own. */
const MAX_BEAMS = 256;

/** What decides the texts that a beam search finds: options of `gpt2 generate`, and of generate() in the library. */
export const BEAM_OPTIONS = {
  num_beams: {
    rule: whole(1, MAX_BEAMS),
    placeholder: "n",
    text: "beam search: write the likeliest text, found by following n at once; 1 = off, texts are drawn at random",
    initial: 1,
  },
  length_penalty: {
    rule: decimal(-10, 10),
    placeholder: "a",
    text: "beam search: divide a text's log-probability by its number of tokens to this power; above 0 favours long texts",
    initial: 1,
  },
  num_return: {
    rule: whole(1, MAX_BEAMS),
    placeholder: "n",
    text: "beam search: write the n best texts that it found",
    initial: 1,
    keepsText: true,
  },
} as const satisfies Readonly<Record<string, SamplingOption>>;

export type BeamOptionName = keyof typeof BEAM_OPTIONS;

/** That table's names, in its order. */
export const BEAM_NAMES = Object.keys(BEAM_OPTIONS) as readonly BeamOptionName[];

export type SamplingOptionName = keyof typeof SAMPLING_OPTIONS;

/** The table's names, in its order. */
export const SAMPLING_NAMES = Object.keys(SAMPLING_OPTIONS) as readonly SamplingOptionName[];

/** What a value must be: words for the message, the test, and perhaps what was meant. */
type Check = readonly [wanted: string, isGood: (value: unknown) => boolean, hint?: string];

const FLAG: Check = ["true or false", (value) => typeof value === "boolean"];
const isText = (value: unknown): boolean => typeof value === "string" && value !== "";
const numberCheck = (rule: NumberRule): Check => [wanted(rule), (value) => obeys(value, rule), rule.hint];

/** What a program may pass; see checkOptions(). */
const CHECKS: Readonly<Record<string, Check>> = {
  ...Object.fromEntries(
    Object.entries({ ...SAMPLING_OPTIONS, ...BEAM_OPTIONS }).flatMap(([name, { rule }]) =>
      "min" in rule ? [[name, numberCheck(rule)]] : [],
    ),
  ),
  nsamples: [
    "a whole number from 1, or Infinity",
    (value) => value === Number.POSITIVE_INFINITY || obeys(value, SAMPLING_OPTIONS.nsamples.rule),
  ],
  logit_bias: [
    "a Map from token ids to numbers from -1e9 to 1e9 or -Infinity",
    (value) =>
      value instanceof Map &&
      [...value].every(([id, bias]) => Number.isSafeInteger(id) && id >= 0 && isBias(bias)),
  ],
  stop: [
    "a non-empty text or a list of them",
    (value) => isText(value) || (Array.isArray(value) && value.every(isText)),
  ],
  bad_words: ["a list of non-empty texts", (value) => Array.isArray(value) && value.every(isText)],
  dry_breaker: ["a list of non-empty texts", (value) => Array.isArray(value) && value.every(isText)],
  ignore_eos: FLAG,
  special: FLAG,
  show_special: FLAG,
  stride: numberCheck(whole(1, MAX_COUNT)),
  top: numberCheck(whole(0, MAX_TOP)),
  signal: ["an AbortSignal", (value) => value instanceof AbortSignal],
  onNotice: ["a function", (value) => typeof value === "function"],
};

/**
 * Checks what a program passed, which TypeScript may not have checked: a misspelt name would silently change a text.
 * @param names the options that the function has
 * @throws RangeError that names the option and its value
 */
export function checkOptions(options: object, names: readonly string[]): void {
  for (const [name, value] of Object.entries(options)) {
    if (!names.includes(name)) {
      throw new RangeError(`unknown option ${JSON.stringify(name)}: the options are ${names.join(", ")}`);
    }
    if (value === undefined) continue;
    const [words, isGood, hint] = CHECKS[name];
    if (isGood(value)) continue;
    throw new RangeError(`${name} must be ${words}, not ${String(value)}${hint ? `: ${hint}` : ""}`);
  }
}
