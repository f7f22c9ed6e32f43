import type { Command } from "commander";
import { type Encoder, loadEncoder, openAiVocabulary } from "../../encoder/encoder.js";
import { canonicalName } from "../../models/catalog.js";
import { findModelFolder } from "../../models/find.js";
import { textIds } from "../../sampling/prompt.js";
import { UsageError } from "../../system/errors.js";
import { addModelsDir } from "../options/engine.js";
import { formatOption } from "../options/parse.js";
import { specialOption } from "../options/sampling.js";
import { modelFolder } from "../samples/find-model.js";
import { readStdin, readTextFile } from "../terminal/input.js";
import { Output } from "../terminal/output.js";

interface TokenizeOptions {
  readonly model_name: string;
  readonly models_dir?: string;
  readonly file?: string;
  readonly decode?: boolean;
  readonly count?: boolean;
  readonly format: "text" | "jsonl";
  readonly special?: boolean;
}

/** The model's encoder; OpenAI's vocabulary serves their models without a download. */
async function encoderOf(name: string, models_dir: string | undefined): Promise<Encoder> {
  const folder = findModelFolder(name, models_dir);
  if (!folder && canonicalName(name)) return loadEncoder(openAiVocabulary());
  return loadEncoder(folder ?? (await modelFolder(name, models_dir)));
}

/** Reads ids separated by spaces, newlines or commas, with or without JSON's brackets. */
function parseIds(text: string): number[] {
  const words = text.split(/[\s,[\]]+/).filter((word) => word !== "");
  return words.map((word) => {
    if (!/^\d{1,9}$/.test(word))
      throw new UsageError(`${JSON.stringify(word)} is not a token id`, {
        next: "ids are whole numbers from 0",
      });
    return Number(word);
  });
}

async function readInput(argument: string | undefined, { file, decode }: TokenizeOptions): Promise<string> {
  if (argument !== undefined && file !== undefined) throw new UsageError("give a text or --file, not both");
  if (argument !== undefined) return argument;
  if (file !== undefined) return readTextFile(file);
  return readStdin(
    decode
      ? "give ids, --file FILE, or pipe ids into it"
      : "give a text, --file FILE, or pipe a text into it",
  );
}

/** `gpt2 tokenize`: ids of a text, and back. */
export function addTokenize(program: Command): void {
  const command = program
    .command("tokenize")
    .description(
      "Prints a text's token ids on one line, the same as in a prompt. Every byte counts, including the newline at the end of a file.",
    )
    .argument("[text...]", "the text, or with --decode the ids (default: --file, or standard input)")
    .option("--file <file>", "read the text or the ids from a file")
    .option("--decode", "turn ids into text")
    .option("--count", "print only the number of tokens")
    .addOption(formatOption("text, or jsonl: {text, ids}"))
    .addOption(specialOption("the text"))
    .option("--model_name <name>", "the model whose vocabulary to use", "117M")
    .addHelpText("before", 'Example: gpt2 tokenize "Hello, world"\n');
  addModelsDir(command).action(async (words: string[], options: TokenizeOptions) => {
    if (words.length > 1 && !options.decode)
      throw new UsageError("quote the text", { next: "it came as several arguments" });
    const input = await readInput(words.length > 0 ? words.join(" ") : undefined, options);
    const encoder = await encoderOf(options.model_name, options.models_dir);
    const ids = options.decode ? parseIds(input) : textIds(encoder, input, options.special);
    const output = new Output();
    if (options.count) await output.write(`${ids.length}\n`);
    else if (options.format === "jsonl") {
      await output.write(`${JSON.stringify({ text: options.decode ? encoder.decode(ids) : input, ids })}\n`);
    } else await output.write(options.decode ? encoder.decode(ids) : `${ids.join(" ")}\n`);
    await output.finish();
  });
}
