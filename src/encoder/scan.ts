import type { Merges } from "./merge.js";
import { TokenIndex } from "./token-index.js";
import { BYTE_OF, type Vocabulary } from "./vocabulary.js";

// A process that has just started interprets, and what it interprets is twenty times slower than compiled code.
// The compiler takes a short loop over typed arrays within a few milliseconds, a long one or one that calls many
// functions only when the work is nearly done. So the files are gone through in several short loops.

const [LINE_FEED, RETURN, SPACE, QUOTE, COMMA, SLASH, ZERO, COLON] = [10, 13, 32, 34, 44, 47, 48, 58];
const [LESS, BRACKET, BACKSLASH, LETTER_U, BRACE, END_BRACE] = [60, 91, 92, 117, 123, 125];
/** 1 for each code of JSON's whitespace: [256]. */
const BLANK = Uint8Array.from({ length: 256 }, (_, code) =>
  [9, LINE_FEED, RETURN, SPACE].includes(code) ? 1 : 0,
);
/** The value of each hexadecimal digit by its code, -1 for any other code: [256]. */
const HEX = Int8Array.from({ length: 256 }, (_, code) =>
  "0123456789abcdef".indexOf(String.fromCharCode(code).toLowerCase()),
);
const VERSION = new TextEncoder().encode("#version");
const END_OF_TEXT = new TextEncoder().encode("<|endoftext|>");
/** Larger files are no vocabulary that is worth the memory of the tables below. */
const LONGEST = 1 << 26;

/**
 * What parseVocabulary makes of the same two files, from their bytes: without a string or an object a token,
 * in a fraction of the time.
 * @returns undefined for anything unexpected, wrong or only unusual: parseVocabulary knows what to say of it
 */
export function scanVocabulary(encoderJson: Uint8Array, vocabBpe: Uint8Array): Vocabulary | undefined {
  if (encoderJson.length > LONGEST || vocabBpe.length > LONGEST) return undefined;
  const entries = scanEntries(encoderJson);
  const tokens = entries && sorted(entries);
  const index = tokens && TokenIndex.of(tokens);
  if (!index) return undefined;
  const pairs = scanPairs(vocabBpe);
  const merges = pairs && resolve(pairs, tokens, index);
  if (!merges) return undefined;
  const byteIds = Int32Array.from({ length: 256 }, (_, byte) => index.idOf(Uint8Array.of(byte)));
  if (byteIds.includes(-1)) return undefined;
  const endOfText = index.idOf(END_OF_TEXT);
  const { bytes, offsets } = tokens;
  return { bytes, offsets, byteIds, merges, endOfText: endOfText === -1 ? undefined : endOfText };
}

/** Tokens one after another. */
export interface Tokens {
  /** Those of token k are at offsets[k] to offsets[k + 1]. */
  readonly bytes: Uint8Array;
  /** [n + 1] */
  readonly offsets: Uint32Array;
  /** hashOf the token's bytes: [n]. */
  readonly hashes: Int32Array;
}

/** The tokens of encoder.json in the order of the file. */
interface Entries extends Tokens {
  /** [n] */
  readonly ids: Int32Array;
  /** Token k has the id k. */
  readonly isSorted: boolean;
}

/** A copy with zeros behind its end, which no rule below accepts: nothing reads on unnoticed. */
function withZeros(file: Uint8Array): Uint8Array {
  const padded = new Uint8Array(file.length + 8);
  padded.set(file);
  return padded;
}

/** The code of a character of two bytes in UTF-8, below U+0180; -1 where it is none. */
function codeOfPair(first: number, second: number): number {
  const isPair = first >= 0xc2 && first <= 0xc5 && (second & 0xc0) === 0x80;
  return isPair ? ((first & 0x1f) << 6) | (second & 0x3f) : -1;
}

/** encoder.json: an object of tokens and ids, in any style of JSON; undefined where it is not just that. */
function scanEntries(file: Uint8Array): Entries | undefined {
  const json = withZeros(file);
  const room = Math.floor(file.length / 5) + 1; // the shortest is "":0,
  const bytes = new Uint8Array(file.length);
  const offsets = new Uint32Array(room + 1);
  const hashes = new Int32Array(room);
  const ids = new Int32Array(room);
  let isSorted = true;
  let n = 0;
  let end = 0;
  let i = 0;
  while (BLANK[json[i]!]) i++;
  let sign = json[i++] === BRACE ? COMMA : 0;
  while (sign === COMMA) {
    while (BLANK[json[i]!]) i++;
    if (json[i++] !== QUOTE) return undefined;
    let hash = TokenIndex.BASIS;
    for (;;) {
      let code = json[i++]!;
      if (code === QUOTE) break;
      if (code === BACKSLASH) {
        code = json[i++]!;
        if (code === LETTER_U) {
          code =
            (HEX[json[i]!]! << 12) |
            (HEX[json[i + 1]!]! << 8) |
            (HEX[json[i + 2]!]! << 4) |
            HEX[json[i + 3]!]!;
          i += 4;
        } else if (code !== QUOTE && code !== BACKSLASH && code !== SLASH) {
          return undefined;
        }
      } else if (code >= 0x80) {
        code = codeOfPair(code, json[i++]!);
      }
      const byte = BYTE_OF[code]!;
      if (!(byte >= 0)) return undefined; // not even a number outside of the table
      bytes[end++] = byte;
      hash = Math.imul(hash ^ byte, TokenIndex.PRIME);
    }
    while (BLANK[json[i]!]) i++;
    if (json[i++] !== COLON) return undefined;
    while (BLANK[json[i]!]) i++;
    let id = json[i++]! - ZERO;
    if (id < 0 || id > 9) return undefined;
    for (let digit = json[i]! - ZERO; digit >= 0 && digit <= 9; digit = json[++i]! - ZERO) {
      id = 10 * id + digit;
      if (id < 10 || id >= room) return undefined; // a zero in front, or more than there can be
    }
    if (id !== n) isSorted = false;
    ids[n] = id;
    hashes[n++] = hash;
    offsets[n] = end;
    while (BLANK[json[i]!]) i++;
    sign = json[i++]!;
  }
  if (sign !== END_BRACE) return undefined;
  while (BLANK[json[i]!]) i++;
  if (i !== file.length) return undefined;
  return {
    bytes: bytes.slice(0, end),
    offsets: offsets.slice(0, n + 1),
    hashes: hashes.slice(0, n),
    ids: ids.slice(0, n),
    isSorted,
  };
}

/** The tokens in the order of their ids; undefined where these are not 0 to n - 1, each once. */
function sorted(entries: Entries): Tokens | undefined {
  if (entries.isSorted) return entries;
  const { bytes, offsets, hashes, ids } = entries;
  const n = ids.length;
  const places = new Int32Array(n).fill(-1);
  for (let place = 0; place < n; place++) {
    const id = ids[place]!;
    if (id >= n || places[id] !== -1) return undefined;
    places[id] = place;
  }
  const tokens = {
    bytes: new Uint8Array(bytes.length),
    offsets: new Uint32Array(n + 1),
    hashes: new Int32Array(n),
  };
  let end = 0;
  for (let id = 0; id < n; id++) {
    const place = places[id]!;
    for (let i = offsets[place]!; i < offsets[place + 1]!; i++) tokens.bytes[end++] = bytes[i]!;
    tokens.offsets[id + 1] = end;
    tokens.hashes[id] = hashes[place]!;
  }
  return tokens;
}

/** vocab.bpe: a version line, then two tokens a line: all of these; undefined where it is not just that. */
function scanPairs(file: Uint8Array): Tokens | undefined {
  for (let i = 0; i < VERSION.length; i++) if (file[i] !== VERSION[i]) return undefined;
  const bpe = withZeros(file);
  const room = Math.floor(file.length / 2) + 1; // the shortest is a character and what parts it from the next
  const bytes = new Uint8Array(file.length);
  const offsets = new Uint32Array(room + 1);
  const hashes = new Int32Array(room);
  let n = 0;
  let end = 0;
  let hash = TokenIndex.BASIS;
  let i = file.indexOf(LINE_FEED) + 1 || file.length;
  let isEmpty = false; // a line, and so all that follow
  for (;;) {
    let code = bpe[i++]!;
    if (code > SPACE && !isEmpty) {
      if (code >= 0x80) code = codeOfPair(code, bpe[i++]!);
      const byte = BYTE_OF[code]!;
      if (!(byte >= 0)) return undefined;
      bytes[end++] = byte;
      hash = Math.imul(hash ^ byte, TokenIndex.PRIME);
      continue;
    }
    const isOdd = (n & 1) === 1;
    if (code === RETURN && bpe[i] === LINE_FEED) code = bpe[i++]!;
    if (code === LINE_FEED && !isOdd && end === offsets[n]) {
      isEmpty = true;
      continue;
    }
    const isEnd = i > file.length && code === 0;
    if (isEnd && !isOdd && end === offsets[n]) break;
    if (end === offsets[n] || (code !== (isOdd ? LINE_FEED : SPACE) && !(isEnd && isOdd))) return undefined;
    hashes[n++] = hash;
    offsets[n] = end;
    hash = TokenIndex.BASIS;
    if (isEnd) break;
  }
  return { bytes: bytes.slice(0, end), offsets: offsets.slice(0, n + 1), hashes: hashes.slice(0, n) };
}

/** The merges of these pairs; undefined where a token is unknown, or one has no merge that makes it. */
function resolve(pairs: Tokens, tokens: Tokens, index: TokenIndex): Merges | undefined {
  const halves = index.idsOf(pairs);
  if (!halves) return undefined;
  const n = halves.length / 2;
  const [left, right, result] = [new Int32Array(n), new Int32Array(n), new Int32Array(n)];
  const merged = new Uint8Array(tokens.hashes.length);
  let id = 0;
  for (let rank = 0; rank < n; rank++) {
    left[rank] = halves[2 * rank]!;
    right[rank] = halves[2 * rank + 1]!;
    const [start, end] = [pairs.offsets[2 * rank]!, pairs.offsets[2 * rank + 2]!];
    // As a rule the ids were given in the order of the merges.
    id++;
    if (id >= merged.length || !index.isToken(id, pairs.bytes, start, end)) {
      id = index.idOf(pairs.bytes.subarray(start, end));
      if (id === -1) return undefined;
    }
    result[rank] = id;
    merged[id] = 1;
  }
  const { bytes, offsets } = tokens;
  for (let id = 0; id < merged.length; id++) {
    if (merged[id] || offsets[id + 1]! - offsets[id]! < 2) continue;
    const first = bytes[offsets[id]!];
    if (first !== LESS && first !== BRACKET) return undefined;
  }
  return { left, right, result };
}
