import { extname } from "node:path";
import { messageOf, quote, UsageError, UserError } from "../../system/errors.js";
import { isObject, type Json, parseJson } from "../../system/json.js";
import { readTextFile, withUnixLines } from "../terminal/input.js";

/** A prompt of a file. */
export interface PromptEntry {
  /** Its line, or its row below a table's header, from 1. */
  readonly number: number;
  readonly prompt: string;
  /** The options it sets, as typed. */
  readonly own: readonly OwnOption[];
}

/** An option that a line sets for its own prompt. */
export interface OwnOption {
  readonly name: string;
  readonly texts: readonly string[];
  /** The file and line, for messages. */
  readonly where: string;
}

/** How a file of prompts is read. */
export interface PromptsFileOptions {
  /** A text in which {name} stands for a field or a column. */
  readonly template?: string;
  /** The field or column that is the prompt. */
  readonly column?: string;
  /** The options that a line may set. */
  readonly ownNames: readonly string[];
}

/** The fields of a line or row, by name. */
interface PromptRecord {
  readonly number: number;
  readonly where: string;
  readonly fields: Json;
}

const FIELD = "prompt";

/**
 * Reads a file of prompts: a .jsonl with an object per line, a .csv or .tsv with names in its first row, or any other file
 * with a prompt per line. Blank lines are skipped.
 * @throws UserError that names the file and line where something is wrong
 */
export async function readPrompts(file: string, options: PromptsFileOptions): Promise<PromptEntry[]> {
  const text = withUnixLines(await readTextFile(file));
  const kind = extname(file).toLowerCase();
  const isTable = kind === ".csv" || kind === ".tsv";
  const { template, column } = options;
  if (!isTable && kind !== ".jsonl" && (template !== undefined || column !== undefined)) {
    throw new UsageError(
      `${template === undefined ? "--column" : "--template"} needs a .jsonl, .csv or .tsv`,
      {
        next: `every line of ${file} is a prompt`,
      },
    );
  }
  if (template !== undefined && column !== undefined)
    throw new UsageError("give --template or --column, not both");
  const entries = isTable
    ? (await tableRecords(text, file, kind)).map((record) => tableEntry(record, options))
    : kind === ".jsonl"
      ? jsonRecords(text, file).map((record) => jsonEntry(record, options))
      : linesOf(text).map(({ line, number }) => ({ number, prompt: line, own: [] }));
  if (entries.length === 0) throw new UserError(`${file} holds no prompts`);
  const empty = entries.find(({ prompt }) => prompt === "");
  if (empty) throw new UserError(`${file}:${empty.number}: the prompt is empty`);
  return entries;
}

const linesOf = (text: string): { line: string; number: number }[] =>
  text
    .split("\n")
    .map((line, i) => ({ line, number: i + 1 }))
    .filter(({ line }) => line.trim() !== "");

function jsonRecords(text: string, file: string): PromptRecord[] {
  return linesOf(text).map(({ line, number }) => {
    const where = `${file}:${number}`;
    const fields = parseJson(line, where, 'every line must be an object such as {"prompt": "Once"}');
    if (!isObject(fields)) throw new UserError(`${where} is not an object such as {"prompt": "Once"}`);
    return { number, where, fields };
  });
}

async function tableRecords(text: string, file: string, kind: string): Promise<PromptRecord[]> {
  const { parse } = await import("csv-parse/sync");
  try {
    const rows = parse(text, {
      columns: true,
      delimiter: kind === ".tsv" ? "\t" : ",",
      skip_empty_lines: true,
    }) as Json[];
    return rows.map((fields, i) => ({ number: i + 1, where: `${file}: row ${i + 1}`, fields }));
  } catch (error) {
    throw new UserError(`${file} cannot be read as a table: ${messageOf(error)}`, { cause: error });
  }
}

function tableEntry(record: PromptRecord, { template, column }: PromptsFileOptions): PromptEntry {
  const { number, fields } = record;
  if (template !== undefined) return { number, prompt: filled(template, record), own: [] };
  const name = column ?? (FIELD in fields ? FIELD : Object.keys(fields)[0]);
  return { number, prompt: fieldOf(record, name), own: [] };
}

function jsonEntry(record: PromptRecord, options: PromptsFileOptions): PromptEntry {
  const { number, where, fields } = record;
  const { template, column = FIELD, ownNames } = options;
  const used = template === undefined ? [column] : namesIn(template);
  const others = Object.keys(fields).filter((name) => !used.includes(name));
  const own = others
    .filter((name) => ownNames.includes(name))
    .map((name) => ({ name, where, texts: optionTexts(fields[name], name, where) }));
  // A dataset may have any fields, but a file made for this command must have none that would go unread.
  const unread = others.find((name) => !ownNames.includes(name));
  if (template === undefined && options.column === undefined && unread !== undefined) {
    throw new UserError(`${where}: there is no option ${quote(unread)}`, {
      next: `a line may have a prompt and these options: ${ownNames.join(", ")}`,
    });
  }
  return { number, own, prompt: template === undefined ? fieldOf(record, column) : filled(template, record) };
}

/** A JSON value as it would be typed. */
function optionTexts(value: unknown, name: string, where: string): string[] {
  const values = Array.isArray(value) ? (value as unknown[]) : [value];
  return values.map((each) => {
    if (typeof each === "object")
      throw new UserError(`${where}: ${name} must be a value or a list of values`);
    return String(each);
  });
}

const PLACE = /\{([^{}]*)\}/g;

const namesIn = (template: string): string[] => [...template.matchAll(PLACE)].map(([, name]) => name);

const filled = (template: string, record: PromptRecord): string =>
  template.replace(PLACE, (_, name: string) => fieldOf(record, name));

function fieldOf({ fields, where }: PromptRecord, name: string): string {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (value === undefined)
    throw new UserError(`${where} has no ${quote(name)}`, {
      next: `it has ${Object.keys(fields)
        .map((each) => quote(each))
        .join(", ")}`,
    });
  throw new UserError(`${where}: ${quote(name)} is not a text`);
}
