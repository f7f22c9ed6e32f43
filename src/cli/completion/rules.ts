import type { CommandDefinition, Values } from "./describe.js";

/** What a value can be, in the words that the scripts know: `models`, `runs`, `files`, `folders`, `words a b`. */
export function kindsOf({ words, models, runs, paths }: Values): string[] {
  return [
    ...(models ? ["models"] : []),
    ...(runs ? ["runs"] : []),
    ...(paths === undefined ? [] : [paths]),
    ...(words.length > 0 ? ["words", ...words] : []),
  ];
}

/** A text as bash and zsh take it literally. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The names of a command's options that begin with two hyphens and have another one in them: `--no-recompute`. */
export function hyphened(commands: readonly CommandDefinition[]): string[] {
  const names = commands.flatMap(({ options }) => options.flatMap((option) => option.names));
  return [...new Set(names.filter((name) => name.slice(2).includes("-")))];
}

/** What `gpt2 help` is in a list of commands: it is no command of commander's here. */
export const HELP = { name: "help", summary: "what a command does, and its options" };
