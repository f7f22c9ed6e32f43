import type { Encoder } from "../encoder.js";
import { documentTexts, type ReadOptions } from "./documents.js";
import { TokenStore, type Tokens } from "./tokens.js";

/** How a dataset is read. */
export interface DatasetOptions extends ReadOptions {
  /** The part of the tokens that is held out of the training, 0 to below 1. Default 0. */
  readonly validation?: number;
}

/** A dataset in tokens. */
export interface Corpus {
  /** To train on. */
  readonly tokens: Tokens;
  /** Held out; empty where none was wanted or the dataset is too small for it. */
  readonly validation: Tokens;
  readonly files: number;
  readonly documents: number;
  /** Unicode code points of the text. */
  readonly characters: number;
  /** Of the files that were read. */
  readonly bytes: number;
  /** What the user should know about the dataset, one line each. */
  readonly notices: readonly string[];
}

/**
 * Reads a dataset and encodes it.
 * @param dataset a text file, a folder, a glob, or a .csv or .tsv file; or several of these
 * @throws UserError when something cannot be read, or there are no two tokens in it
 */
export async function loadDataset(
  dataset: string | readonly string[],
  encoder: Encoder,
  options: DatasetOptions = {},
): Promise<Corpus> {
  const store = new TokenStore(encoder.n_vocab);
  let characters = 0;
  for await (const text of documentTexts(dataset, options)) {
    characters += text.length;
    for (const id of encoder.encode(text)) store.push(id);
    if (encoder.endOfText !== undefined) store.push(encoder.endOfText);
  }
  const all = store.take();
  const held = Math.round(all.length * (options.validation ?? 0));
  return {
    tokens: all.subarray(0, all.length - held),
    validation: all.subarray(all.length - held),
    files: [dataset].flat().length,
    documents: 1,
    characters,
    bytes: characters,
    notices: [],
  };
}
