import { type Command, Option } from "commander";
import { faultOfBeams, searchesBeams } from "../../sampling/beam-faults.js";
import { UsageError } from "../../system/errors.js";
import { addFileOptions, countSamples, openSink } from "../options/files.js";
import { addNumberingOptions } from "../options/numbering.js";
import { trueOrFalse, unescaped } from "../options/parse.js";
import { addGeneratingOptions } from "../options/sampling.js";
import type { PromptsOptions } from "../samples/generate-prompts.js";
import { onePrompt } from "../samples/prompts.js";
import type { Layout } from "../samples/sink.js";
import { readPiped, readStdin, readTextFile, withoutLastNewline, withUnixLines } from "../terminal/input.js";

/** The options of generate, besides the shared ones. Names are gpt-2-simple's, but for prompt_file. */
interface GenerateOptions extends PromptsOptions {
  readonly prefix?: string;
  readonly prompt_file?: string;
  readonly prompts?: string;
  readonly truncate?: string;
}

const DELIMITER = `${"=".repeat(20)}\n`;

/**
 * The prompt: standard input, then what was given: a text as it is, or a file's. Of a file, and of standard input
 * where it is all there is, without the closing newline.
 */
async function readPrompt(
  argument: string | undefined,
  { prefix, prompt_file }: GenerateOptions,
): Promise<string> {
  if ([argument, prefix, prompt_file].filter((each) => each !== undefined).length > 1) {
    throw new UsageError("give the prompt once", {
      next: "as an argument, with --prefix, or with --prompt_file",
    });
  }
  const given = argument ?? prefix;
  if (given !== undefined) return withUnixLines(await readPiped()) + given;
  if (prompt_file !== undefined) {
    const text = await readTextFile(prompt_file); // first: a file that is missing shows at once
    return withUnixLines(await readPiped()) + withoutLastNewline(withUnixLines(text));
  }
  const how = 'give a prompt: gpt2 generate "Once upon a time", or --prompt_file FILE';
  return withoutLastNewline(withUnixLines(await readStdin(how)));
}

/** Samples separated by the delimiter, counted afresh in each file. */
function layoutOf(prompt: string, { include_prefix, sample_delim, nsamples }: GenerateOptions): Layout {
  return {
    before: (_, position) =>
      ((position - 1) % nsamples > 0 ? sample_delim : "") + (include_prefix ? prompt : ""),
  };
}

/** The texts that end a sample; --truncate is one of them. */
const stopOf = ({ stop, truncate }: GenerateOptions): readonly string[] =>
  truncate === undefined ? stop : [...stop, truncate];

/** The options, where a beam search is asked for: its texts are the samples. @throws UsageError when they contradict */
function withBeams(options: GenerateOptions): GenerateOptions {
  const fault = faultOfBeams(options);
  if (fault) throw new UsageError(fault.reason, fault);
  if (!searchesBeams(options)) return options;
  if (options.first_sample !== undefined || options.nfiles !== undefined) {
    throw new UsageError(`--num_beams has no --${options.nfiles === undefined ? "first_sample" : "nfiles"}`, {
      next: "a prompt's search writes the --num_return best texts",
    });
  }
  if (options.shard !== undefined && options.prompts === undefined)
    throw new UsageError("--num_beams with --shard needs --prompts", { next: "one search cannot be split" });
  return { ...options, nsamples: options.num_return ?? 1 };
}

async function generate(
  command: Command,
  argument: string | undefined,
  typed: GenerateOptions,
): Promise<number> {
  const options = withBeams(typed);
  if (options.prompts !== undefined) {
    if ([argument, options.prefix, options.prompt_file].some((each) => each !== undefined))
      throw new UsageError("--prompts names a file of prompts", { next: "give no other prompt" });
    const { generatePrompts } = await import("../samples/generate-prompts.js");
    return generatePrompts(command, options.prompts, { ...options, stop: stopOf(options) });
  }
  if (options.template !== undefined || options.column !== undefined)
    throw new UsageError(
      `--${options.template === undefined ? "column" : "template"} goes with --prompts FILE`,
    );
  const total = countSamples(options);
  const prompt = await readPrompt(argument, options);
  if (prompt === "")
    throw new UsageError("the prompt is empty", { next: "gpt2 unconditional writes from nothing" });
  const stop = stopOf(options);
  const files = await openSink(command, { ...options, stop }, onePrompt(prompt));
  const { runOnce } = await import("../samples/run-once.js"); // a Tab asks for the options alone
  return runOnce({ ...options, stop, nsamples: total }, prompt, layoutOf(prompt, options), files);
}

/** `gpt2 generate`: continues one prompt, then exits, as gpt_2_simple generate. */
export function addGenerate(program: Command, finish: (code: number) => void): void {
  const command = program
    .command("generate")
    .description(
      "Prints the prompt and its continuation. The prompt is the argument, --prefix, --prompt_file, or standard input, which goes before any of the others. Several samples are separated by a line of 20 `=`. With --out, or --nfiles and --folder, samples go to files.",
    )
    .argument("[prompt]", "the text to continue")
    .option("--prefix <text>", "the prompt, under gpt-2-simple's name")
    .option("--prompt_file <file>", "read the prompt from a file")
    .option(
      "--prompts <file>",
      'continue every prompt in a file, --batch_size at once: each line of a text; each object of a .jsonl, {"prompt": ..., and its own options}; each row of a .csv or .tsv',
    )
    .option(
      "--template <text>",
      "with --prompts FILE.jsonl or .csv: the prompt, with {title} replaced by that field or column; \\n is a newline",
    )
    .option(
      "--column <name>",
      "with --prompts FILE.csv or .jsonl: the column or field that holds the prompt (default: prompt, or a table's first)",
    )
    .addOption(
      new Option("--include_prefix <bool>", "true, or false: print the prompt with each sample")
        .argParser(trueOrFalse("--include_prefix"))
        .default(true),
    )
    .option("--truncate <text>", "end a sample before this text; \\n is a newline", (text) => {
      if (text === "") throw new UsageError("--truncate must not be empty");
      return unescaped(text);
    })
    .addOption(
      new Option("--sample_delim <text>", "the text between two samples; \\n is a newline")
        .argParser(unescaped)
        .default(DELIMITER, "20 `=` and a newline"),
    )
    .addHelpText("before", 'Example: gpt2 generate "Once upon a time" --length 100\n');
  addFileOptions(command);
  addNumberingOptions(addGeneratingOptions(command, { default: 1, min: 1 }, true)).action(
    async (argument: string | undefined, options: GenerateOptions) => {
      finish(await generate(command, argument, options));
    },
  );
}
