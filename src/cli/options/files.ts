import { resolve } from "node:path";
import type { Command } from "commander";
import { MAX_COUNT } from "../../sampling/options.js";
import { numberSamples } from "../../sampling/sample-numbers.js";
import { UsageError } from "../../system/errors.js";
import { expandPath } from "../../system/paths.js";
import { checkOutFile } from "../samples/out-file.js";
import type { RunPrompts } from "../samples/prompts.js";
import { openResumed } from "../samples/resumed-file.js";
import { SampleFiles } from "../samples/sample-files.js";
import type { OwnSink } from "../samples/sink.js";
import type { NumberingOptions } from "./numbering.js";
import { wholeNumber } from "./parse.js";
import type { GeneratingOptions } from "./sampling.js";

/** Where samples go instead of standard output. Names are gpt-2-simple's, except out and out_dir. */
export interface FileOptions {
  readonly nfiles?: number;
  readonly folder?: string;
  /** Another name for folder. */
  readonly out_dir?: string;
  readonly out?: string;
  readonly html?: string;
  readonly overwrite?: boolean;
}

const FOLDER = "gen";
const MAX_FILES = 1_000_000;

/** What --html does, for help. */
export const HTML_TEXT =
  "also write a page: the text coloured by probability, what else could have come, and a curve of surprise";

/** Adds the options that write samples to files. */
export function addFileOptions(command: Command): Command {
  return command
    .option("--out <file>", "write the samples to this file (gpt-2-simple's destination_path)")
    .option("--html <file>", HTML_TEXT)
    .option("--overwrite", "let --out and --html replace existing files")
    .option(
      "--nfiles <n>",
      "write n files of nsamples samples each (default: 1 with --folder)",
      wholeNumber("--nfiles", 1, MAX_FILES),
    )
    .option(
      "--folder <dir>",
      `where to write the files, as gpt2_gentext_<date>_<time>.txt; existing files are kept (default: ${FOLDER} with --nfiles)`,
    )
    .option("--out_dir <dir>", "another name for --folder");
}

/**
 * How many samples all files have together; 0 means for ever.
 * @throws UsageError when they are too many
 */
export function countSamples({ nsamples, nfiles = 1 }: GeneratingOptions & FileOptions): number {
  const total = nsamples * nfiles;
  if (total <= MAX_COUNT) return total;
  throw new UsageError(`--nsamples times --nfiles must be at most ${MAX_COUNT}, not ${total}`);
}

/**
 * Whether a page of the samples may be written.
 * @throws UsageError when options contradict --html; UserError when the file cannot be written
 */
async function checkPage(
  html: string,
  { nsamples, out, overwrite, resume }: GeneratingOptions & NumberingOptions & FileOptions,
): Promise<void> {
  if (resume !== undefined)
    throw new UsageError("--html shows what one run writes", { next: "drop --html or --resume" });
  if (nsamples === 0) throw new UsageError("a page needs an end", { next: "pass --nsamples" });
  const path = expandPath(html);
  if (out !== undefined && resolve(expandPath(out)) === resolve(path))
    throw new UsageError("--html and --out name the same file", { next: "choose another --html" });
  await checkOutFile(path, "--html", overwrite === true);
}

/**
 * The files for the samples, or the one that --resume continues; undefined for standard output.
 * @throws UsageError when options contradict each other; UserError when a file or folder cannot be created
 */
export async function openSink(
  command: Command,
  options: GeneratingOptions & NumberingOptions & FileOptions,
  prompts: RunPrompts,
): Promise<OwnSink | undefined> {
  const { nsamples, nfiles, out, out_dir, overwrite, format, logprobs } = options;
  if (logprobs !== undefined && format === "text" && options.resume === undefined) {
    throw new UsageError("--logprobs goes with --format jsonl", { next: "pass both, or neither" });
  }
  if (options.folder !== undefined && out_dir !== undefined) {
    throw new UsageError("--out_dir is another name for --folder", { next: "give one of them" });
  }
  if (options.html !== undefined) await checkPage(options.html, options);
  const folder = options.folder ?? out_dir;
  const isInFolder = nfiles !== undefined || folder !== undefined;
  if (options.resume !== undefined) {
    if (out !== undefined || isInFolder) {
      throw new UsageError("--resume names the file itself", { next: "drop --out, --nfiles and --folder" });
    }
    return openResumed(command, options, prompts);
  }
  if (out !== undefined && isInFolder) {
    throw new UsageError("give --out for one file, or --nfiles and --folder for several, not both");
  }
  if (overwrite && out === undefined && options.html === undefined) {
    throw new UsageError("--overwrite goes with --out FILE or --html FILE", {
      next: "files in --folder never replace others",
    });
  }
  if (out === undefined && !isInFolder) return undefined;
  if (nsamples === 0) {
    throw new UsageError("a file needs an end", { next: "pass --nsamples" });
  }
  const count = prompts.countSamples(numberSamples(options, countSamples(options)).count);
  if (out !== undefined) return SampleFiles.oneFile(expandPath(out), count, overwrite === true);
  const extension = format === "jsonl" ? ".jsonl" : ".txt";
  return SampleFiles.inFolder(expandPath(folder ?? FOLDER), { perFile: nsamples, count, extension });
}
