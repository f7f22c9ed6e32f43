import type { Argument, Command, Option } from "commander";

/** What a value can be; unknown if every part is empty. */
export interface Candidates {
  readonly words: readonly string[];
  /** Names of models on this machine, and paths of model folders. */
  readonly models: boolean;
  /** Names of fine-tuned runs. */
  readonly runs: boolean;
  readonly paths: "files" | "folders" | undefined;
}

/** An option as its command defines it. */
export interface OptionDefinition {
  /** As typed: `--top_k`, and `-h` for an option with a short one. */
  readonly names: readonly string[];
  readonly description: string;
  /** The name of its value, `k`; undefined for an option without one. */
  readonly placeholder: string | undefined;
  readonly values: Candidates;
}

/** An argument as its command defines it. */
export interface ArgumentDefinition {
  readonly name: string;
  readonly description: string;
  readonly values: Candidates;
  readonly isVariadic: boolean;
}

/** A command, as far as completion needs it. */
export interface CommandDefinition {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly OptionDefinition[];
  readonly arguments: readonly ArgumentDefinition[];
}

const FILES = ["file", "dataset", "path"];
const FOLDERS = ["folder", "dir"];
const MODELS = ["model", "name"];

/** The words attached to a value's parser (options/parse.ts). */
function wordsOf(parse: unknown): readonly string[] {
  return (parse as { words?: readonly string[] } | undefined)?.words ?? [];
}

function pathsOf(placeholder: string): Candidates["paths"] {
  if (FILES.includes(placeholder)) return "files";
  return FOLDERS.includes(placeholder) ? "folders" : undefined;
}

function describeOption(option: Option): OptionDefinition {
  const { description } = option;
  const placeholder = /[<[]([^>\]]+?)(?:\.\.\.)?[>\]]/.exec(option.flags)?.[1];
  const words = wordsOf(option.parseArg);
  return {
    names: [option.short, option.long].filter((name) => name !== undefined),
    description,
    placeholder,
    values: {
      words,
      models: option.attributeName() === "model_name",
      runs: option.attributeName() === "run_name",
      // A value with likely words that may be any text, such as that of --restore_from, may be a folder's path.
      paths: pathsOf(placeholder ?? "") ?? (placeholder === "what" ? "folders" : undefined),
    },
  };
}

function describeArgument(argument: Argument, command: string): ArgumentDefinition {
  const name = argument.name();
  const words = wordsOf(argument.parseArg);
  return {
    name,
    description: argument.description,
    values: {
      words,
      models: MODELS.includes(name) && words.length === 0,
      runs: command === "export" && name === "name",
      paths: pathsOf(name),
    },
    isVariadic: argument.variadic,
  };
}

function describeCommand(command: Command): CommandDefinition {
  const help = command.createHelp();
  return {
    name: command.name(),
    summary: help.subcommandDescription(command),
    options: help.visibleOptions(command).map(describeOption),
    arguments: command.registeredArguments.map((argument) => describeArgument(argument, command.name())),
  };
}

/** The program and its commands, from their own definitions: completion never lags behind an option. */
export function describeProgram(program: Command): {
  readonly program: CommandDefinition;
  readonly commands: readonly CommandDefinition[];
} {
  return {
    program: describeCommand(program),
    commands: program.createHelp().visibleCommands(program).map(describeCommand),
  };
}
