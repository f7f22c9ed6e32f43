import { countOf, messageOf, option, UserError } from "../../system/errors.js";
import { tryJson } from "../../system/json.js";
import { joined } from "./csv.js";
import { NoTextError } from "./text.js";

/** The field that holds a record's text, as in Hugging Face's datasets. */
const TEXT_FIELD = "text";

/** A line of a .jsonl file, or a whole .json file, must fit in memory. In UTF-16 units. */
const MOST_CHARACTERS = 1 << 28;

/** Whether a file holds records in JSON, by its name. */
export function hasRecords(path: string): boolean {
  return /\.(json|jsonl|ndjson)$/i.test(path);
}

/** A value in the file, and its place: "line 3" or "record 3". */
interface JsonRecord {
  readonly value: unknown;
  readonly where: string;
}

/**
 * The texts of a file of records: one per line in .jsonl, an array (or lines) in .json. A record is a string, or an object
 * with a string field. Records without a text are left out, with a notice.
 * @param chunks the file's text
 * @param columns names of fields, joined by newlines if there are several; none: text
 * @returns the texts, some at a time
 * @throws NoTextError when the first record has no such field, or the file is not JSON; UserError when something is wrong
 *   with a later record
 */
export async function* recordTexts(
  chunks: AsyncIterable<string>,
  path: string,
  columns: readonly string[] = [],
  onNotice: (notice: string) => void = () => {},
): AsyncGenerator<string[]> {
  const fields = columns.length > 0 ? columns : [TEXT_FIELD];
  let records = 0;
  let empty = 0;
  for await (const some of /\.json$/i.test(path) ? readWhole(chunks, path) : readLines(chunks, path)) {
    const texts: string[] = [];
    for (const { value, where } of some) {
      if (typeof value !== "string" && !fields.some((field) => hasField(value, field))) {
        throw noField(value, fields, `${path}, ${where}`, records > 0);
      }
      records++;
      const text = textOf(value, fields, `${path}, ${where}`);
      if (text === "") empty++;
      else texts.push(text);
    }
    yield texts;
  }
  if (records === 0) throw new NoTextError(`${path} is empty`, "empty", "put at least one record into it");
  if (empty > 0) onNotice(`${path}: ${countOf(empty, "record")} without text left out`);
}

/** @param isBegun whether earlier records have the field */
function noField(value: unknown, fields: readonly string[], place: string, isBegun: boolean): UserError {
  const names = fields.map((field) => JSON.stringify(field)).join(", ");
  const next = isBegun ? "remove it, or give it a text" : `name one with ${option("column")}`;
  const reason = `${place} has no field ${names}: ${fieldsOf(value)}`;
  return isBegun
    ? new UserError(reason, { next })
    : new NoTextError(reason, `they have no field ${names}`, next);
}

const hasField = (value: unknown, field: string): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.hasOwn(value, field);

/** What a record has instead of the field. */
function fieldsOf(value: unknown): string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return `it is ${kindOf(value)}, not an object`;
  }
  const keys = Object.keys(value);
  if (keys.length === 0) return "it is an empty object";
  const names = keys.map((name) => JSON.stringify(name.slice(0, 40)));
  return `its fields are ${names.slice(0, 20).join(", ")}${names.length > 20 ? " ..." : ""}`;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : `${typeof value === "object" ? "an" : "a"} ${typeof value}`;
}

/** A record's text; "" if it has none. */
function textOf(value: unknown, fields: readonly string[], where: string): string {
  if (typeof value === "string") return joined([wellFormed(value)]);
  const texts = fields.map((field) => {
    const found = hasField(value, field) ? value[field] : "";
    if (typeof found === "object" && found !== null) {
      throw new UserError(`${where}: the field ${JSON.stringify(field)} is ${kindOf(found)}, not a text`);
    }
    return found === null ? "" : wellFormed(String(found));
  });
  return joined(texts);
}

/** Half of a surrogate pair, which an escape can produce, becomes U+FFFD. */
const wellFormed = (text: string): string =>
  /[\ud800-\udfff]/.test(text) ? Buffer.from(text).toString() : text;

/** The records of a file with one per line. */
async function* readLines(chunks: AsyncIterable<string>, path: string): AsyncGenerator<JsonRecord[]> {
  let held: string[] = []; // the unfinished line, in pieces
  let length = 0;
  let line = 0;
  let isBegun = false;
  const parse = (text: string): JsonRecord[] => {
    line++;
    if (text.trim() === "") return [];
    const where = `line ${line}`;
    try {
      const value: unknown = JSON.parse(text);
      isBegun = true;
      return [{ value, where }];
    } catch (error) {
      throw notJson(path, where, error, isBegun);
    }
  };
  for await (const chunk of chunks) {
    const lines = chunk.split("\n");
    const last = lines.pop() ?? "";
    const records = lines.flatMap((text, i) => parse(i === 0 ? held.join("") + text : text));
    if (lines.length > 0) [held, length] = [[], 0];
    held.push(last);
    length += last.length;
    if (length > MOST_CHARACTERS) {
      throw new UserError(`${path}, line ${line + 1} is too long`, { next: "write one record a line" });
    }
    yield records;
  }
  yield parse(held.join(""));
}

/** The records of an array, of one object, or of lines: many .json files are really .jsonl. */
async function* readWhole(chunks: AsyncIterable<string>, path: string): AsyncGenerator<JsonRecord[]> {
  const parts: string[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    parts.push(chunk);
    length += chunk.length;
    if (length > MOST_CHARACTERS) {
      throw new UserError(`${path} is too large for one array`, {
        next: "write one record a line, as .jsonl",
      });
    }
  }
  const text = parts.join("");
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch (error) {
    const [first] = text.trimStart().split("\n", 1);
    if (text.trim() === "") return;
    if (tryJson(first) === undefined) throw notJson(path, "", error, false);
    yield* readLines(toChunks(text), path);
    return;
  }
  yield [values].flat().map((value, i) => ({ value, where: `record ${i + 1}` }));
}

async function* toChunks(text: string): AsyncGenerator<string> {
  yield text;
}

function notJson(path: string, where: string, error: unknown, isBegun: boolean): UserError {
  const place = where === "" ? path : `${path}, ${where}`;
  const reason = `${place} is not JSON: ${messageOf(error)}`;
  const next = "rename the file to .txt to train on it as it is";
  return isBegun ? new UserError(reason, { next }) : new NoTextError(reason, "not JSON", next);
}
