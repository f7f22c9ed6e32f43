import { inspect } from "node:util";
import { Command, CommanderError } from "commander";
import { describeDefault } from "../engines/create.js";
import { EXIT, messageOf, UsageError, UserError } from "../system/errors.js";
import { packageVersion } from "../system/package.js";
import { addBench } from "./commands/bench.js";
import { addCompletion } from "./commands/completion.js";
import { addConvert } from "./commands/convert.js";
import { addDownload } from "./commands/download.js";
import { addExport } from "./commands/export.js";
import { addFinetune } from "./commands/finetune.js";
import { addGenerate } from "./commands/generate.js";
import { addImport } from "./commands/import.js";
import { addInteractive } from "./commands/interactive.js";
import { addModels } from "./commands/models.js";
import { addScore } from "./commands/score.js";
import { addTokenize } from "./commands/tokenize.js";
import { addUnconditional } from "./commands/unconditional.js";
import { addVerify } from "./commands/verify.js";
import { withUnderscores } from "./options/parse.js";
import { Output } from "./terminal/output.js";

const EXAMPLES = `Example: gpt2 generate "Once upon a time" --model_name stories

`;

/** Every long option of every command, and whether it takes a value: to find `--top-k` again as `--top_k`. */
function longOptions(program: Command): Map<string, boolean> {
  const options = [program, ...program.commands].flatMap((command) => command.options);
  return new Map(options.flatMap(({ long, required }) => (long ? [[long, required] as const] : [])));
}

/**
 * The commands and their options.
 * @param output where help goes
 * @param finish told the exit code of a command that has one of its own
 */
export function buildProgram(output: Output, finish: (code: number) => void): Command {
  const program = new Command("gpt2")
    .description("GPT-2 in the terminal: continues your texts, or writes from nothing.")
    .usage("<command> [options]")
    .addHelpText("before", EXAMPLES)
    .addHelpText("after", "\nEvery command explains itself: gpt2 generate --help")
    .option("-V, --version", "the versions of gpt2 and Node, and what computes")
    .helpCommand(false);
  addInteractive(program, finish);
  addUnconditional(program, finish);
  addGenerate(program, finish);
  addFinetune(program, finish);
  addDownload(program);
  addConvert(program);
  addImport(program);
  addExport(program);
  addModels(program);
  addVerify(program);
  addScore(program);
  addTokenize(program);
  addBench(program);
  addCompletion(program);
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => void output.write(text),
      outputError: () => {},
    });
    command.configureHelp({ showGlobalOptions: false });
  }
  program.action(async ({ version }: { version?: boolean }) => {
    if (!version) return program.outputHelp();
    await output.write(`gpt2 ${packageVersion()}, Node ${process.version}, ${await describeDefault()}\n`);
  });
  return program;
}

/** The line and the exit code for whatever ended the program. */
function explain(error: unknown): { line: string; exitCode: number } {
  if (error instanceof UserError) return { line: messageOf(error), exitCode: error.exitCode };
  if (error instanceof CommanderError) {
    const line = messageOf(error).replace(/^error: |\.$/g, "");
    return { line: `${line}; see gpt2 --help`, exitCode: EXIT.usage };
  }
  return { line: `${messageOf(error)} (an unexpected error: DEBUG=gpt2 shows where)`, exitCode: EXIT.failed };
}

/**
 * Runs the command line.
 * @param typed the arguments, without the names of Node and the script
 * Sets process.exitCode: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
 */
export async function main(typed: readonly string[]): Promise<void> {
  const args = typed[0] === "help" ? [...typed.slice(1, 2), "--help"] : typed;
  let code: number = EXIT.done;
  const output = new Output();
  const program = buildProgram(output, (exitCode) => {
    code = exitCode;
  });
  try {
    const [command] = args;
    const isCommand = program.commands.some((each) => each.name() === command);
    if (command !== undefined && !command.startsWith("-") && !isCommand) {
      const names = program.commands.map((each) => each.name()).join(", ");
      throw new UsageError(`unknown command ${JSON.stringify(command)}: there are ${names}; see gpt2 --help`);
    }
    await program.parseAsync(withUnderscores(args, longOptions(program)), { from: "user" }).catch((error) => {
      if (!(error instanceof CommanderError) || error.exitCode !== 0) throw error; // 0: help was asked for
    });
    await output.finish();
  } catch (error) {
    const { line, exitCode } = explain(error);
    process.stderr.write(`gpt2: ${line}\n`);
    if (process.env["DEBUG"]?.split(",").includes("gpt2")) process.stderr.write(`${inspect(error)}\n`); // plain: console.error colours what FORCE_COLOR says
    code = exitCode;
  }
  process.exitCode = code;
}
