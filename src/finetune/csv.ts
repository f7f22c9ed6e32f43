import { pipeline, Readable } from "node:stream";
import { type CsvError, type Info, parse } from "csv-parse";
import { UsageError, UserError } from "../errors.js";
import { count } from "./notices.js";

/** A row longer than this comes of a quote that nothing closes. */
const ROW_BYTES = 1 << 24;

/** Whether a file is a table, by its name. */
export function isTable(path: string): boolean {
  return /\.(csv|tsv)$/i.test(path);
}

/**
 * The texts in one column of a table; the first line names the columns. Rows whose text is empty are left out,
 * with a notice. Quoted texts may hold delimiters, quotes and newlines; rows may be too short or too long.
 * @param chunks the file's text
 * @param path .tsv: tabs between the columns; else commas
 * @param column name or number from 1. A column of that name comes first
 * @throws UserError when there is no row, or a quote is not closed; UsageError when there is no such column
 */
export async function* columnTexts(
  chunks: AsyncIterable<string>,
  path: string,
  column?: string,
  onNotice: (notice: string) => void = () => {},
): AsyncGenerator<string> {
  let line = 1; // on which the row that is being read begins
  const parser = parse({
    delimiter: /\.tsv$/i.test(path) ? "\t" : ",",
    record_delimiter: "\n",
    relax_column_count: true,
    relax_quotes: true, // a quote inside a text without quotes stands for itself
    max_record_size: ROW_BYTES,
    on_record: (record: string[], { lines }: Info) => {
      line = lines + 1;
      return record;
    },
  });
  pipeline(Readable.from(chunks), parser, () => {}); // whoever reads the parser learns of the failure
  let header: readonly string[] | undefined;
  let place = 0;
  let rows = 0;
  let empty = 0;
  let longer = 0;
  try {
    for await (const row of parser as AsyncIterable<string[]>) {
      if (!header) {
        header = row;
        place = placeOf(column, header, path);
        continue;
      }
      rows++;
      if (row.length > header.length) longer++;
      const text = row[place] ?? "";
      if (text.trim() === "") empty++;
      else yield text;
    }
  } catch (error) {
    throw rowError(error, path, line);
  }
  if (!header) throw new UserError(`${path} is empty: its first line must name the columns`);
  if (rows === 0) {
    throw new UserError(`${path} has one line only, which names the columns: there is no row to train on`);
  }
  if (empty > 0) onNotice(`${path}: ${count(empty, "empty row")} left out`);
  if (longer > 0) {
    onNotice(
      `${path}: ${count(longer, "row")} with more columns than the first line names; ` +
        "a text that holds the delimiter must stand in quotes, or it is cut there",
    );
  }
}

function placeOf(column: string | undefined, header: readonly string[], path: string): number {
  if (column === undefined) return 0;
  const names = header.map((name) => name.trim());
  const named = names.indexOf(column.trim());
  if (named >= 0) return named;
  const number = /^\d{1,9}$/.test(column.trim()) ? Number(column) : 0;
  if (number >= 1 && number <= names.length) return number - 1;
  const list = names.slice(0, 20).map((name, i) => `${i + 1} ${JSON.stringify(name.slice(0, 40))}`);
  if (names.length > 20) list.push("...");
  throw new UsageError(`${path} has no column ${JSON.stringify(column)}: its columns are ${list.join(", ")}`);
}

/** @param line on which the row begins */
function rowError(error: unknown, path: string, line: number): unknown {
  const code = (error as CsvError | undefined)?.code;
  if (code !== "CSV_QUOTE_NOT_CLOSED" && code !== "CSV_MAX_RECORD_SIZE") return error;
  return new UserError(
    `${path}: in the row that begins on line ${line} a quote is opened and never closed: ` +
      'close it, or write a quote inside a quoted text as ""',
    { cause: error },
  );
}
