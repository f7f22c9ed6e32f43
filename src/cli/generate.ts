import { type Command, Option } from "commander";
import { UsageError } from "../errors.js";
import { expandPath } from "../store.js";
import { readStdin, readTextFile, withoutLastNewline, withUnixLines } from "./input.js";
import {
  addGeneratingOptions,
  type GeneratingOptions,
  MAX_COUNT,
  trueOrFalse,
  wholeNumber,
} from "./options.js";
import { addNumberingOptions, type NumberingOptions, openResumed } from "./resume.js";
import type { Layout } from "./run.js";
import { SampleFiles } from "./sample-files.js";
import { type OwnSink, runOnce } from "./unconditional.js";

/** The options that generate has beside the shared ones. Names are gpt-2-simple's, but for prompt_file and out. */
interface GenerateOptions extends GeneratingOptions, NumberingOptions {
  readonly prefix?: string;
  readonly prompt_file?: string;
  readonly truncate?: string;
  readonly include_prefix: boolean;
  readonly sample_delim: string;
  readonly nfiles?: number;
  readonly folder?: string;
  readonly out?: string;
  readonly overwrite?: boolean;
}

const DELIMITER = `${"=".repeat(20)}\n`;
const FOLDER = "gen";
const MAX_FILES = 1_000_000;

/** The prompt: given as it is, the file's text, or standard input; of the last two without the closing newline. */
async function readPrompt(
  argument: string | undefined,
  { prefix, prompt_file }: GenerateOptions,
): Promise<string> {
  if ([argument, prefix, prompt_file].filter((each) => each !== undefined).length > 1) {
    throw new UsageError("give the prompt once: as an argument, with --prefix, or with --prompt_file");
  }
  const given = argument ?? prefix;
  if (given !== undefined) return given;
  if (prompt_file !== undefined) return withoutLastNewline(withUnixLines(await readTextFile(prompt_file)));
  const how = 'give a prompt: gpt2 generate "Once upon a time", or --prompt_file FILE';
  return withoutLastNewline(withUnixLines(await readStdin(how)));
}

/** What a shell leaves as two characters: \n, \t, \r; \\ is one backslash. */
function unescapeDelimiter(text: string): string {
  const meant: Record<string, string> = { n: "\n", t: "\t", r: "\r", "\\": "\\" };
  return text.replace(/\\([ntr\\])/g, (_, letter: string) => meant[letter]);
}

/** The files that the samples go to; undefined for standard output. */
async function openFiles({
  nsamples,
  nfiles,
  folder,
  out,
  overwrite,
  format,
}: GenerateOptions): Promise<OwnSink | undefined> {
  if (out !== undefined) {
    if (nfiles !== undefined || folder !== undefined) {
      throw new UsageError("give --out for one file, or --nfiles and --folder for several, not both");
    }
    return SampleFiles.oneFile(expandPath(out), nsamples, overwrite === true);
  }
  if (overwrite)
    throw new UsageError("--overwrite goes with --out FILE: files in --folder take no other's place");
  if (nfiles === undefined && folder === undefined) return undefined;
  const extension = format === "jsonl" ? ".jsonl" : ".txt";
  return SampleFiles.inFolder(expandPath(folder ?? FOLDER), nsamples, extension);
}

/** Samples parted by the delimiter, in each file anew. */
function layoutOf(prompt: string, { include_prefix, sample_delim, nsamples }: GenerateOptions): Layout {
  return {
    before: (_, position) =>
      ((position - 1) % nsamples > 0 ? sample_delim : "") + (include_prefix ? prompt : ""),
  };
}

async function generate(
  command: Command,
  argument: string | undefined,
  options: GenerateOptions,
): Promise<number> {
  const total = options.nsamples * (options.nfiles ?? 1);
  if (total > MAX_COUNT) {
    throw new UsageError(`--nsamples times --nfiles must be at most ${MAX_COUNT}, not ${total}`);
  }
  const prompt = await readPrompt(argument, options);
  if (prompt === "") throw new UsageError("the prompt is empty: gpt2 unconditional writes from nothing");
  if (options.resume !== undefined && (options.out ?? options.nfiles ?? options.folder) !== undefined) {
    throw new UsageError("--resume names the file itself: leave --out, --nfiles and --folder away");
  }
  const files = (await openResumed(command, options, prompt)) ?? (await openFiles(options));
  const stop = options.truncate === undefined ? options.stop : [...options.stop, options.truncate];
  return runOnce({ ...options, stop, nsamples: total }, prompt, layoutOf(prompt, options), files);
}

/** `gpt2 generate`: continues one prompt, then exits, as gpt_2_simple generate. */
export function addGenerate(program: Command, finish: (code: number) => void): void {
  const command = program
    .command("generate")
    .summary("continue one prompt, then exit")
    .description(
      "Prints the prompt and its continuation. The prompt is the argument, --prefix, --prompt_file, or standard\ninput; several samples are parted by a line of 20 `=`. With --out, or --nfiles and --folder, samples go to files.",
    )
    .argument("[prompt]", "the text to continue")
    .option("--prefix <text>", "the prompt, as gpt-2-simple has it")
    .option("--prompt_file <file>", "read the prompt from a file")
    .addOption(
      new Option("--include_prefix <bool>", "true, or false: print the prompt with each sample")
        .argParser(trueOrFalse("--include_prefix"))
        .default(true),
    )
    .option("--truncate <text>", "end a sample before this text", (text) => {
      if (text === "") throw new UsageError("--truncate must not be empty");
      return text;
    })
    .addOption(
      new Option("--sample_delim <text>", "what stands between two samples; \\n is a new line")
        .argParser(unescapeDelimiter)
        .default(DELIMITER, "20 `=` and a new line"),
    )
    .option(
      "--nfiles <n>",
      "write so many files with nsamples samples each (default: 1 with --folder)",
      wholeNumber("--nfiles", 1, MAX_FILES),
    )
    .option(
      "--folder <dir>",
      `where the files go, as gpt2_gentext_<date>_<time>.txt; nothing there is changed (default: ${FOLDER} with --nfiles)`,
    )
    .option("--out <file>", "write the samples to this file, gpt-2-simple's destination_path")
    .option("--overwrite", "let --out replace a file that is there")
    .addHelpText("before", 'Example: gpt2 generate "Once upon a time" --length 100\n');
  addNumberingOptions(addGeneratingOptions(command, { default: 1, min: 1 })).action(
    async (argument: string | undefined, options: GenerateOptions) => {
      finish(await generate(command, argument, options));
    },
  );
}
