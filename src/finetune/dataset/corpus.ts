import type { Encoder } from "../../encoder/encoder.js";
import { countOf, UserError } from "../../system/errors.js";
import { type ReadOptions, readParts } from "./documents.js";
import { summary } from "./files.js";
import { NumberList, type Tokens } from "./token-list.js";

/** How a dataset is read and split. */
export interface DatasetOptions extends Omit<ReadOptions, "onNotice"> {
  /** The part of the tokens to hold out of the training, from 0 to below 1. Default: 0. */
  readonly validation?: number;
}

/** A dataset as tokens. */
export interface Corpus {
  /** To train on: at least two tokens. */
  readonly tokens: Tokens;
  /** Held out: at least two tokens, or none if none were wanted or the dataset is too small. */
  readonly validation: Tokens;
  readonly documents: number;
  /** Unicode code points in the text. */
  readonly characters: number;
  /** Bytes of the files read. */
  readonly bytes: number;
  /** What the user should know about the dataset, one line each. */
  readonly notices: readonly string[];
}

/**
 * Reads a dataset and encodes it piece by piece: the text is never whole in memory.
 *
 * A text file is a document. So is each row of a .csv or .tsv file, after a `<|startoftext|>`, which is ordinary text to
 * a GPT-2 (so `--prefix "<|startoftext|>"` begins one), and each record of a .json or .jsonl file, with nothing before
 * it. The vocabulary's end-of-text id follows every document, and replaces every `<|endoftext|>` in a text. Without such
 * an id, documents are joined.
 * Source of the format: gpt-2-simple.
 *
 * @param dataset a text file, a folder, a glob, or a .csv, .tsv, .json or .jsonl file; or several of these
 * @throws UserError when something cannot be read, or there are not even two tokens in it; RangeError for `validation`
 */
export async function loadDataset(
  dataset: string | readonly string[],
  encoder: Encoder,
  options: DatasetOptions = {},
): Promise<Corpus> {
  const { validation = 0, onProgress } = options;
  if (!(validation >= 0 && validation < 1)) throw new RangeError(`validation ${validation} is not in 0 .. 1`);
  const { n_vocab, endOfText } = encoder;
  const store = new NumberList(n_vocab);
  const ends = new NumberList(2 ** 32);
  const notices: string[] = [];
  let characters = 0;
  let continues = false;
  let bytes = 0;
  const batches = readParts(dataset, endOfText !== undefined, {
    ...options,
    onNotice: (notice) => notices.push(notice),
    onProgress: (read, total) => {
      bytes = read;
      onProgress?.(read, total);
    },
  });
  for await (const parts of batches) {
    for (const { text, isLast } of parts) {
      characters += codePoints(text);
      for (const id of encoder.encode(text, { continues })) store.push(id);
      continues = !isLast;
      if (!isLast) continue;
      if (endOfText !== undefined) store.push(endOfText);
      ends.push(store.length);
    }
  }
  if (store.length < 2) {
    throw new UserError(`${summary([dataset].flat())} holds ${countOf(store.length, "token")}`, {
      next: "training takes two at least",
    });
  }
  const documents = ends.length;
  if (endOfText === undefined && documents > 1) {
    notices.push(
      `the vocabulary has no <|endoftext|>: ${documents} documents are joined with nothing between them`,
    );
  }
  const tokens = store.take();
  const border = heldOutFrom(tokens.length, ends.take(), validation);
  if (validation > 0 && border === tokens.length) {
    notices.push(`${tokens.length} tokens are too few to hold ${100 * validation} % out: all are trained on`);
  }
  return {
    tokens: tokens.subarray(0, border),
    validation: tokens.subarray(border),
    documents,
    characters,
    bytes,
    notices,
  };
}

/** The text has no lone surrogates, as it was decoded from bytes. */
function codePoints(text: string): number {
  let n = text.length;
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) === 0xdc00) n--;
  return n;
}

/**
 * Where the held-out part begins: at the document that brings it nearest to the fraction or, if that is not between
 * half and twice as much, within a document.
 * @param ends of the documents, in tokens
 * @returns n_tokens if nothing can be held out: both parts need two tokens
 */
function heldOutFrom(n_tokens: number, ends: Tokens, fraction: number): number {
  const wanted = Math.round(fraction * n_tokens);
  if (wanted < 2 || n_tokens - wanted < 2) return n_tokens;
  const target = n_tokens - wanted;
  let nearest = 0;
  for (const end of ends) if (Math.abs(end - target) < Math.abs(nearest - target)) nearest = end;
  const held = n_tokens - nearest; // at most 2 wanted: the very end is only `wanted` away from the target
  const fits = nearest >= 2 && held >= 2 && held >= wanted / 2;
  return fits ? nearest : target;
}
