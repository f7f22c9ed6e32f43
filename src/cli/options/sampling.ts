import { type Command, Option } from "commander";
import type { EngineOptions } from "../../engines/create.js";
import { MAX_SEED } from "../../random.js";
import { faultOfBias, isBias } from "../../sampling/draw.js";
import { UsageError } from "../../system/errors.js";
import { silenceNotes } from "../terminal/output.js";
import { addEngineOptions, addModelsDir } from "./engine.js";
import { addValue, decimalNumber, oneOf, toDecimal, unescaped, wholeNumber } from "./parse.js";
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
    new Option("--stop <text>", "end a sample before this text; \\n is a newline; can be given several times")
      .argParser((text: string, all: string[]) => {
        if (text === "") throw new UsageError("--stop must not be empty");
        return [...all, unescaped(text)];
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
