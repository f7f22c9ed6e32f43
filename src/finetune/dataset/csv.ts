import { CsvError, type Options, type Parser, parse } from "csv-parse";
import { parse as parseAtOnce } from "csv-parse/sync";
import { countOf, messageOf, UsageError, UserError } from "../../system/errors.js";

/** A row longer than this most likely comes from an unclosed quote. */
const ROW_BYTES = 1 << 23;

/** Whether a file is a table, by its name. */
export function isTable(path: string): boolean {
  return /\.(csv|tsv)$/i.test(path);
}

/** How a table is written. */
interface Dialect {
  readonly delimiter: string;
  /** What comes before a quote inside a quoted text: another quote, or a backslash. */
  readonly escape: string;
  /** Whether spaces may come before a quoted text. */
  readonly ltrim: boolean;
}

const DELIMITERS: Readonly<Record<string, string>> = {
  ",": "commas",
  ";": "semicolons",
  "\t": "tabs",
  "|": "bars",
};

/** Lines from which a dialect is recognised: each misplaced quote costs a tenth of a millisecond. */
const SAMPLE_LINES = 100;
/** At most this much text. */
const SAMPLE_CHARACTERS = 1 << 16;

/**
 * How a table is written, judged by its first rows. The delimiter is the one its name implies, unless only another one
 * splits its first line, or splits all rows alike where this one does not; then the fewest misplaced quotes decide.
 */
function recognise(head: string, usual: string): Dialect {
  const lines = head.slice(0, SAMPLE_CHARACTERS).split("\n");
  const isCut = lines.length > SAMPLE_LINES || head.length > SAMPLE_CHARACTERS;
  const text =
    isCut && lines.length > 1 ? lines.slice(0, -1).slice(0, SAMPLE_LINES).join("\n") : lines.join("\n");
  const dialects = Object.keys(DELIMITERS).flatMap((delimiter) =>
    ['"', "\\"].flatMap((mark) => [false, true].map((ltrim) => ({ delimiter, escape: mark, ltrim }))),
  );
  const tried = dialects.map((dialect) => ({ dialect, ...tryOut(text, dialect) }));
  const best = (delimiter: string): (typeof tried)[number] =>
    tried
      .filter((one) => one.dialect.delimiter === delimiter)
      .reduce((a, b) => (b.faults < a.faults ? b : a)); // the plain dialect if equal
  const own = best(usual);
  if (own.isEven && own.columns > 1) return own.dialect;
  const others = Object.keys(DELIMITERS).filter((delimiter) => delimiter !== usual);
  const other = others
    .map(best)
    .filter(({ columns, isEven, parted }) => columns > 1 && (isEven || (own.columns === 1 && parted > 0.5)))
    .reduce<typeof own | undefined>((a, b) => (a && a.columns >= b.columns ? a : b), undefined);
  return (other ?? own).dialect;
}

/** How a sample of a table reads in one dialect. */
interface Reading {
  /** Rows with a quote where none can be. */
  readonly faults: number;
  /** In the first line. */
  readonly columns: number;
  /** Whether each row has as many columns as the first line. */
  readonly isEven: boolean;
  /** The fraction of the other rows that have at least two columns. */
  readonly parted: number;
}

function tryOut(text: string, dialect: Dialect): Reading {
  let faults = 0;
  const options: Options = {
    ...parserOptions(dialect),
    relax_quotes: false,
    skip_records_with_error: true,
    on_skip: () => {
      faults++;
      return undefined;
    },
  };
  const rows = parseAtOnce(text, options) as unknown as string[][];
  const columns = rows[0]?.length ?? 0;
  const parted = rows.slice(1).filter((row) => row.length > 1).length / Math.max(1, rows.length - 1);
  return { faults, columns, isEven: rows.length > 1 && rows.every((row) => row.length === columns), parted };
}

const parserOptions = (dialect: Dialect): Options => ({
  ...dialect,
  record_delimiter: "\n",
  relax_column_count: true,
  relax_quotes: true, // a quote inside an unquoted text is a plain character
  max_record_size: ROW_BYTES,
});

/** What is unusual about a table; "" if nothing is. */
function describe({ delimiter, ltrim, ...dialect }: Dialect, usual: string): string {
  const phrases = [
    delimiter === usual ? "" : `${DELIMITERS[delimiter]} between columns`,
    dialect.escape === "\\" ? '\\" for a quote inside a text' : "",
    ltrim ? "spaces before quotes" : "",
  ];
  return phrases.filter((phrase) => phrase !== "").join(", ");
}

/**
 * The texts in one or more columns of a table, joined by newlines; the first line names the columns. Rows whose text is
 * empty are left out, with a notice. Quoted texts may hold delimiters, quotes and newlines; rows may be too short or too
 * long. Another delimiter, `\"` and spaces before quotes are recognised, with a notice.
 * @param chunks the file's text
 * @param path .tsv: tabs between columns; otherwise commas, unless the first rows show another delimiter
 * @param columns names or numbers from 1; none: the first. A column with such a name takes precedence
 * @returns the texts of the rows that end in each chunk
 * @throws UserError when there is no row, or a quote is not closed; UsageError when there is no such column
 */
export async function* columnTexts(
  chunks: AsyncIterable<string>,
  path: string,
  columns: readonly string[] = [],
  onNotice: (notice: string) => void = () => {},
): AsyncGenerator<string[]> {
  const usual = /\.tsv$/i.test(path) ? "\t" : ",";
  const parsed: string[][] = [];
  let parser: Parser | undefined;
  let header: string[] | undefined;
  let places: readonly number[] = [];
  let line = 1; // where the row being read begins
  let rows = 0;
  let empty = 0;
  let longer = 0;
  const begin = (head: string): Parser => {
    const dialect = recognise(head, usual);
    const found = describe(dialect, usual);
    if (found !== "") onNotice(`${path} is read with ${found}, as its first rows show`);
    const made = parse(parserOptions(dialect));
    made.on("data", (row: string[]) => parsed.push(row)); // row by row through an iterator takes twice as long
    made.on("error", () => {}); // feed() reports it
    return made;
  };
  /** The texts of the rows parsed since the last call. */
  const take = (): string[] => {
    const texts: string[] = [];
    for (const row of parsed.splice(0)) {
      line += row.reduce((n, field) => n + newlines(field), 1);
      if (!header) {
        header = row;
        places = columns.length === 0 ? [0] : columns.map((column) => placeOf(column, row, path));
        continue;
      }
      rows++;
      if (row.length > header.length) longer++;
      const text = joined(places.map((place) => row[place] ?? ""));
      if (text === "") empty++;
      else texts.push(text);
    }
    return texts;
  };
  for await (const chunk of chunks) {
    parser ??= begin(chunk);
    await feed(parser, chunk).catch((error) => {
      take();
      throw rowError(error, path, line);
    });
    yield take();
  }
  await feed(parser ?? begin("")).catch((error) => {
    throw rowError(error, path, line);
  });
  yield take();
  if (!header) throw new UserError(`${path} is empty: its first line must name the columns`);
  if (rows === 0) {
    throw new UserError(`${path} has one line only, which names the columns: there is no row to train on`);
  }
  if (empty > 0) onNotice(`${path}: ${countOf(empty, "empty row")} left out`);
  if (longer > 0) {
    onNotice(
      `${path}: ${countOf(longer, "row")} with more columns than the first line names; ` +
        "a text that contains the delimiter needs quotes, or it is cut there",
    );
  }
}

/** The texts of a row as one, a line each, without blank ones. */
export function joined(texts: readonly string[]): string {
  return texts.filter((text) => text.trim() !== "").join("\n");
}

/** Parses a chunk or, without one, what remains at the end. */
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

function placeOf(column: string, header: readonly string[], path: string): number {
  const names = header.map((name) => name.trim());
  const named = names.indexOf(column.trim());
  if (named >= 0) return named;
  const number = /^\d{1,9}$/.test(column.trim()) ? Number(column) : 0;
  if (number >= 1 && number <= names.length) return number - 1;
  const list = names.slice(0, 20).map((name, i) => `${i + 1} ${JSON.stringify(name.slice(0, 40))}`);
  if (names.length > 20) list.push("...");
  throw new UsageError(`${path} has no column ${JSON.stringify(column)}`, {
    next: `its columns are ${list.join(", ")}`,
  });
}

/** @param line where the row begins */
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
