import { inspect } from "node:util";
import { Command, CommanderError } from "commander";
import { EXIT, messageOf, UsageError, UserError, writeOptionsAs } from "../system/errors.js";
import { packageVersion } from "../system/package.js";
import type { Define } from "./config/apply.js";
import { withUnderscores } from "./options/parse.js";
import { Output } from "./terminal/output.js";
import { shellQuote } from "./terminal/shell-quote.js";

// Messages write options the way they are typed here: `--precision int8`.
writeOptionsAs((name, value) =>
  value === undefined || value === true ? `--${name}` : `--${name} ${shellQuote(String(value))}`,
);

const EXAMPLES = `Example: gpt2 generate "Once upon a time" --model_name stories

`;

/**
 * Adds a command and its options to the program; finish is told the exit code of a command that has one of its own,
 * define gives the other commands' options.
 */
type AddCommand = (program: Command, finish: (code: number) => void, define: Define) => void;

/** The commands in the order of the help. Each one's module is imported when it is called, and no other. */
const COMMANDS: Readonly<Record<string, { summary: string; load: () => Promise<AddCommand> }>> = {
  interactive: {
    summary: "continue one prompt after another",
    load: async () => (await import("./commands/interactive.js")).addInteractive,
  },
  unconditional: {
    summary: "samples from nothing",
    load: async () => (await import("./commands/unconditional.js")).addUnconditional,
  },
  generate: {
    summary: "continue one prompt, then exit",
    load: async () => (await import("./commands/generate.js")).addGenerate,
  },
  serve: {
    summary: "one model for many programs: OpenAI's completions API, and a page",
    load: async () => (await import("./commands/serve.js")).addServe,
  },
  finetune: {
    summary: "train a model on your own text",
    load: async () => (await import("./commands/finetune.js")).addFinetune,
  },
  download: {
    summary: "fetch a model; resumes, and verifies what it fetched",
    load: async () => (await import("./commands/download.js")).addDownload,
  },
  convert: {
    summary: "TensorFlow checkpoint -> tfjs weights",
    load: async () => (await import("./commands/convert.js")).addConvert,
  },
  import: {
    summary: "gpt-2-simple's or Hugging Face's files -> a model here",
    load: async () => (await import("./commands/import.js")).addImport,
  },
  export: {
    summary: "a run or a model -> gpt-2-simple's or Hugging Face's files",
    load: async () => (await import("./commands/export.js")).addExport,
  },
  models: {
    summary: "models on this machine: list, path NAME, rm NAME",
    load: async () => (await import("./commands/models.js")).addModels,
  },
  verify: {
    summary: "check that a model on this machine is intact",
    load: async () => (await import("./commands/verify.js")).addVerify,
  },
  score: {
    summary: "log-probabilities and perplexity of a text",
    load: async () => (await import("./commands/score.js")).addScore,
  },
  evaluate: {
    summary: "perplexity and accuracy on a text, as papers report them",
    load: async () => (await import("./commands/evaluate.js")).addEvaluate,
  },
  tokenize: {
    summary: "token ids of a text; --decode turns ids into text",
    load: async () => (await import("./commands/tokenize.js")).addTokenize,
  },
  bench: {
    summary: "tokens per second on this machine",
    load: async () => (await import("./commands/bench.js")).addBench,
  },
  config: {
    summary: "defaults and presets: what is set, and where",
    load: async () => (await import("./commands/config.js")).addConfig,
  },
  completion: {
    summary: "a script that lets bash, zsh or fish complete what you type",
    load: async () => (await import("./commands/completion.js")).addCompletion,
  },
};

/** Every long option of every command, and whether it takes a value: to recognise `--top-k` as `--top_k`. */
function longOptions(program: Command): Map<string, boolean> {
  const options = [program, ...program.commands].flatMap((command) => command.options);
  return new Map(options.flatMap(({ long, required }) => (long ? [[long, required] as const] : [])));
}

/**
 * The commands and their options.
 * @param output where help goes
 * @param finish called with the exit code of a command that has its own
 * @param called the commands whose options are needed; the others get only a name and a summary
 */
export async function buildProgram(
  output: Output,
  finish: (code: number) => void,
  called: readonly string[] = Object.keys(COMMANDS),
): Promise<Command> {
  const program = new Command("gpt2")
    .description("GPT-2 in the terminal: continues your texts, or writes from nothing.")
    .usage("<command> [options]")
    .addHelpText("before", EXAMPLES)
    .addHelpText("after", "\nEvery command has its own help: gpt2 generate --help")
    .option("-V, --version", "the versions of gpt2 and Node, and what computes")
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .helpCommand(false);
  const define: Define = (names) => buildProgram(output, () => {}, names);
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    if (called.includes(name)) (await load())(program, finish, define);
    else program.command(name);
    program.commands.at(-1)?.summary(summary);
  }
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => void output.write(text),
      outputError: () => {},
    });
  }
  program.hook("preAction", async (_, command) => {
    if (command === program) return;
    const { applyConfig } = await import("./config/apply.js"); // --help reads no settings
    await applyConfig(command, Object.keys(COMMANDS), define);
  });
  program.action(async ({ version }: { version?: boolean }) => {
    if (!version) return program.outputHelp();
    const { describeDefault } = await import("../engines/create.js");
    await output.write(`gpt2 ${packageVersion()}, Node ${process.version}, ${await describeDefault()}\n`);
  });
  return program;
}

/** The line and the exit code for whatever ended the program. */
function explain(error: unknown): { line: string; exitCode: number } {
  if (error instanceof UserError) return { line: messageOf(error), exitCode: error.exitCode };
  if (error instanceof CommanderError) {
    const line = messageOf(error).replace(/^error: |\.$/g, "");
    const isText = error.code === "commander.unknownOption" && !/'--[a-z]/i.test(line);
    const hint = isText ? ": put -- before text that begins with -" : "";
    return { line: `${line}${hint}; see gpt2 --help`, exitCode: EXIT.usage };
  }
  return { line: `${messageOf(error)} (an unexpected error: DEBUG=gpt2 shows where)`, exitCode: EXIT.failed };
}

/**
 * Runs the command line.
 * @param typed the arguments after `gpt2`
 * Sets process.exitCode: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
 */
export async function main(typed: readonly string[]): Promise<void> {
  const args = typed[0] === "help" ? [...typed.slice(1, 2), "--help"] : typed;
  const [command] = args;
  let code: number = EXIT.done;
  const output = new Output();
  const finish = (exitCode: number): void => {
    code = exitCode;
  };
  try {
    if (command !== undefined && !command.startsWith("-") && !Object.hasOwn(COMMANDS, command)) {
      const names = Object.keys(COMMANDS).join(", ");
      throw new UsageError(`unknown command ${JSON.stringify(command)}`, {
        next: `there are ${names}; see gpt2 --help`,
      });
    }
    const program = await buildProgram(
      output,
      finish,
      args.filter((each) => !each.startsWith("-")).slice(0, 1),
    );
    const words = withUnderscores(args, longOptions(program));
    await program.parseAsync(words, { from: "user" }).catch(async (error: unknown) => {
      if (error instanceof CommanderError && error.exitCode === 0) return; // help was asked for
      const { withPlace } = await import("./config/apply.js");
      const called = program.commands.find((each) => each.name() === command);
      throw called ? withPlace(error, called) : error;
    });
    await output.finish();
  } catch (error) {
    // A part of the program is missing: bin/gpt2.js says what to do about it.
    if ((error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND") throw error;
    const { line, exitCode } = explain(error);
    process.stderr.write(`gpt2: ${line}\n`);
    if (process.env["DEBUG"]?.split(",").includes("gpt2")) process.stderr.write(`${inspect(error)}\n`); // plain: console.error colours what FORCE_COLOR says
    code = exitCode;
  }
  process.exitCode = code;
}
