import { type Command, Option } from "commander";
import { BACKENDS, type EngineOptions, PRECISIONS } from "../../engines/create.js";
import { MAX_SEED } from "../../random.js";
import { faultOfBias, isBias } from "../../sampling/draw.js";
import { UsageError } from "../../system/errors.js";
import { silenceNotes } from "../terminal/output.js";
import { addRunModel } from "./run-name.js";

/** The options that the three generating commands share, as they were typed or by default. */
export interface GeneratingOptions extends EngineOptions {
  readonly model_name: string;
  readonly models_dir?: string;
  readonly seed?: number;
  readonly nsamples: number;
  readonly batch_size: number;
  readonly length?: number;
  readonly temperature: number;
  readonly top_k: number;
  readonly top_p: number;
  readonly min_p: number;
  readonly repetition_penalty: number;
  readonly logit_bias: ReadonlyMap<number, number>;
  readonly stop: readonly string[];
  readonly ignore_eos?: boolean;
  readonly format: "text" | "jsonl";
  readonly quiet?: boolean;
}

/** Reads a whole number in the given bounds; anything else is a UsageError that names the option. */
export function wholeNumber(option: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const n = /^\+?\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (!(n >= min && n <= max)) {
      throw new UsageError(
        `${option} must be a whole number from ${min} to ${max}, not ${JSON.stringify(text)}`,
      );
    }
    return n;
  };
}

/** The number that a text spells in decimals, with or without an exponent; NaN for anything else. */
function toDecimal(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : Number.NaN;
}

/** Reads a decimal number that passes a test; anything else is a UsageError that names the option. */
export function decimalNumber(option: string, wanted: string, isGood: (n: number) => boolean) {
  return (text: string): number => {
    const n = toDecimal(text);
    if (!Number.isFinite(n) || !isGood(n)) {
      throw new UsageError(`${option} must be ${wanted}, not ${JSON.stringify(text)}`);
    }
    return n;
  };
}

/** Reads a value; its words are what the shells' completion offers for it. */
export interface WordParser<T> {
  (text: string): T;
  readonly words: readonly string[];
}

/** Takes one of several words; anything else is a UsageError that lists them. */
export function oneOf<T extends string>(option: string, words: readonly T[]): WordParser<T> {
  const parse = (text: string): T => {
    const word = words.find((each) => each === text);
    if (word === undefined) {
      throw new UsageError(`${option} must be one of ${words.join(", ")}, not ${JSON.stringify(text)}`);
    }
    return word;
  };
  return Object.assign(parse, { words });
}

/** Takes any text; the words are only what is likely. */
export function anyText(words: readonly string[]): WordParser<string> {
  return Object.assign((text: string): string => text, { words });
}

/** Reads true or false, as Python people type it (True, False), too. */
export function trueOrFalse(option: string): WordParser<boolean> {
  const parse = (text: string): boolean => {
    const word = text.toLowerCase();
    if (word === "true" || word === "false") return word === "true";
    throw new UsageError(`${option} must be true or false, not ${JSON.stringify(text)}`);
  };
  return Object.assign(parse, { words: ["true", "false"] });
}

/** Adds a token id's bias, `50256=-2.5` or `50256=-inf`, to those given before. */
export function addBias(text: string, before: ReadonlyMap<number, number>): ReadonlyMap<number, number> {
  const [, id, value] = /^\s*(\d{1,9})\s*=\s*(\S+)\s*$/.exec(text) ?? [];
  const bias = /^-inf(inity)?$/i.test(value) ? -Infinity : toDecimal(value ?? "");
  if (id === undefined || !isBias(bias)) {
    throw new UsageError(
      `--logit_bias must be ID=VALUE, a token's id and a number from -1e9 to 1e9 or -inf, not ${JSON.stringify(text)}`,
    );
  }
  return new Map(before).set(Number(id), bias);
}

/** Checks that a model has the tokens that are given a bias. @throws UsageError that names one it has not */
export function checkBias(bias: ReadonlyMap<number, number>, n_vocab: number): void {
  const fault = faultOfBias(bias, n_vocab);
  if (fault) throw new UsageError(`--logit_bias${fault}; gpt2 tokenize shows a text's ids`);
}

/** The most samples computed at once: what it costs in memory grows with it, what it gains in speed does not. */
const MAX_BATCH = 1024;
export const MAX_COUNT = 1_000_000_000;
const MAX_THREADS = 64;

/** Adds --models_dir, which every command that knows models has. */
export function addModelsDir(command: Command): Command {
  return command.option(
    "--models_dir <dir>",
    "where models are (default: $GPT2_MODELS_DIR, else ./models if it exists, else the user's cache folder)",
  );
}

/** Adds an option that takes a value; shows the default, where there is one. */
export function addValue<T>(
  command: Command,
  flags: string,
  text: string,
  parse: (value: string) => T,
  value?: T,
): void {
  const option = new Option(flags, text).argParser(parse);
  command.addOption(value === undefined ? option : option.default(value));
}

/** Adds --backend. */
export function addBackend(command: Command): void {
  const text = `what computes: ${BACKENDS.join(", ")}`;
  addValue(command, "--backend <name>", text, oneOf("--backend", BACKENDS), "auto");
}

/** Adds --threads. */
export function addThreads(command: Command): void {
  const text = "how many threads compute (default: what this machine or container allows)";
  addValue(command, "--threads <n>", text, wholeNumber("--threads", 1, MAX_THREADS));
}

/** Adds the options that say what computes. */
export function addEngineOptions(command: Command): Command {
  addBackend(command);
  addValue(
    command,
    "--precision <name>",
    "auto, float32, or int8: weights rounded to 8 bits, faster, a quarter of the memory",
    oneOf("--precision", PRECISIONS),
    "auto",
  );
  addThreads(command);
  return command.option(
    "--fast_math",
    "fused multiply-add where Node has it: faster, but texts may differ from machine to machine",
  );
}

/**
 * Adds the options of the generating commands.
 * @param nsamples the command's default, and the least that it takes
 */
export function addGeneratingOptions(command: Command, nsamples: { default: number; min: number }): Command {
  command.option("--model_name <name>", "a model's name, or the path of its folder", "117M");
  addModelsDir(command);
  addRunModel(command);
  const forEver = nsamples.min === 0 ? "; 0 = for ever" : "";
  const add = <T>(flags: string, text: string, parse: (value: string) => T, value?: T): void =>
    addValue(command, flags, text, parse, value);
  add(
    "--seed <n>",
    "same seed, same text (default: random, told on stderr)",
    wholeNumber("--seed", 0, MAX_SEED),
  );
  add(
    "--nsamples <n>",
    `how many samples${forEver}`,
    wholeNumber("--nsamples", nsamples.min, MAX_COUNT),
    nsamples.default,
  );
  add(
    "--batch_size <n>",
    "how many at once: speed and memory only, never the text",
    wholeNumber("--batch_size", 1, MAX_BATCH),
    1,
  );
  add(
    "--length <n>",
    "most new tokens (default: until the model ends the text, or its context is full)",
    wholeNumber("--length", 1, MAX_COUNT),
  );
  add(
    "--temperature <t>",
    "how random: 0 takes the likeliest token, always",
    decimalNumber("--temperature", "a number from 0", (n) => n >= 0),
    1,
  );
  add(
    "--top_k <k>",
    "draw from the k likeliest tokens; 0 = from all; 40 is a good value",
    wholeNumber("--top_k", 0, MAX_COUNT),
    0,
  );
  add(
    "--top_p <p>",
    "draw from the smallest set of tokens whose probability reaches p; 1 = from all",
    decimalNumber("--top_p", "a number above 0, up to 1", (n) => n > 0 && n <= 1),
    1,
  );
  add(
    "--min_p <p>",
    "draw from the tokens at least p times as probable as the likeliest; 0 = from all; 0.05 is a good value",
    decimalNumber("--min_p", "a number from 0 to 1", (n) => n >= 0 && n <= 1),
    0,
  );
  add(
    "--repetition_penalty <r>",
    "weaken tokens that stand in the context already; 1 = off; 1.2 is a good value",
    decimalNumber("--repetition_penalty", "a number from 0.01 to 100", (n) => n >= 0.01 && n <= 100),
    1,
  );
  command.addOption(
    new Option(
      "--logit_bias <id=value>",
      "add a number to a token's logit, -inf forbids the token; can be given several times",
    )
      .argParser(addBias)
      .default(new Map(), "none"),
  );
  command.addOption(
    new Option("--stop <text>", "end a sample before this text; can be given several times")
      .argParser((text: string, all: string[]) => {
        if (text === "") throw new UsageError("--stop must not be empty");
        return [...all, text];
      })
      .default([], "none"),
  );
  command.option("--ignore_eos", "print <|endoftext|> and go on instead of ending the sample there");
  add(
    "--format <format>",
    "text, or jsonl: one JSON object a sample",
    oneOf("--format", ["text", "jsonl"]),
    "text",
  );
  command.option("--quiet", "no notes on stderr: neither the seed nor speeds; warnings and errors stay");
  command.hook("preAction", () => silenceNotes(command.opts<GeneratingOptions>().quiet === true));
  return addEngineOptions(command);
}

/** A long option's name with underscores alone. */
const underscored = (name: string): string => `--${name.slice(2).replaceAll("-", "_")}`;

/**
 * Lets `--top-k` and `--top-k=40` mean `--top_k`: rewrites the names of options the commands have, and nothing
 * else: neither an option's value that looks like one (`--stop --top-k`), nor what stands behind `--`.
 * @param args the command line's arguments
 * @param known the long options, as `--top_k` or `--no-fast_math`, and whether each takes a value
 */
export function withUnderscores(args: readonly string[], known: ReadonlyMap<string, boolean>): string[] {
  const names = new Map([...known.keys()].map((name) => [underscored(name), name]));
  let isValue = false;
  let isEnd = false;
  return args.map((arg) => {
    if (isValue || isEnd) {
      isValue = false;
      return arg;
    }
    isEnd = arg === "--";
    if (isEnd || !arg.startsWith("--")) return arg;
    const [name] = arg.split("=", 1);
    const meant = known.has(name) ? name : (names.get(underscored(name)) ?? name);
    isValue = known.get(meant) === true && arg === name;
    return meant + arg.slice(name.length);
  });
}
