import type { Command } from "commander";
import { UsageError } from "../errors.js";
import { readStdin, readTextFile, withoutLastNewline, withUnixLines } from "./input.js";
import { addGeneratingOptions, type GeneratingOptions } from "./options.js";
import { runOnce } from "./unconditional.js";

/** The prompt: the argument, the file's text, or standard input; of the last two without the closing newline. */
async function readPrompt(argument: string | undefined, file: string | undefined): Promise<string> {
  if (argument !== undefined && file !== undefined) {
    throw new UsageError("give the prompt as an argument or with --prompt_file, not both");
  }
  if (argument !== undefined) return argument;
  if (file !== undefined) return withoutLastNewline(withUnixLines(await readTextFile(file)));
  const how = 'give a prompt: gpt2 generate "Once upon a time", or --prompt_file FILE';
  return withoutLastNewline(withUnixLines(await readStdin(how)));
}

/** `gpt2 generate`: continues one prompt, then exits, as gpt_2_simple generate. */
export function addGenerate(program: Command, finish: (code: number) => void): void {
  const command = program
    .command("generate")
    .summary("continue one prompt, then exit")
    .description(
      "Prints the prompt and its continuation. The prompt is the argument, --prompt_file, or standard input;\nseveral samples are parted by a line of 20 `=`.",
    )
    .argument("[prompt]", "the text to continue")
    .option("--prompt_file <file>", "read the prompt from a file")
    .addHelpText("before", 'Example: gpt2 generate "Once upon a time" --length 100\n');
  addGeneratingOptions(command, { default: 1, min: 1 }).action(
    async (argument: string | undefined, options: GeneratingOptions & { prompt_file?: string }) => {
      const prompt = await readPrompt(argument, options.prompt_file);
      if (prompt === "") throw new UsageError("the prompt is empty: gpt2 unconditional writes from nothing");
      const before = (number: number): string => (number > 1 ? `${"=".repeat(20)}\n` : "") + prompt;
      finish(await runOnce(options, prompt, { before }));
    },
  );
}
