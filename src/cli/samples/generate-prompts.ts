import type { Command } from "commander";
import { DRAWING, faultOfBeams, searchesBeams } from "../../sampling/beam-faults.js";
import {
  BEAM_NAMES,
  BEAM_OPTIONS,
  SAMPLING_NAMES,
  SAMPLING_OPTIONS,
  type SamplingOption,
} from "../../sampling/options.js";
import { type Numbering, numberSamples } from "../../sampling/sample-numbers.js";
import { UsageError } from "../../system/errors.js";
import { expandPath } from "../../system/paths.js";
import { parseSetting } from "../config/apply.js";
import { displaces } from "../config/rules.js";
import { type FileOptions, openSink } from "../options/files.js";
import type { NumberingOptions } from "../options/numbering.js";
import { unescaped } from "../options/parse.js";
import { checkBias, type GeneratingOptions } from "../options/sampling.js";
import { note } from "../terminal/output.js";
import { type RunPrompts, samplesByPrompt } from "./prompts.js";
import { type OwnOption, type PromptEntry, readPrompts } from "./prompts-file.js";
import { showSpeed } from "./run.js";
import { pageOf, writeOnce } from "./run-once.js";
import { type NumberedPrompt, runPrompts } from "./run-prompts.js";
import type { SampleRecord } from "./sink.js";

/** The options of a run over the prompts of a file. */
export interface PromptsOptions extends GeneratingOptions, NumberingOptions, FileOptions {
  readonly template?: string;
  readonly column?: string;
  readonly include_prefix: boolean;
  readonly sample_delim: string;
}

/** A prompt of the file, with its options. */
interface OwnPrompt extends PromptEntry {
  readonly options: PromptsOptions;
  /** How many samples it gets. */
  readonly nsamples: number;
}

/** What a prompt cannot set for itself: the number of samples, and of those computed at once. */
const SHARED = ["nsamples", "batch_size"];
const OWN = [...SAMPLING_NAMES.filter((name) => !SHARED.includes(name)), ...BEAM_NAMES];
/** What has a meaning for draws alone, or for searches alone. */
const APART = [...DRAWING, ...BEAM_NAMES];

/** A prompt's options: its own, then the run's, of which a search gives way to a draw of its own, and the reverse. */
function optionsOf(command: Command, options: PromptsOptions, own: readonly OwnOption[]): PromptsOptions {
  const defaults: Readonly<Record<string, SamplingOption>> = { ...SAMPLING_OPTIONS, ...BEAM_OPTIONS };
  const displaced = APART.filter((name) =>
    own.some((each) => displaces(each, { name, texts: [String(options[name])] }, "generate")),
  );
  return {
    ...options,
    ...Object.fromEntries(displaced.map((name) => [name, defaults[name].initial])),
    ...Object.fromEntries(own.map((each) => [each.name, parseSetting(command, each)])),
  };
}

/** The file's prompts of this shard. */
async function promptsOf(command: Command, file: string, options: PromptsOptions): Promise<OwnPrompt[]> {
  const { shard = { i: 1, n: 1 }, column } = options;
  const template = options.template === undefined ? undefined : unescaped(options.template);
  const entries = await readPrompts(expandPath(file), { template, column, ownNames: OWN });
  const drawn = searchesBeams(options) ? 1 : options.nsamples;
  const all = entries.map((entry) => {
    const own = optionsOf(command, options, entry.own);
    const fault = faultOfBeams({ ...own, nsamples: undefined }); // here num_return sets it
    if (fault) throw new UsageError(`${entry.own[0]?.where ?? file}: ${fault.reason}`, fault);
    return { ...entry, options: own, nsamples: searchesBeams(own) ? (own.num_return ?? 1) : drawn };
  });
  return all.filter((_, k) => k % shard.n === shard.i - 1);
}

/** Which of a prompt's samples to write. @param done those that exist already */
const numberingOf = ({ options, nsamples }: OwnPrompt, done?: ReadonlySet<number>): Numbering =>
  numberSamples(searchesBeams(options) ? {} : { first_sample: options.first_sample }, nsamples, done);

/** How many samples the prompts get together. */
const countSamples = (prompts: readonly OwnPrompt[]): number =>
  prompts.reduce((sum, each) => sum + numberingOf(each).count, 0);

/** The prompts in stretches of which all are drawn, or all searched. */
function stretches(prompts: readonly NumberedPrompt[]): NumberedPrompt[][] {
  const all: NumberedPrompt[][] = [];
  for (const each of prompts) {
    const last = all.at(-1);
    if (last && searchesBeams(last[0].options) === searchesBeams(each.options)) last.push(each);
    else all.push([each]);
  }
  return all;
}

/** What a file of samples needs to recognize its prompts. */
function runOf(prompts: readonly OwnPrompt[]): RunPrompts {
  const places = new Map(prompts.map(({ number }, index) => [number, index]));
  const own = prompts
    .filter((each) => each.own.length > 0)
    .map((each) => [each.number, each.own.map(({ name, texts }) => [name, ...texts])]);
  return {
    countSamples: () => countSamples(prompts),
    find: (number) => {
      const index = places.get(number ?? 0);
      if (index === undefined) return undefined;
      const { prompt, own, options } = prompts[index];
      return { index, prompt, ...(own.some(({ name }) => name === "seed") && { seed: options.seed }) };
    },
    ...(own.length > 0 && { deciding: { own_options: JSON.stringify(own) } }),
  };
}

/** The text before a sample: a line with its prompt's number, or --sample_delim; then the prompt. */
function layoutOf(
  command: Command,
  { include_prefix, sample_delim }: PromptsOptions,
  prompts: readonly OwnPrompt[],
): (record: SampleRecord, position: number) => string {
  const isDelimited = command.getOptionValueSource("sample_delim") !== "default";
  const isNumbered = prompts.some(({ nsamples }) => nsamples > 1);
  return ({ sample, prompt, prompt_number }, position) => {
    const head = `PROMPT ${prompt_number}${isNumbered ? ` SAMPLE ${sample}` : ""}`;
    const line = `${"=".repeat(40)} ${head} ${"=".repeat(40)}\n`;
    const between = isDelimited ? (position > 1 ? sample_delim : "") : line;
    return between + (include_prefix ? prompt : "");
  };
}

/** The most tokens of a sample; undefined: until its context is full. */
function longest(prompts: readonly OwnPrompt[]): number | undefined {
  const lengths = prompts.map(({ options }) => options.length ?? Number.POSITIVE_INFINITY);
  const most = Math.max(...lengths);
  return most === Number.POSITIVE_INFINITY ? undefined : most;
}

/** `gpt2 generate --prompts`: continues every prompt of a file; the exit code. */
export async function generatePrompts(
  command: Command,
  file: string,
  options: PromptsOptions,
): Promise<number> {
  if ([options.nfiles, options.folder, options.out_dir].some((each) => each !== undefined))
    throw new UsageError("--prompts goes with --out or --resume", { next: "drop --nfiles and --folder" });
  const prompts = await promptsOf(command, file, options);
  const files = await openSink(command, { ...options, shard: undefined }, runOf(prompts));
  return writeOnce(options, files, async ({ seed, ...writing }) => {
    for (const { options } of prompts) checkBias(options.logit_bias, writing.model.hparams.n_vocab);
    const done = samplesByPrompt(files?.done);
    // A seed is chosen, and shown, only if a prompt is drawn that sets none.
    const isSeeded = prompts.every((each) => searchesBeams(each.options) || each.options.seed !== undefined);
    const common = isSeeded ? 0 : seed();
    const numbered = prompts.map((each, index) => ({
      ...{ number: each.number, prompt: each.prompt },
      options: { ...each.options, seed: each.options.seed ?? common },
      numbering: numberingOf(each, done.get(index)),
    }));
    const page = await pageOf({ ...options, length: longest(prompts) }, countSamples(prompts), writing.model);
    const started = performance.now();
    let [written, tokens] = [0, 0];
    for (const stretch of stretches(numbered)) {
      const isSearch = searchesBeams(stretch[0].options);
      const write = isSearch ? (await import("./search-prompts.js")).searchPrompts : runPrompts;
      const added = await write({
        ...writing,
        batch_size: options.batch_size,
        format: files?.done ? "jsonl" : options.format,
        color: options.color,
        before: layoutOf(command, options, prompts),
        page,
        prompts: stretch,
        written,
      });
      written += added.samples;
      tokens += added.tokens;
    }
    if (tokens > 0) note(showSpeed(tokens, (performance.now() - started) / 1000));
    await page?.write();
  });
}
