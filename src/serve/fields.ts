import { isBias } from "../sampling/logit-bias.js";
import { type NumberRule, obeys, wanted } from "../sampling/number-rule.js";
import { SAMPLING_OPTIONS } from "../sampling/options.js";
import { quote } from "../system/errors.js";
import { isObject } from "../system/json.js";
import { ApiError, badField } from "./api-error.js";

/** The most that one request can ask for. */
export const LIMITS = { max_tokens: 16_384, choices: 128, logprobs: 20, stop: 64 } as const;
/** Says what a value must be; undefined if it is that. */
type Check = (value: unknown) => string | undefined;

const check =
  (words: string, isGood: (value: unknown) => boolean): Check =>
  (value) =>
    isGood(value) ? undefined : words;
const number = (rule: NumberRule): Check => check(wanted(rule), (value) => obeys(value, rule));
const whole = (min: number, max: number): Check => number({ type: "whole", min, max });
export const isText = (value: unknown): value is string => typeof value === "string";
export const isIds = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id) && id >= 0);
const flag = check("true or false", (value) => typeof value === "boolean");
const text = check("a text", isText);

const PROMPT = "a text, a list of texts, a list of token ids, or a list of lists of token ids";
const STOP = `a text or a list of at most ${LIMITS.stop} texts, none of them empty`;
const BIAS = "an object from token ids to numbers from -1e9 to 1e9";
const isStop = (value: unknown): value is string => isText(value) && value !== "";

/** The one table of a request's fields. A field that is null counts as missing. */
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
      isObject(value) &&
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
      isObject(value) && Object.entries(value).every(([id, bias]) => /^\d{1,9}$/.test(id) && isBias(bias)),
  ),
  suffix: check("left out: the model continues texts but does not fill gaps", (value) => value === ""),
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

/** A request's fields, with the types that the table has checked. */
export interface Fields {
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
export function checkFields(body: unknown): Fields {
  if (!isObject(body)) throw new ApiError(400, `the body must be a JSON object, not ${quote(body, 40)}`);
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
