import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import type { EngineOptions } from "../../engines/create.js";
import { faultOfBias, isBias } from "../../sampling/logit-bias.js";
import {
  BEAM_NAMES,
  BEAM_OPTIONS,
  type BeamOptionName,
  SAMPLING_NAMES,
  SAMPLING_OPTIONS,
  type SamplingOption,
  type SamplingOptionName,
} from "../../sampling/options.js";
import { UsageError, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { expandPath } from "../../system/paths.js";
import { silenceNotes } from "../terminal/output.js";
import { COLOR_WORDS, type ColorWhen } from "../terminal/paint.js";
import { addEngineOptions, addModelsDir, MODEL_NAME } from "./engine.js";
import {
  addValue,
  formatOption,
  numberOf,
  oneOf,
  onOrOff,
  repeated,
  toDecimal,
  unescaped,
  wholeNumber,
} from "./parse.js";
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
  readonly presence_penalty: number;
  readonly frequency_penalty: number;
  readonly penalty_window: number;
  readonly dry_multiplier: number;
  readonly dry_base: number;
  readonly dry_allowed_length: number;
  readonly dry_breaker?: readonly string[];
  readonly no_repeat_ngram_size: number;
  readonly typical_p: number;
  readonly mirostat_tau: number;
  readonly bad_words?: readonly string[];
  readonly logit_bias: ReadonlyMap<number, number>;
  readonly stop: readonly string[];
  readonly ignore_eos?: boolean;
  readonly special?: boolean;
  readonly show_special?: boolean;
  readonly logprobs?: number;
  /** These three: where the command has a beam search. */
  readonly num_beams?: number;
  readonly length_penalty?: number;
  readonly num_return?: number;
  readonly format: "text" | "jsonl";
  readonly color: ColorWhen;
  readonly quiet?: boolean;
}

/** Adds a token id's bias, `50256=-2.5` or `50256=-inf`, to those given before. */
function addBias(text: string, before: ReadonlyMap<number, number>): ReadonlyMap<number, number> {
  const [, id, value] = /^\s*(\d{1,9})\s*=\s*(\S+)\s*$/.exec(text) ?? [];
  const bias = /^-inf(inity)?$/i.test(value) ? -Infinity : toDecimal(value ?? "");
  if (id === undefined || !isBias(bias)) {
    throw new UsageError(
      `--logit_bias must be ID=VALUE, a token id and a number from -1e9 to 1e9 or -inf, not ${JSON.stringify(text)}`,
    );
  }
  return new Map(before).set(Number(id), bias);
}

/** Checks that a model has the tokens that are given a bias. @throws UsageError that names one it has not */
export function checkBias(bias: ReadonlyMap<number, number>, n_vocab: number): void {
  const fault = faultOfBias(bias, n_vocab);
  if (fault) throw new UsageError(`--logit_bias${fault}; gpt2 tokenize shows a text's ids`);
}

/** Adds `--color`. It is off unless it is asked for: a text on a terminal may be there to be read, or copied. */
export function addColor(command: Command, what: string): void {
  const text = `colour ${what} by probability: auto (on a terminal), always, or never`;
  addValue(command, "--color <when>", text, oneOf("--color", COLOR_WORDS), "never");
}

/** `--special` for commands that read something other than a prompt. */
export function specialOption(what: string): Option {
  const { text, placeholder } = SAMPLING_OPTIONS.special;
  return new Option(`--special <${placeholder}>`, text.replace("a prompt", what)).argParser(
    onOrOff("--special"),
  );
}

/** `--stride` of commands that score a text. */
export const strideOption = (): Option =>
  new Option(
    "--stride <n>",
    "read a text longer than the context in windows n tokens apart (default: half the context)",
  ).argParser(wholeNumber("--stride", 1, 1_000_000));

/** The lines of a file, but for empty ones. @throws UserError when it cannot be read or has none */
function linesOf(file: string): string[] {
  let text: string;
  try {
    text = readFileSync(expandPath(file), "utf8");
  } catch (error) {
    throw fileError("read", file, error);
  }
  const lines = text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .filter((line) => line !== "");
  if (lines.length === 0)
    throw new UserError(`${file} has no lines`, { next: "name a file with a text a line" });
  return lines;
}

/** An option of the table, as commander has it. */
function samplingOption(
  name: SamplingOptionName | BeamOptionName,
  nsamples: { default: number; min: number },
): Option {
  const options = { ...SAMPLING_OPTIONS, ...BEAM_OPTIONS };
  const { rule, text, placeholder, initial }: SamplingOption = options[name];
  const flag = `--${name}`;
  const option = new Option(placeholder === undefined ? flag : `${flag} <${placeholder}>`, text);
  if (!("min" in rule)) {
    if (rule.type === "flag") return option;
    if (rule.type === "switch") return option.argParser(onOrOff(flag));
    if (rule.type === "lines") return option.argParser(linesOf);
    if (rule.type === "biases") return option.argParser(repeated(addBias)).default(new Map(), "none");
    const add = (typed: string, all: readonly string[] = []): readonly string[] => {
      if (typed === "") throw new UsageError(`${flag} must not be empty`);
      return [...all, unescaped(typed)];
    };
    option.argParser(repeated(add));
    return name === "stop" ? option.default([], "none") : option;
  }
  if (name === "nsamples") {
    if (nsamples.min === 0) option.description += "; 0 = until stopped";
    return option.argParser(numberOf(flag, { ...rule, min: nsamples.min })).default(nsamples.default);
  }
  option.argParser(numberOf(flag, rule));
  return initial === undefined ? option : option.default(initial);
}

/**
 * Adds the options of the generating commands.
 * @param nsamples the command's default, and the least that it takes
 * @param hasBeams whether the command has a beam search
 */
export function addGeneratingOptions(
  command: Command,
  nsamples: { default: number; min: number },
  hasBeams = false,
): Command {
  command.option(...MODEL_NAME);
  addModelsDir(command);
  addRunModel(command);
  const names = hasBeams ? [...SAMPLING_NAMES, ...BEAM_NAMES] : SAMPLING_NAMES;
  for (const name of names) command.addOption(samplingOption(name, nsamples));
  command.addOption(formatOption("text, or jsonl: one JSON object per sample"));
  addColor(command, "each sample's tokens");
  command.option("--quiet", "print no notes (seed, speeds) on stderr; warnings and errors are still printed");
  command.hook("preAction", () => silenceNotes(command.opts<GeneratingOptions>().quiet === true));
  return addEngineOptions(command);
}
