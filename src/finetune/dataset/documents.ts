import { lastBorder } from "../../encoder/split.js";
import { END_OF_TEXT } from "../../encoder/vocabulary.js";
import { option, UsageError, UserError } from "../../system/errors.js";
import { columnTexts, isTable } from "./csv.js";
import { type DataFile, listFiles, summary } from "./files.js";
import { hasRecords, recordTexts } from "./json.js";
import { NoTextError, readText } from "./text.js";

/** Before the text of each row of a table; ordinary text to a GPT-2, whose vocabulary has no id for it. */
const START_OF_TEXT = "<|startoftext|>";

/** How a dataset is read. */
export interface ReadOptions {
  /**
   * What holds the text of a row; several are joined by newlines. In .csv and .tsv files: a column's name, or its number
   * from 1; default: the first. In .json and .jsonl files: a field; default: text.
   */
  readonly column?: string | readonly string[];
  readonly signal?: AbortSignal;
  /** Called with the bytes read so far, and their total. */
  readonly onProgress?: (bytes: number, total: number) => void;
  /** Called with a line that the user should know about the dataset. */
  readonly onNotice?: (notice: string) => void;
}

/** A part of a document. Cutting between two parts never changes the tokens. */
export interface DocumentPart {
  readonly text: string;
  /** Whether the document ends here. */
  readonly isLast: boolean;
}

/**
 * Cuts a text that arrives in chunks into parts: at `<|endoftext|>`, and where no token can reach across. Blank
 * documents are left out.
 */
export class DocumentCutter {
  readonly #splits: boolean;
  /** Held back: what follows may belong to its last token. */
  #held = "";
  /** Up to here it cannot be cut. */
  #searched = 0;
  /** Whether nothing of the document has been returned yet. */
  #isBlank = true;

  /** @param splits false: `<|endoftext|>` is ordinary text */
  constructor(splits: boolean) {
    this.#splits = splits;
  }

  /** @param chunk must not end within a surrogate pair */
  push(chunk: string): DocumentPart[] {
    const parts: DocumentPart[] = [];
    let text = this.#held + chunk;
    for (let at = this.#find(text, this.#held.length); at >= 0; at = this.#find(text, 0)) {
      this.#close(text.slice(0, at), parts);
      text = text.slice(at + END_OF_TEXT.length);
      this.#searched = 0;
    }
    const limit = text.length - (this.#splits ? begunLength(text) : 0);
    const cut = lastBorder(text, this.#searched, limit);
    if (cut > 0) {
      parts.push({ text: text.slice(0, cut), isLast: false });
      this.#isBlank = false;
    }
    this.#held = text.slice(cut);
    this.#searched = limit - cut;
    return parts;
  }

  /** The rest, at the end of the text. */
  end(): DocumentPart[] {
    const parts: DocumentPart[] = [];
    this.#close(this.#held, parts);
    this.#held = "";
    this.#searched = 0;
    return parts;
  }

  /** The first `<|endoftext|>`; the text before `known` has none. */
  #find(text: string, known: number): number {
    return this.#splits ? text.indexOf(END_OF_TEXT, Math.max(0, known - END_OF_TEXT.length)) : -1;
  }

  #close(text: string, parts: DocumentPart[]): void {
    if (!this.#isBlank || text.trim() !== "") parts.push({ text, isLast: true });
    this.#isBlank = true;
  }
}

/** How much of an `<|endoftext|>` is at a text's end. */
function begunLength(text: string): number {
  for (let n = Math.min(END_OF_TEXT.length - 1, text.length); n > 0; n--) {
    if (text.endsWith(END_OF_TEXT.slice(0, n))) return n;
  }
  return 0;
}

/**
 * The parts of a dataset's documents, in order, some at a time.
 * @param dataset a text file, a folder, a glob, or a .csv, .tsv, .json or .jsonl file; or several of these
 * @param splits whether `<|endoftext|>` in a text ends a document; false: it is ordinary text
 * @throws UserError when something cannot be read, or there is no text in it
 */
export async function* readParts(
  dataset: string | readonly string[],
  splits: boolean,
  options: ReadOptions = {},
): AsyncGenerator<DocumentPart[]> {
  const { signal, onProgress, onNotice } = options;
  const columns = [options.column ?? []].flat();
  const files = await listFiles([dataset].flat(), onNotice);
  if (columns.length > 0 && !files.some(({ path }) => isTable(path) || hasRecords(path))) {
    throw new UsageError(
      `${option("column")} is for .csv, .tsv, .json and .jsonl files, not ${summary(files.map(({ path }) => path))}`,
    );
  }
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let bytes = 0;
  const onRead = (n: number): void => {
    signal?.throwIfAborted();
    bytes += n;
    onProgress?.(bytes, Math.max(bytes, total));
  };
  const leftOut = new Map<string, string[]>(); // why -> paths
  let isEmpty = true;
  for (const file of files) {
    let isBegun = false;
    try {
      for await (const parts of fileParts(file, splits, columns, onNotice, onRead)) {
        if (parts.length === 0) continue;
        isBegun = true;
        yield parts;
      }
    } catch (error) {
      if (file.isNamed || isBegun || !(error instanceof NoTextError)) throw error;
      leftOut.set(error.why, [...(leftOut.get(error.why) ?? []), file.path]);
    }
    isEmpty &&= !isBegun;
  }
  for (const [why, paths] of leftOut) onNotice?.(`left out, because ${why}: ${summary(paths)}`);
  if (isEmpty)
    throw new UserError(`there is no text in ${summary([dataset].flat())}`, {
      next: "name a dataset that has some",
    });
}

async function* fileParts(
  { path, place }: DataFile,
  splits: boolean,
  columns: readonly string[],
  onNotice: ReadOptions["onNotice"],
  onRead: (bytes: number) => void,
): AsyncGenerator<DocumentPart[]> {
  const cutter = new DocumentCutter(splits);
  const chunks = readText(path, onNotice, onRead, place);
  if (isTable(path)) {
    for await (const texts of columnTexts(chunks, path, columns, onNotice)) {
      yield texts.flatMap((text) => [
        ...cutter.push(text.startsWith(START_OF_TEXT) ? text : START_OF_TEXT + text),
        ...cutter.end(),
      ]);
    }
  } else if (hasRecords(path)) {
    for await (const texts of recordTexts(chunks, path, columns, onNotice)) {
      yield texts.flatMap((text) => [...cutter.push(text), ...cutter.end()]);
    }
  } else {
    for await (const chunk of chunks) yield cutter.push(chunk);
    yield cutter.end();
  }
}

/**
 * The dataset's text in pieces, in order: no token of loadDataset() reaches from one to the next, so each can be
 * counted by itself. `<|endoftext|>` is left out, and nothing marks where a document ends.
 * @param dataset a text file, a folder, a glob, or a .csv, .tsv, .json or .jsonl file; or several of these
 * @throws UserError when something cannot be read, or there is no text in it
 */
export async function* documentTexts(
  dataset: string | readonly string[],
  options: ReadOptions = {},
): AsyncGenerator<string> {
  for await (const parts of readParts(dataset, true, options)) {
    for (const { text } of parts) yield text;
  }
}
