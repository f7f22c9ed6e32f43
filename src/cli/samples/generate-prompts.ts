import type { Command } from "commander";
import { expandPath } from "../../models/store.js";
import { faultOfBeams, searchesBeams } from "../../sampling/beam-faults.js";
import { SAMPLING_NAMES } from "../../sampling/options.js";
import { numberSamples } from "../../sampling/sample-numbers.js";
import { UsageError } from "../../system/errors.js";
import { parseSetting } from "../config/apply.js";
import { type FileOptions, openSink } from "../options/files.js";
import type { NumberingOptions } from "../options/numbering.js";
import { unescaped } from "../options/parse.js";
import type { GeneratingOptions } from "../options/sampling.js";
import { type RunPrompts, samplesByPrompt } from "./prompts.js";
import { type PromptEntry, readPrompts } from "./prompts-file.js";
import { pageOf, writeOnce } from "./run-once.js";
import { runPrompts } from "./run-prompts.js";
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
}

/** What a prompt cannot set for itself: the number of samples, and of those computed at once. */
const SHARED = ["nsamples", "batch_size"];

/** The file's prompts of this shard. */
async function promptsOf(command: Command, file: string, options: PromptsOptions): Promise<OwnPrompt[]> {
  const { shard = { i: 1, n: 1 }, column } = options;
  const template = options.template === undefined ? undefined : unescaped(options.template);
  const ownNames = SAMPLING_NAMES.filter((name) => !SHARED.includes(name));
  const entries = await readPrompts(expandPath(file), { template, column, ownNames });
  const all = entries.map((entry) => {
    const given = entry.own.map((each) => [each.name, parseSetting(command, each)] as const);
    const own: PromptsOptions = { ...options, ...Object.fromEntries(given) };
    const fault = faultOfBeams({ ...own, nsamples: undefined }); // here num_return sets it
    if (fault) throw new UsageError(`${entry.own[0]?.where ?? file}: ${fault.reason}`, fault);
    return { ...entry, options: own };
  });
  return all.filter((_, k) => k % shard.n === shard.i - 1);
}

/** What a file of samples needs to recognize its prompts. */
function runOf(prompts: readonly OwnPrompt[]): RunPrompts {
  const places = new Map(prompts.map(({ number }, index) => [number, index]));
  const own = prompts
    .filter((each) => each.own.length > 0)
    .map((each) => [each.number, each.own.map(({ name, texts }) => [name, ...texts])]);
  return {
    count: prompts.length,
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
  { nsamples, include_prefix, sample_delim }: PromptsOptions,
): (record: SampleRecord, position: number) => string {
  const isDelimited = command.getOptionValueSource("sample_delim") !== "default";
  return ({ sample, prompt, prompt_number }, position) => {
    const head = `PROMPT ${prompt_number}${nsamples > 1 ? ` SAMPLE ${sample}` : ""}`;
    const line = `${"=".repeat(40)} ${head} ${"=".repeat(40)}\n`;
    const between = isDelimited ? (position > 1 ? sample_delim : "") : line;
    return between + (include_prefix ? prompt : "");
  };
}

/** `gpt2 generate --prompts`: continues every prompt of a file; the exit code. */
export async function generatePrompts(
  command: Command,
  file: string,
  options: PromptsOptions,
): Promise<number> {
  if ([options.nfiles, options.folder, options.out_dir].some((each) => each !== undefined))
    throw new UsageError("--prompts goes with --out or --resume", { next: "drop --nfiles and --folder" });
  const { nsamples, batch_size, first_sample } = options;
  const prompts = await promptsOf(command, file, options);
  const files = await openSink(command, { ...options, shard: undefined }, runOf(prompts));
  return writeOnce(options, files, async ({ seed, ...writing }) => {
    const done = samplesByPrompt(files?.done);
    // A seed is chosen, and shown, only if a prompt sets none.
    const isSearch = searchesBeams(options);
    const common = isSearch || prompts.every((each) => each.options.seed !== undefined) ? 0 : seed();
    const count = prompts.length * numberSamples({ first_sample }, nsamples).count;
    const page = await pageOf(options, count, writing.model);
    const write = isSearch ? (await import("./search-prompts.js")).searchPrompts : runPrompts;
    await write({
      ...writing,
      batch_size,
      format: files?.done ? "jsonl" : options.format,
      color: options.color,
      before: layoutOf(command, options),
      page,
      prompts: prompts.map(({ number, prompt, options: own }, index) => ({
        ...{ number, prompt },
        options: { ...own, seed: own.seed ?? common },
        numbering: numberSamples({ first_sample }, nsamples, done.get(index)),
      })),
    });
    await page?.write();
  });
}
