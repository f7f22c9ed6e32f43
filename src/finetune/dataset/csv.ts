import { CsvError, type Parser, parse } from "csv-parse";
import { messageOf, UsageError, UserError } from "../../system/errors.js";
import { count } from "./notices.js";

/** A row longer than this most likely comes of a quote that nothing closes. */
const ROW_BYTES = 1 << 23;

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
 * @returns the texts of the rows that end in each chunk
 * @throws UserError when there is no row, or a quote is not closed; UsageError when there is no such column
 */
export async function* columnTexts(
  chunks: AsyncIterable<string>,
  path: string,
  column?: string,
  onNotice: (notice: string) => void = () => {},
): AsyncGenerator<string[]> {
  const delimiter = /\.tsv$/i.test(path) ? "\t" : ",";
  const parser = parse({
    delimiter,
    record_delimiter: "\n",
    relax_column_count: true,
    relax_quotes: true, // a quote inside a text without quotes stands for itself
    max_record_size: ROW_BYTES,
  });
  const parsed: string[][] = [];
  let header: string[] | undefined;
  let place = 0;
  let line = 1; // on which the row that is being read begins
  let rows = 0;
  let empty = 0;
  let longer = 0;
  /** The texts of the rows that were parsed since the last call. */
  const take = (): string[] => {
    const texts: string[] = [];
    for (const row of parsed.splice(0)) {
      line += row.reduce((n, field) => n + newlines(field), 1);
      if (!header) {
        header = row;
        place = placeOf(column, header, path);
        if (row.length === 1 && delimiter === "," && /[;\t]/.test(row[0]!))
          onNotice(
            `${path}: no comma parts its first line, so a row is one text; name a table with tabs .tsv`,
          );
        continue;
      }
      rows++;
      if (row.length > header.length) longer++;
      const text = row[place] ?? "";
      if (text.trim() === "") empty++;
      else texts.push(text);
    }
    return texts;
  };
  parser.on("data", (row: string[]) => parsed.push(row)); // row by row through an iterator takes twice as long
  parser.on("error", () => {}); // feed() tells of it
  for await (const chunk of chunks) {
    await feed(parser, chunk).catch((error) => {
      take();
      throw rowError(error, path, line);
    });
    yield take();
  }
  await feed(parser).catch((error) => {
    throw rowError(error, path, line);
  });
  yield take();
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

/** Parses a chunk or, without one, what remains when the text is over. */
function feed(parser: Parser, chunk?: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: Error | null): void => (error ? reject(error) : resolve());
    if (chunk === undefined) parser.once("end", done).once("error", done).end();
    else parser.write(chunk, done);
  });
}

function newlines(text: string): number {
  let n = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) n++;
  return n;
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
  if (!(error instanceof CsvError)) return error;
  const mend = 'close it, or write a quote inside a quoted text as ""';
  const reasons: Record<string, string> = {
    CSV_QUOTE_NOT_CLOSED: `has a quote that is opened and never closed: ${mend}`,
    CSV_MAX_RECORD_SIZE: `is longer than ${ROW_BYTES >> 20} MiB; if a quote is opened and never closed: ${mend}`,
  };
  const reason = reasons[error.code] ?? `cannot be read: ${messageOf(error)}`;
  return new UserError(`${path}: the row that begins on line ${line} ${reason}`, { cause: error });
}
