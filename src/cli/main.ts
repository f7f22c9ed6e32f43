import { Command, CommanderError } from "commander";
import { loadTf } from "../engines/tfjs/backend.js";
import { EXIT, messageOf, UsageError, UserError } from "../errors.js";
import { packageVersion } from "../package.js";
import { addConvert } from "./convert.js";
import { addDownload } from "./download.js";
import { addGenerate } from "./generate.js";
import { addInteractive } from "./interactive.js";
import { withUnderscores } from "./options.js";
import { addUnconditional } from "./unconditional.js";

const EXAMPLES = `Example: gpt2 generate "Once upon a time" --model_name shakespeare

`;

/** Every long option of every command, to find `--top-k` again as `--top_k`. */
function longOptions(program: Command): Set<string> {
  const all = [program, ...program.commands].flatMap((command) => command.options.map(({ long }) => long));
  return new Set(all.filter((long) => long !== undefined && long !== null));
}

function buildProgram(finish: (code: number) => void): Command {
  const program = new Command("gpt2")
    .description("GPT-2 in the terminal: continues your texts, or writes from nothing.")
    .usage("<command> [options]")
    .addHelpText("before", EXAMPLES)
    .addHelpText("after", "\nEvery command explains itself: gpt2 generate --help")
    .option("-V, --version", "the versions of gpt2, Node and TensorFlow.js, and what computes")
    .helpCommand(false);
  addInteractive(program, finish);
  addUnconditional(program, finish);
  addGenerate(program, finish);
  addDownload(program);
  addConvert(program);
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ outputError: () => {} });
    command.configureHelp({ showGlobalOptions: false });
  }
  program.action(async ({ version }: { version?: boolean }) => {
    if (!version) return program.outputHelp();
    const { backend, version: tf } = await loadTf();
    process.stdout.write(
      `gpt2 ${packageVersion()}, Node ${process.version}, TensorFlow.js ${tf} on ${backend}\n`,
    );
  });
  return program;
}

/** The line and the exit code for whatever ended the program. */
function explain(error: unknown): { line: string; exitCode: number } {
  if (error instanceof UserError) return { line: messageOf(error), exitCode: error.exitCode };
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return { line: "", exitCode: EXIT.done };
    const line = messageOf(error).replace(/^error: /, "");
    return { line: `${line}${line.endsWith(")") ? "" : ";"} see gpt2 --help`, exitCode: EXIT.usage };
  }
  return { line: `${messageOf(error)} (an unexpected error: DEBUG=gpt2 shows where)`, exitCode: EXIT.failed };
}

/**
 * Runs the command line.
 * @param args without the names of Node and the script
 * Sets process.exitCode: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
 */
export async function main(args: readonly string[]): Promise<void> {
  let code: number = EXIT.done;
  const program = buildProgram((exitCode) => {
    code = exitCode;
  });
  try {
    const [command] = args;
    const isCommand = program.commands.some((each) => each.name() === command);
    if (command !== undefined && !command.startsWith("-") && !isCommand) {
      const names = program.commands.map((each) => each.name()).join(", ");
      throw new UsageError(`unknown command ${JSON.stringify(command)}: there are ${names}; see gpt2 --help`);
    }
    await program.parseAsync(withUnderscores(args, longOptions(program)), { from: "user" });
  } catch (error) {
    const { line, exitCode } = explain(error);
    if (line) process.stderr.write(`gpt2: ${line}\n`);
    if (line && process.env["DEBUG"]?.split(",").includes("gpt2")) console.error(error);
    code = exitCode;
  }
  process.exitCode = code;
}
