import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Candidates, CommandDefinition, OptionDefinition } from "./describe.js";

/** A possible word at the cursor. */
export interface Offer {
  readonly text: string;
  readonly description?: string;
}

/** Everything possible at the cursor. */
export interface Completion {
  readonly offers: readonly Offer[];
  /** Paths that fit too: the shell completes them. */
  readonly paths?: "files" | "folders";
  /** The part of the word that offers and paths leave out: `--model_name=`, or "". */
  readonly prefix: string;
}

/** The program and its commands. */
export interface Definitions {
  readonly program: CommandDefinition;
  readonly commands: readonly CommandDefinition[];
}

const NOTHING: Completion = { offers: [], prefix: "" };
/** commander has no such command here: main.ts turns it into --help. */
const HELP: Offer = { text: "help", description: "what a command does, and its options" };

/** Hyphens and underscores are the same in an option's name. */
const sameName = (name: string): string => name.replaceAll("-", "_");

/** The option that a word means: `--top-k`, `--top_k` or `--top_k=40`. */
function optionOf(command: CommandDefinition, word: string): OptionDefinition | undefined {
  const name = sameName(word.replace(/=.*/s, ""));
  return command.options.find(({ names }) => names.some((each) => sameName(each) === name));
}

/** An option's last value among the words before the cursor. */
function typedValue(words: readonly string[], name: string): string | undefined {
  const values = words.slice(0, -1).flatMap((word, i) => {
    if (sameName(word) === sameName(name)) return i + 2 < words.length ? [words[i + 1]] : [];
    const [own, ...value] = word.split("=");
    return value.length > 0 && sameName(own) === sameName(name) ? [value.join("=")] : [];
  });
  return values.at(-1);
}

/** Names that fit on one line. */
const printable = (names: Iterable<string>): string[] => [...names].filter((name) => !/\p{Cc}/u.test(name));

async function models(words: readonly string[]): Promise<string[]> {
  const { listStored } = await import("../../models/store.js");
  return printable(new Set(listStored(typedValue(words, "--models_dir")).map(({ name }) => name)));
}

/** Runs are folders with a model in the checkpoint folder. */
async function runs(words: readonly string[]): Promise<string[]> {
  const { expandPath } = await import("../../system/paths.js");
  const folder = expandPath(typedValue(words, "--checkpoint_dir") ?? "checkpoint");
  if (!existsSync(folder)) return [];
  return printable(readdirSync(folder)).filter((name) => existsSync(join(folder, name, "hparams.json")));
}

/** Only names of models and runs need the modules that know where they are. */
async function completeValue(
  values: Candidates,
  words: readonly string[],
  typed: string,
  prefix = "",
): Promise<Completion> {
  const names = [
    ...values.words,
    ...(values.models ? await models(words) : []),
    ...(values.runs ? await runs(words) : []),
  ];
  const offers = names.filter((text) => text.startsWith(typed)).map((text) => ({ text }));
  // A model can be named by its folder's path.
  const isName = values.models || values.runs;
  const isFolder = isName && (offers.length === 0 || (await import("../../system/paths.js")).isPath(typed));
  return { offers, prefix, paths: values.paths ?? (isFolder ? "folders" : undefined) };
}

function completeFlag({ options }: CommandDefinition, typed: string): Completion {
  const offers = options.flatMap(({ names, description }) =>
    names.filter((name) => sameName(name).startsWith(sameName(typed))).map((text) => ({ text, description })),
  );
  return { offers, prefix: "" };
}

function completeCommand(commands: readonly CommandDefinition[], typed: string): Completion {
  const all = [...commands.map(({ name, summary }) => ({ text: name, description: summary })), HELP];
  return { offers: all.filter(({ text }) => text.startsWith(typed)), prefix: "" };
}

/**
 * Everything that can complete the last of the words.
 * @param words those after `gpt2`, up to the cursor, without quotes; the last one may be empty
 */
export async function complete(
  { program, commands }: Definitions,
  words: readonly string[],
): Promise<Completion> {
  const typed = words.at(-1) ?? "";
  if (words.length <= 1) {
    return typed.startsWith("-") ? completeFlag(program, typed) : completeCommand(commands, typed);
  }
  if (words[0] === "help") return words.length === 2 ? completeCommand(commands, typed) : NOTHING;
  const command = commands.find(({ name }) => name === words[0]);
  if (!command) return NOTHING;
  let place = 0;
  let isEnd = false;
  for (let i = 1; i < words.length - 1; i++) {
    if (!isEnd && words[i] === "--") isEnd = true;
    else if (isEnd || !/^-./.test(words[i])) place++;
    else if (!words[i].includes("=")) {
      const option = optionOf(command, words[i]);
      if (option?.placeholder === undefined) continue;
      i++;
      if (i === words.length - 1) return completeValue(option.values, words, typed);
    }
  }
  const [, prefix, value] = /^(--[^=]*=)(.*)$/s.exec(typed) ?? [];
  if (!isEnd && prefix !== undefined) {
    const option = optionOf(command, prefix);
    return option?.placeholder === undefined ? NOTHING : completeValue(option.values, words, value, prefix);
  }
  if (!isEnd && typed.startsWith("-")) return completeFlag(command, typed);
  const argument = command.arguments[place] ?? command.arguments.find(({ isVariadic }) => isVariadic);
  return argument ? completeValue(argument.values, words, typed) : NOTHING;
}
