import { type Command, Option } from "commander";
import { type NumberRule, obeys, wanted } from "../../sampling/number-rule.js";
import { UsageError } from "../../system/errors.js";

/** The decimal number that a text spells, with or without an exponent; NaN for anything else. */
export function toDecimal(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : Number.NaN;
}

/** Parses a number by a rule; anything else is a UsageError that names the option. */
export function numberOf(option: string, rule: NumberRule): (text: string) => number {
  return (text) => {
    const n = rule.type === "decimal" || /^\+?\d+$/.test(text.trim()) ? toDecimal(text) : Number.NaN;
    if (obeys(n, rule)) return n;
    const hint = rule.hint ? `: ${rule.hint}` : "";
    throw new UsageError(`${option} must be ${wanted(rule)}, not ${JSON.stringify(text)}${hint}`);
  };
}

/** Parses a whole number within bounds; anything else is a UsageError that names the option. */
export function wholeNumber(option: string, min: number, max: number): (text: string) => number {
  return numberOf(option, { type: "whole", min, max });
}

/** Parses a decimal number that passes a test; anything else is a UsageError that names the option. */
export function decimalNumber(option: string, wanted: string, isGood: (n: number) => boolean) {
  return (text: string): number => {
    const n = toDecimal(text);
    if (!Number.isFinite(n) || !isGood(n)) {
      throw new UsageError(`${option} must be ${wanted}, not ${JSON.stringify(text)}`);
    }
    return n;
  };
}

/** Parses a value; its words are what shell completion offers. */
export interface WordParser<T> {
  (text: string): T;
  readonly words: readonly string[];
}

/** Accepts one of several words; anything else is a UsageError that lists them. */
export function oneOf<T extends string>(option: string, words: readonly T[]): WordParser<T> {
  const parse = (text: string): T => {
    const word = words.find((each) => each === text);
    if (word === undefined) {
      throw new UsageError(`${option} must be one of ${words.join(", ")}, not ${JSON.stringify(text)}`);
    }
    return word;
  };
  return Object.assign(parse, { words });
}

/** Accepts any text; the words are only the likely ones. */
export function anyText(words: readonly string[]): WordParser<string> {
  return Object.assign((text: string): string => text, { words });
}

/** Parses true or false, also as Python spells them (True, False). */
export function trueOrFalse(option: string): WordParser<boolean> {
  const parse = (text: string): boolean => {
    const word = text.toLowerCase();
    if (word === "true" || word === "false") return word === "true";
    throw new UsageError(`${option} must be true or false, not ${JSON.stringify(text)}`);
  };
  return Object.assign(parse, { words: ["true", "false"] });
}

/** Parses on or off. */
export function onOrOff(option: string): WordParser<boolean> {
  const word = oneOf(option, ["on", "off"]);
  return Object.assign((text: string): boolean => word(text) === "on", { words: word.words });
}

/** Takes every value of an option that is typed several times. */
export interface RepeatedParser<T> {
  (text: string, before: T): T;
  readonly isRepeated: true;
}

/** Marks what reads one value of several: it gets those before. */
export function repeated<T>(parse: (text: string, before: T) => T): RepeatedParser<T> {
  return Object.assign((text: string, before: T): T => parse(text, before), { isRepeated: true as const });
}

/** Whether an option's parser is one of repeated(). */
export function repeats(parse: unknown): boolean {
  return (parse as { isRepeated?: boolean } | undefined)?.isRepeated === true;
}

/** Adds an option that takes a value; shows the default, where there is one. */
export function addValue<T>(
  command: Command,
  flags: string,
  text: string,
  parse: (value: string) => T,
  value?: T,
): void {
  const option = new Option(flags, text).argParser(parse);
  command.addOption(value === undefined ? option : option.default(value));
}

/** --format of a command that prints text for people, or jsonl for programs. */
export const formatOption = (text = "text, or jsonl"): Option =>
  new Option("--format <format>", text).argParser(oneOf("--format", ["text", "jsonl"])).default("text");

/** Replaces escapes that a shell leaves alone: \n, \t and \r; \\ is a backslash. */
export function unescaped(text: string): string {
  const meant: Record<string, string> = { n: "\n", t: "\t", r: "\r", "\\": "\\" };
  return text.replace(/\\([ntr\\])/g, (_, letter: string) => meant[letter]);
}

/** A long option's name with underscores only. */
const underscored = (name: string): string => `--${name.slice(2).replaceAll("-", "_")}`;

/**
 * Lets `--top-k` and `--top-k=40` mean `--top_k`. It rewrites the names of the commands' own options and nothing else:
 * neither a value that looks like an option (`--stop --top-k`) nor anything after `--`.
 * @param args the command line's arguments
 * @param known the long options, such as `--top_k` or `--no-recompute`, and whether each takes a value
 */
export function withUnderscores(args: readonly string[], known: ReadonlyMap<string, boolean>): string[] {
  const names = new Map([...known.keys()].map((name) => [underscored(name), name]));
  let isValue = false;
  let isEnd = false;
  return args.map((arg) => {
    if (isValue || isEnd) {
      isValue = false;
      return arg;
    }
    isEnd = arg === "--";
    if (isEnd || !arg.startsWith("--")) return arg;
    const [name] = arg.split("=", 1);
    const meant = known.has(name) ? name : (names.get(underscored(name)) ?? name);
    isValue = known.get(meant) === true && arg === name;
    return meant + arg.slice(name.length);
  });
}
