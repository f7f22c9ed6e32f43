import { join } from "node:path";
import { DOWNLOAD_OR_RENAME as NEXT, quote as quoteValue, UserError } from "../system/errors.js";
import { isObject, parseJson } from "../system/json.js";
import type { Merges } from "./merge.js";

/** A byte-level BPE vocabulary, as numbers. */
export interface Vocabulary {
  /** The bytes of all tokens in turn; those of an id are at [offsets[id], offsets[id + 1]). */
  readonly bytes: Uint8Array;
  /** [n_vocab + 1] */
  readonly offsets: Uint32Array;
  /** The id of each single byte: [256]. */
  readonly byteIds: Int32Array;
  /** In order of rank. */
  readonly merges: Merges;
  /** The id of `<|endoftext|>`, if the vocabulary has it. */
  readonly endOfText: number | undefined;
}

/** The names of a vocabulary's two files; OpenAI's are encoder.json and vocab.bpe. */
export interface VocabularyNames {
  readonly encoder: string;
  readonly merges: string;
}

/**
 * The character that stands for each byte in the files: printable Latin-1 for itself, U+0100 and on for the
 * others, in order, so that no token holds whitespace. Source: openai/gpt-2 src/encoder.py, bytes_to_unicode.
 */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  let stranger = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
    return String.fromCharCode(printable ? byte : stranger++);
  });
})();
/** The byte of each of these characters' codes; -1 for any other below U+0180. */
export const BYTE_OF = new Int16Array(0x180).fill(-1);
for (const [byte, character] of BYTE_CHARACTERS.entries()) BYTE_OF[character.charCodeAt(0)] = byte;

/** A token, as text or bytes, in the characters of the two files. */
export function inByteCharacters(token: string | Uint8Array): string {
  return Array.from(Buffer.from(token), (byte) => BYTE_CHARACTERS[byte]).join("");
}

/** The token that ends a text. */
export const END_OF_TEXT = "<|endoftext|>";
/** The first line of vocab.bpe. */
export const MERGES_VERSION = "#version: 0.2\n";

/** Quotes part of a file, short enough for a message. */
function quote(text: string): string {
  return quoteValue(text, 60);
}

/**
 * Parses encoder.json (token -> id) and vocab.bpe (a version line, then one merge per line, best first).
 * @param where their folder, for messages
 * @param options names: the files' names, for messages; added: ids of tokens that no merge makes
 * @throws UserError that names the file and the first thing wrong in it
 */
export function parseVocabulary(
  encoderJson: string,
  vocabBpe: string,
  where: string,
  options: { readonly names?: VocabularyNames; readonly added?: ReadonlySet<number> } = {},
): Vocabulary {
  const { names = { encoder: "encoder.json", merges: "vocab.bpe" }, added = new Set() } = options;
  const encoderFile = join(where, names.encoder);
  const ids = parseIds(encoderJson, encoderFile);
  const { bytes, offsets } = parseTokens(ids, encoderFile);
  const byteIds = Int32Array.from(BYTE_CHARACTERS, (character, byte) => {
    const id = ids.get(character);
    if (id !== undefined) return id;
    throw new UserError(`${encoderFile} has no token ${quote(character)} for the byte ${byte}`, {
      next: NEXT,
    });
  });
  const merges = parseMerges(vocabBpe, join(where, names.merges), ids, names.encoder, added);
  return { bytes, offsets, byteIds, merges, endOfText: ids.get(END_OF_TEXT) };
}

/** A Map, not an object: "__proto__" and "constructor" are tokens like any other. */
function parseIds(json: string, file: string): Map<string, number> {
  const table = parseJson(json, file, NEXT);
  if (!isObject(table)) throw new UserError(`${file} is not a table of tokens and their ids`, { next: NEXT });
  const tokens = Object.keys(table);
  const ids = new Map<string, number>();
  const taken = new Uint8Array(tokens.length);
  for (const token of tokens) {
    const id = table[token];
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= tokens.length) {
      throw new UserError(
        `${file}: the id of ${quote(token)} must be a whole number from 0 to ${tokens.length - 1}, not ${quoteValue(id, 40)}`,
        { next: NEXT },
      );
    }
    if (taken[id])
      throw new UserError(`${file}: two tokens have the id ${id}, one is ${quote(token)}`, { next: NEXT });
    taken[id] = 1;
    ids.set(token, id);
  }
  return ids;
}

function parseTokens(ids: ReadonlyMap<string, number>, file: string): Pick<Vocabulary, "bytes" | "offsets"> {
  const tokens = new Array<string>(ids.size);
  let length = 0;
  for (const [token, id] of ids) {
    tokens[id] = token;
    length += token.length;
  }
  const bytes = new Uint8Array(length);
  const offsets = new Uint32Array(tokens.length + 1);
  let end = 0;
  tokens.forEach((token, id) => {
    for (let i = 0; i < token.length; i++) {
      const byte = BYTE_OF[token.charCodeAt(i)] ?? -1;
      if (byte < 0) {
        throw new UserError(
          `${file}: the token ${quote(token)} has a character that stands for no byte, so this is not a GPT-2's vocabulary`,
          { next: NEXT },
        );
      }
      bytes[end++] = byte;
    }
    offsets[id + 1] = end;
  });
  return { bytes, offsets };
}

function parseMerges(
  text: string,
  file: string,
  ids: ReadonlyMap<string, number>,
  encoder: string,
  added: ReadonlySet<number>,
): Merges {
  const lines = text.split(/\r?\n/);
  if (!lines[0]!.startsWith("#version")) {
    throw new UserError(`${file} does not begin with a line "#version"`, { next: NEXT });
  }
  while (lines.at(-1) === "") lines.pop();
  const idOf = (token: string, line: number): number => {
    const id = ids.get(token);
    if (id !== undefined) return id;
    throw new UserError(`${file}, line ${line + 1}: ${encoder} has no token ${quote(token)}`, { next: NEXT });
  };
  const merged = new Uint8Array(ids.size);
  const merges = { left: [] as number[], right: [] as number[], result: [] as number[] };
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i]!;
    const space = line.indexOf(" ");
    const [a, b] = [line.slice(0, Math.max(space, 0)), line.slice(space + 1)];
    if (a === "" || b === "" || b.includes(" ")) {
      throw new UserError(`${file}, line ${i + 1}: ${quote(line)} is not two tokens with a space between`, {
        next: NEXT,
      });
    }
    const [left, right, result] = [idOf(a, i), idOf(b, i), idOf(a + b, i)];
    merges.left.push(left);
    merges.right.push(right);
    merges.result.push(result);
    merged[result] = 1;
  }
  // A file cut off at the end of a line looks whole, and its missing merges would silently give other ids.
  for (const [token, id] of ids) {
    if (token.length > 1 && !merged[id] && !added.has(id) && !/^[<[]/.test(token)) {
      throw new UserError(`${file} has no merge that makes the token ${quote(token)}; it may be cut short`, {
        next: NEXT,
      });
    }
  }
  return {
    left: Int32Array.from(merges.left),
    right: Int32Array.from(merges.right),
    result: Int32Array.from(merges.result),
  };
}
