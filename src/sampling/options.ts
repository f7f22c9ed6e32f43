import { MAX_SEED } from "../random.js";
import { isBias } from "./draw.js";

/** What an option's value must be: words for the message, and the test. */
type Rule = readonly [wanted: string, isGood: (value: unknown) => boolean];

const whole = (min: number, max: number): Rule => [
  `a whole number from ${min} to ${max}`,
  (value) => Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max,
];
const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isText = (value: unknown): boolean => typeof value === "string" && value !== "";
const isFunction = (value: unknown): boolean => typeof value === "function";
const MAX_COUNT = Number.MAX_SAFE_INTEGER;

const RULES: Readonly<Record<string, Rule>> = {
  seed: whole(0, MAX_SEED),
  nsamples: [
    "a whole number from 1, or Infinity",
    (value) => value === Number.POSITIVE_INFINITY || whole(1, MAX_COUNT)[1](value),
  ],
  batch_size: whole(1, 1024),
  length: whole(1, MAX_COUNT),
  temperature: ["a number from 0", (value) => isNumber(value) && value >= 0],
  top_k: whole(0, MAX_COUNT),
  top_p: ["a number above 0, up to 1", (value) => isNumber(value) && value > 0 && value <= 1],
  min_p: ["a number from 0 to 1", (value) => isNumber(value) && value >= 0 && value <= 1],
  repetition_penalty: [
    "a number from 0.01 to 100",
    (value) => isNumber(value) && value >= 0.01 && value <= 100,
  ],
  logit_bias: [
    "a Map from token ids to numbers from -1e9 to 1e9 or -Infinity",
    (value) =>
      value instanceof Map &&
      [...value].every(([id, bias]) => Number.isSafeInteger(id) && id >= 0 && isBias(bias)),
  ],
  stop: [
    "a text or a list of texts, none of them empty",
    (value) => isText(value) || (Array.isArray(value) && value.every(isText)),
  ],
  ignore_eos: ["true or false", (value) => typeof value === "boolean"],
  stride: whole(1, MAX_COUNT),
  signal: ["an AbortSignal", (value) => value instanceof AbortSignal],
  onNotice: ["a function", isFunction],
};

/**
 * Checks what a program passed, which TypeScript may not have looked at: a wrong name would change a text in silence.
 * @param names the options that the function has
 * @throws RangeError that names the option and its value
 */
export function checkOptions(options: object, names: readonly string[]): void {
  for (const [name, value] of Object.entries(options)) {
    if (!names.includes(name)) {
      throw new RangeError(`there is no option ${JSON.stringify(name)}: there are ${names.join(", ")}`);
    }
    if (value === undefined) continue;
    const [wanted, isGood] = RULES[name];
    if (!isGood(value)) throw new RangeError(`${name} must be ${wanted}, not ${String(value)}`);
  }
}
