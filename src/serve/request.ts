import type { Hparams } from "../model/hparams.js";
import { randomSeed } from "../random.js";
import type { ContinuationOptions } from "../sampling/continuation.js";
import { faultOfBias, isBias } from "../sampling/draw.js";
import { type NumberRule, obeys, wanted } from "../sampling/number-rule.js";
import { SAMPLING_OPTIONS } from "../sampling/options.js";
import { type PromptEncoder, promptIds, textIds } from "../sampling/prompt.js";
import { quote } from "../system/errors.js";
import { ApiError, badField } from "./api-error.js";

/** What reading a request needs of the model. */
export interface ServedModel {
  readonly encoder: PromptEncoder & { decode(ids: Iterable<number>): string };
  readonly hparams: Hparams;
}

/** A prompt, as ids and as the text that `echo` returns. */
export interface Prompt {
  readonly ids: readonly number[];
  readonly text: string;
  /** The place of the text's first token among the ids: the model's beginning of texts stands before it. */
  readonly first: number;
  /** How many tokens it counts for. */
  readonly tokens: number;
}

/** A request for completions, checked. */
export interface CompletionRequest {
  readonly model: string | undefined;
  readonly prompts: readonly Prompt[];
  /** Samples of each prompt: the k-th is the k-th that the command line writes with the same seed. */
  readonly n: number;
  readonly max_tokens: number;
  readonly echo: boolean;
  /** How many alternatives of each token are told; undefined: no log-probabilities. */
  readonly logprobs: number | undefined;
  readonly stream: boolean;
  readonly include_usage: boolean;
  readonly sampling: ContinuationOptions;
}

/** The most of what one request can ask for. */
export const LIMITS = { max_tokens: 16_384, choices: 128, logprobs: 20, stop: 16 } as const;
/** What OpenAI's API writes where max_tokens is not given. */
const DEFAULT_MAX_TOKENS = 16;

/** Says what a value must be, if it is not. */
type Check = (value: unknown) => string | undefined;

const check =
  (words: string, isGood: (value: unknown) => boolean): Check =>
  (value) =>
    isGood(value) ? undefined : words;
const number = (rule: NumberRule): Check => check(wanted(rule), (value) => obeys(value, rule));
const whole = (min: number, max: number): Check => number({ type: "whole", min, max });
const isText = (value: unknown): value is string => typeof value === "string";
const isIds = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id) && id >= 0);
const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const flag = check("true or false", (value) => typeof value === "boolean");
const text = check("a text", isText);

const PROMPT = "a text, a list of texts, a list of token ids, or a list of lists of token ids";
const STOP = `a text or a list of at most ${LIMITS.stop} texts, none of them empty`;
const BIAS = "an object from token ids to numbers from -1e9 to 1e9";
const isStop = (value: unknown): value is string => isText(value) && value !== "";

/** THE table of a request's fields. A field that is null counts as one that is not there. */
const FIELDS: Readonly<Record<string, Check>> = {
  model: text,
  prompt: check(
    PROMPT,
    (value) =>
      isText(value) ||
      isIds(value) ||
      (Array.isArray(value) && value.length > 0 && (value.every(isText) || value.every(isIds))),
  ),
  max_tokens: whole(0, LIMITS.max_tokens),
  n: whole(1, LIMITS.choices),
  best_of: whole(1, LIMITS.choices),
  stream: flag,
  stream_options: check(
    "an object with include_usage: true or false",
    (value) =>
      isTable(value) &&
      Object.entries(value).every(([name, each]) => name === "include_usage" && typeof each === "boolean"),
  ),
  echo: flag,
  logprobs: whole(0, LIMITS.logprobs),
  stop: check(
    STOP,
    (value) => isStop(value) || (Array.isArray(value) && value.length <= LIMITS.stop && value.every(isStop)),
  ),
  logit_bias: check(
    BIAS,
    (value) =>
      isTable(value) && Object.entries(value).every(([id, bias]) => /^\d{1,9}$/.test(id) && isBias(bias)),
  ),
  suffix: check("left out: the model continues a text and fills no gap", (value) => value === ""),
  user: text,
  seed: number(SAMPLING_OPTIONS.seed.rule),
  temperature: number(SAMPLING_OPTIONS.temperature.rule),
  top_k: number(SAMPLING_OPTIONS.top_k.rule),
  top_p: number(SAMPLING_OPTIONS.top_p.rule),
  min_p: number(SAMPLING_OPTIONS.min_p.rule),
  repetition_penalty: number(SAMPLING_OPTIONS.repetition_penalty.rule),
  presence_penalty: number(SAMPLING_OPTIONS.presence_penalty.rule),
  frequency_penalty: number(SAMPLING_OPTIONS.frequency_penalty.rule),
  ignore_eos: flag,
  special: flag,
  show_special: flag,
};

/** The fields of a request by their types, as the table has checked them. */
interface Fields {
  readonly model?: string;
  readonly prompt?: string | readonly number[] | readonly (string | readonly number[])[];
  readonly max_tokens?: number;
  readonly n?: number;
  readonly best_of?: number;
  readonly stream?: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
  readonly echo?: boolean;
  readonly logprobs?: number;
  readonly stop?: string | readonly string[];
  readonly logit_bias?: Readonly<Record<string, number>>;
  readonly seed?: number;
  readonly temperature?: number;
  readonly top_k?: number;
  readonly top_p?: number;
  readonly min_p?: number;
  readonly repetition_penalty?: number;
  readonly presence_penalty?: number;
  readonly frequency_penalty?: number;
  readonly ignore_eos?: boolean;
  readonly special?: boolean;
  readonly show_special?: boolean;
}

/** @throws ApiError that names the first field at fault */
function checkFields(body: unknown): Fields {
  if (!isTable(body)) throw new ApiError(400, `the body must be a JSON object, not ${quote(body, 40)}`);
  const given = Object.entries(body).filter(([, value]) => value !== null);
  for (const [name, value] of given) {
    if (!Object.hasOwn(FIELDS, name)) {
      const names = Object.keys(FIELDS).join(", ");
      throw badField(name, `unknown field ${quote(name, 60)}: the fields are ${names}`, "unknown_parameter");
    }
    const words = FIELDS[name](value);
    if (words !== undefined) throw badField(name, `${name} must be ${words}, not ${quote(value, 60)}`);
  }
  return Object.fromEntries(given);
}

/** A prompt's tokens. @throws ApiError where there are more than the context holds, or the model has no such token */
function readPrompt(model: ServedModel, prompt: string | readonly number[], special?: boolean): Prompt {
  const { encoder, hparams } = model;
  const { n_ctx, n_vocab } = hparams;
  const given = isText(prompt) ? textIds(encoder, prompt, special) : prompt;
  const unknown = given.find((id) => id >= n_vocab);
  if (unknown !== undefined) {
    throw badField("prompt", `the model has no token ${unknown}: its ids are 0 to ${n_vocab - 1}`);
  }
  if (given.length > n_ctx) {
    throw badField(
      "prompt",
      `the prompt has ${given.length} tokens, the model's context ${n_ctx}: shorten the prompt`,
      "context_length_exceeded",
    );
  }
  const ids = promptIds(model, given, { onNotice: () => {} });
  if (!isText(prompt)) return { ids, text: encoder.decode(ids), first: 0, tokens: ids.length };
  const first = prompt === "" ? ids.length : encoder.special.begin.length;
  return { ids, text: prompt, first, tokens: ids.length };
}

/**
 * A text whose tokens are all to be scored, as `gpt2 score` does it: behind the token that a text begins from.
 * Otherwise a text's first token has nothing before it, and no probability.
 */
function behindStart({ encoder }: ServedModel, prompt: Prompt): Prompt {
  const { startOfText } = encoder;
  const own = prompt.ids.slice(prompt.first);
  if (startOfText === undefined || own.length === 0) return prompt;
  return { ...prompt, ids: [startOfText, ...own], first: 1, tokens: own.length };
}

/**
 * Reads a request for completions.
 * @param body as JSON has it
 * @throws ApiError that says what is wrong with it
 */
export function readRequest(body: unknown, model: ServedModel): CompletionRequest {
  const fields = checkFields(body);
  const { prompt = "", n = 1, best_of = n, max_tokens = DEFAULT_MAX_TOKENS, stop = [] } = fields;
  const { echo = false, logprobs, stream = false } = fields;
  if (best_of !== n && best_of !== 1) {
    throw badField("best_of", "best_of is not supported: ask for n samples with logprobs, and choose");
  }
  const list = isText(prompt) || isIds(prompt) ? [prompt] : prompt;
  if (list.length * n > LIMITS.choices) {
    throw badField("n", `${list.length} prompts times n ${n} are more than ${LIMITS.choices} texts`);
  }
  const biases = Object.entries(fields.logit_bias ?? {}).map(([id, bias]) => [Number(id), bias] as const);
  const logit_bias = new Map(biases);
  const fault = faultOfBias(logit_bias, model.hparams.n_vocab);
  if (fault) throw badField("logit_bias", `logit_bias${fault}`);
  const isScored = echo && logprobs !== undefined && max_tokens === 0;
  const prompts = list.map((each) => {
    const read = readPrompt(model, each as string | readonly number[], fields.special);
    return isScored && isText(each) ? behindStart(model, read) : read;
  });
  return {
    model: fields.model,
    prompts,
    n,
    max_tokens,
    echo,
    logprobs,
    stream,
    include_usage: fields.stream_options?.include_usage ?? false,
    sampling: {
      seed: fields.seed ?? randomSeed(),
      length: max_tokens,
      temperature: fields.temperature ?? SAMPLING_OPTIONS.temperature.initial,
      top_k: fields.top_k ?? SAMPLING_OPTIONS.top_k.initial,
      top_p: fields.top_p ?? SAMPLING_OPTIONS.top_p.initial,
      min_p: fields.min_p,
      repetition_penalty: fields.repetition_penalty,
      presence_penalty: fields.presence_penalty,
      frequency_penalty: fields.frequency_penalty,
      logprobs,
      logit_bias,
      stop: isText(stop) ? [stop] : stop,
      ignore_eos: fields.ignore_eos,
      show_special: fields.show_special,
    },
  };
}
