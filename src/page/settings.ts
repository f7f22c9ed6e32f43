/** The settings, in words for someone who has never seen a tensor. */

/** A numeric setting. */
export interface Setting {
  readonly label: string;
  /** What it does. */
  readonly words: string;
  readonly min: number;
  readonly max: number;
  /** How far an arrow key moves it; 1 means whole numbers only. */
  readonly step: number;
  readonly initial: number;
}

/** By their names in the API, in the order shown. */
export const SETTINGS = {
  max_tokens: {
    label: "Length",
    words:
      "How much to write at a time, in tokens. A token is a word or a piece of one; a line is about fifteen.",
    min: 1,
    max: 1000,
    step: 1,
    initial: 60,
  },
  temperature: {
    label: "Temperature",
    words: "How daring the text is. 0 always takes the likeliest token, 1 follows the model, more gets wild.",
    min: 0,
    max: 5,
    step: 0.05,
    initial: 0.8,
  },
  top_k: {
    label: "Top k",
    words: "Choose among this many of the likeliest tokens. 0 means all.",
    min: 0,
    max: 100_000,
    step: 1,
    initial: 40,
  },
  top_p: {
    label: "Top p",
    words: "Choose among the likeliest tokens that together have this share of the probability. 1 means all.",
    min: 0.01,
    max: 1,
    step: 0.01,
    initial: 1,
  },
  min_p: {
    label: "Min p",
    words:
      "Leave out tokens less likely than this share of the likeliest one's probability. 0 leaves out none.",
    min: 0,
    max: 1,
    step: 0.01,
    initial: 0,
  },
  repetition_penalty: {
    label: "Repetition penalty",
    words: "Makes words that the text already contains less likely. 1 is off; 1.2 is a lot.",
    min: 1,
    max: 10,
    step: 0.05,
    initial: 1,
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof SETTINGS;
export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

export const SEED: Setting = {
  label: "Seed",
  words: "The same text, settings and seed give the same continuation. “Try again” takes the next seed.",
  min: 0,
  max: Number.MAX_SAFE_INTEGER,
  step: 1,
  initial: 1,
};

/** The seed `by` further on; 0 follows the greatest. */
export const seedAfter = (seed: number, by: number): number =>
  seed > SEED.max - by ? by - (SEED.max - seed) - 1 : seed + by;

/** How many continuations can be side by side. */
export const CANDIDATES = [1, 2, 4] as const;

/** What decides a continuation, apart from the text. */
export interface Settings extends Readonly<Record<SettingName, number>> {
  /** The continuation ends before this text; "" for none. */
  readonly stop: string;
  readonly seed: number;
}

export const INITIAL: Settings = {
  ...(Object.fromEntries(SETTING_NAMES.map((name) => [name, SETTINGS[name].initial])) as Record<
    SettingName,
    number
  >),
  stop: "",
  seed: SEED.initial,
};

/** Whether a value is valid. */
export function allows({ min, max, step }: Setting, value: number): boolean {
  return Number.isFinite(value) && value >= min && value <= max && (step < 1 || Number.isSafeInteger(value));
}

/** The values that a setting can have, in words. */
export function wanted({ label, min, max, step }: Setting): string {
  const kind = step < 1 ? "a number" : "a whole number";
  return max > 100_000 ? `${label} is ${kind} from ${min}` : `${label} is ${kind} from ${min} to ${max}`;
}

/** Replaces \n with a line break and \\ with a backslash. */
export const unescaped = (text: string): string =>
  text.replace(/\\([\\n])/g, (_, letter: string) => (letter === "n" ? "\n" : "\\"));

/** Settings from stored or linked values: invalid ones get their default. */
export function readSettings(values: Readonly<Record<string, unknown>>): Settings {
  const number = (setting: Setting, value: unknown): number =>
    typeof value === "number" && allows(setting, value) ? value : setting.initial;
  const numbers = SETTING_NAMES.map((name) => [name, number(SETTINGS[name], values[name])]);
  return {
    ...(Object.fromEntries(numbers) as Record<SettingName, number>),
    stop: typeof values["stop"] === "string" ? values["stop"] : "",
    seed: number(SEED, values["seed"]),
  };
}
