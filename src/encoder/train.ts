import { setImmediate } from "node:timers/promises";
import { UsageError } from "../system/errors.js";
import { PairCounts } from "./pair-counts.js";
import { pieceEnd } from "./split.js";
import { BYTE_CHARACTERS, END_OF_TEXT, MERGES_VERSION } from "./vocabulary.js";

/** A vocabulary, as a model folder's two files. */
export interface TrainedVocabulary {
  /** The text of encoder.json. */
  readonly encoderJson: string;
  /** The text of vocab.bpe. */
  readonly vocabBpe: string;
  /** Its number of tokens: fewer than requested if no pair was left that occurs twice. */
  readonly n_vocab: number;
}

/** How a vocabulary is trained. */
export interface TrainVocabularyOptions {
  readonly signal?: AbortSignal;
  /** Called now and then with the number of tokens so far, and the number wanted. */
  readonly onProgress?: (tokens: number, n_vocab: number) => void;
}

/** A pair that occurs once is useless as a token; the paper's program has the same limit. */
const LEAST = 2;
/** The most different pieces counted; 100 MB of English have far fewer. */
const MOST_PIECES = 1 << 23;
/** Milliseconds of work before signals and the progress bar get a turn. */
const TURN = 50;
/** V8 copies slices of up to 12 UTF-16 units; a longer one would keep its whole text in memory. */
const COPIED_LENGTH = 12;

/**
 * Trains a byte-level BPE vocabulary: starting from the 256 bytes, the most frequent adjacent pair becomes a token, again
 * and again; among equals, the pair with the smaller ids. Pairs never cross GPT-2's pieces. The same texts give the same
 * vocabulary in any order.
 * Source: Sennrich et al. 2016 (arXiv:1508.07909); the files are in the format of openai/gpt-2.
 * @param texts no token crosses from one to the next
 * @param n_vocab the number of tokens, including the 256 bytes and `<|endoftext|>`, the last one
 * @throws UsageError when n_vocab is below 257
 */
export async function trainVocabulary(
  texts: AsyncIterable<string> | Iterable<string>,
  n_vocab: number,
  options: TrainVocabularyOptions = {},
): Promise<TrainedVocabulary> {
  if (!Number.isInteger(n_vocab) || n_vocab < 257) {
    throw new UsageError(
      `a vocabulary has at least 257 tokens (256 bytes and ${END_OF_TEXT}), not ${n_vocab}`,
    );
  }
  const { signal, onProgress } = options;
  const rest = pauses(signal);
  // As in OpenAI's encoder.json, bytes come in the order of their characters.
  const tokens = [...BYTE_CHARACTERS].sort();
  const byteIds = Int32Array.from(BYTE_CHARACTERS, (character) => tokens.indexOf(character));
  const pairs = pairsOf(await countPieces(texts, rest), byteIds, n_vocab);
  const merges: string[] = [];
  while (tokens.length < n_vocab - 1) {
    await rest(() => onProgress?.(tokens.length + 1, n_vocab));
    const pair = pairs.best(LEAST);
    if (!pair) break;
    const [left, right] = [tokens[pair.left]!, tokens[pair.right]!];
    merges.push(`${left} ${right}`);
    // No other pair has made this token: no merge crossed its borders, so its bytes always merged in the same order.
    pairs.merge(pair, tokens.push(left + right) - 1);
  }
  tokens.push(END_OF_TEXT);
  onProgress?.(tokens.length, n_vocab);
  return {
    encoderJson: toJson(tokens),
    vocabBpe: MERGES_VERSION + merges.map((merge) => `${merge}\n`).join(""),
    n_vocab: tokens.length,
  };
}

/** A function that reports progress and lets others have a turn when it is time. */
function pauses(signal: AbortSignal | undefined): (report?: () => void) => Promise<void> | void {
  let since = Date.now();
  return (report) => {
    signal?.throwIfAborted();
    if (Date.now() - since < TURN) return undefined;
    report?.();
    return setImmediate().then(() => {
      since = Date.now();
    });
  };
}

/** How often each piece occurs in the texts; when there are too many, those seen once are forgotten. */
async function countPieces(
  texts: AsyncIterable<string> | Iterable<string>,
  rest: () => Promise<void> | void,
): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for await (const text of texts) {
    for (let start = 0; start < text.length; ) {
      const end = pieceEnd(text, start);
      const piece = text.slice(start, end);
      const known = counts.get(piece);
      if (known !== undefined) counts.set(piece, known + 1);
      else counts.set(piece.length > COPIED_LENGTH ? copyOf(piece) : piece, 1);
      start = end;
    }
    if (counts.size > MOST_PIECES) {
      for (const [piece, count] of counts) if (count === 1) counts.delete(piece);
    }
    await rest();
  }
  return counts;
}

function copyOf(text: string): string {
  return Buffer.from(text, "utf16le").toString("utf16le");
}

/** The pieces, with each byte as the id of its token. */
function pairsOf(counts: ReadonlyMap<string, number>, byteIds: Int32Array, n_vocab: number): PairCounts {
  let n = 0;
  for (const piece of counts.keys()) n += Buffer.byteLength(piece);
  const ids = new Int32Array(n);
  const ends = new Int32Array(counts.size);
  let end = 0;
  let number = 0;
  for (const piece of counts.keys()) {
    for (const byte of Buffer.from(piece)) ids[end++] = byteIds[byte]!;
    ends[number++] = end;
  }
  return new PairCounts(ids, ends, [...counts.values()], n_vocab);
}

/** JSON as Python's json.dumps writes it, in ASCII, so that it reads the same in any encoding. */
function toJson(tokens: readonly string[]): string {
  const entries = tokens.map((token, id) => `${JSON.stringify(token)}: ${id}`);
  return `{${entries.join(", ")}}`.replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
