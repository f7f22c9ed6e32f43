/**
 * Reads the two files of a vocabulary, for src/encoder/scan.ts. A function that meets anything unexpected returns
 * false, and nothing here explains why. Each file is followed by zeros, which no rule accepts, so nothing reads past
 * the end.
 */
import { byteOf, bytesEnd, hash, take, takeQuoted } from "./characters";
import { reserve } from "./memory";
import { bytes, idAt, idOf, index, isToken, n_vocab, offsets, setTokens, slotOf } from "./tokens";

export { byteOf, bytes, idOf, n_vocab, offsets, reserve };

const LINE_FEED: u32 = 0x0a;
const RETURN: u32 = 0x0d;
const SPACE: u32 = 0x20;
const QUOTE: u32 = 0x22;
const COMMA: u32 = 0x2c;
const ZERO: u32 = 0x30;
const COLON: u32 = 0x3a;
const LESS: u32 = 0x3c;
const BRACKET: u32 = 0x5b;
const BRACE: u32 = 0x7b;
const END_BRACE: u32 = 0x7d;

/** The first place from i on that is not JSON whitespace. */
function afterBlank(i: usize): usize {
  for (;;) {
    const c: u32 = load<u8>(i);
    if (c > SPACE || (c != SPACE && c != LINE_FEED && c != RETURN && c != 0x09)) return i;
    i++;
  }
  return i;
}

/** encoder.json: an object of tokens and ids, in any style of JSON. Indexes all tokens. */
export function scanTokens(json: usize, length: usize): bool {
  const room = <u32>(length / 5) + 1; // the shortest is "":0,
  const text = reserve(length);
  const ends = reserve((<usize>room + 1) << 2);
  const hashes = reserve(<usize>room << 2);
  const ids = reserve(<usize>room << 2);
  let n: u32 = 0;
  let isSorted = true;
  let end = text;
  let i = afterBlank(json);
  let sign: u32 = load<u8>(i++) == BRACE ? COMMA : 0;
  while (sign == COMMA) {
    i = afterBlank(i);
    if (load<u8>(i++) != QUOTE) return false;
    i = takeQuoted(i, end);
    end = bytesEnd;
    if (load<u8>(i++) != QUOTE) return false;
    i = afterBlank(i);
    if (load<u8>(i++) != COLON) return false;
    i = afterBlank(i);
    let id = <u32>load<u8>(i++) - ZERO;
    if (id > 9) return false;
    for (let digit = <u32>load<u8>(i) - ZERO; digit <= 9; digit = <u32>load<u8>(++i) - ZERO) {
      id = 10 * id + digit;
      if (id < 10 || id >= room) return false; // a leading zero, or more than there can be
    }
    if (id != n) isSorted = false;
    store<u32>(ids + (<usize>n << 2), id);
    store<u32>(hashes + (<usize>n << 2), hash);
    n++;
    store<u32>(ends + (<usize>n << 2), <u32>(end - text));
    i = afterBlank(i);
    sign = load<u8>(i++);
  }
  if (sign != END_BRACE || afterBlank(i) != json + length) return false;
  setTokens(n, text, ends);
  if (!isSorted && !sort(ids, hashes)) return false;
  return index(hashes);
}

/** Sorts the tokens, and their hashes, by id; ids must be 0 to n - 1, each once. */
function sort(ids: usize, hashes: usize): bool {
  const n = n_vocab;
  const places = reserve(<usize>n << 2);
  for (let place: u32 = 0; place < n; place++) {
    const id = load<u32>(ids + (<usize>place << 2));
    if (id >= n || load<u32>(places + (<usize>id << 2)) != 0) return false;
    store<u32>(places + (<usize>id << 2), place + 1);
  }
  const text = reserve(load<u32>(offsets + (<usize>n << 2)));
  const ends = reserve((<usize>n + 1) << 2);
  const sorted = reserve(<usize>n << 2);
  let end: u32 = 0;
  for (let id: u32 = 0; id < n; id++) {
    const place = <usize>(load<u32>(places + (<usize>id << 2)) - 1) << 2;
    const start = load<u32>(offsets + place);
    const length = load<u32>(offsets + place + 4) - start;
    memory.copy(text + end, bytes + start, length);
    end += length;
    store<u32>(ends + (<usize>id << 2) + 4, end);
    store<u32>(sorted + (<usize>id << 2), load<u32>(hashes + place));
  }
  memory.copy(hashes, sorted, <usize>n << 2);
  setTokens(n, text, ends);
  return true;
}

/** How many merges there are, and the ids of each: [merges]. */
export let merges: u32 = 0;
export let left: usize = 0;
export let right: usize = 0;
export let result: usize = 0;

/** Bytes of the line ending at i, 0 if there is none. */
function lineEnd(i: usize): usize {
  const c: u32 = load<u8>(i);
  return c == LINE_FEED ? 1 : c == RETURN && load<u8>(i + 1) == LINE_FEED ? 2 : 0;
}

/** vocab.bpe, from its second line on: one merge per line. Every token that needs a merge must have one. */
export function scanMerges(bpe: usize, length: usize): bool {
  const room = length / 4 + 1; // the shortest is a line of "a b"
  left = reserve(room << 2);
  right = reserve(room << 2);
  result = reserve(room << 2);
  const merged = reserve(n_vocab);
  const pair = reserve(length);
  const last = bpe + length;
  let rank: usize = 0;
  let made: u32 = 0;
  let i = bpe;
  while (i < last && !lineEnd(i)) {
    i = take(i, pair);
    const split = bytesEnd;
    const first = idAt(slotOf(pair, <u32>(split - pair), hash));
    if (split == pair || load<u8>(i++) != SPACE) return false;
    i = take(i, split);
    const end = bytesEnd;
    const second = idAt(slotOf(split, <u32>(end - split), hash));
    const ended = lineEnd(i);
    if (end == split || (!ended && i != last)) return false;
    i += ended;
    // Usually ids follow the order of the merges.
    made++;
    if (made >= n_vocab || !isToken(made, pair, <u32>(end - pair))) made = idOf(pair, <u32>(end - pair));
    if (<i32>first < 0 || <i32>second < 0 || <i32>made < 0) return false;
    store<u32>(left + (rank << 2), first);
    store<u32>(right + (rank << 2), second);
    store<u32>(result + (rank << 2), made);
    store<u8>(merged + made, 1);
    rank++;
  }
  merges = <u32>rank;
  // Empty lines may end the file.
  while (lineEnd(i)) i += lineEnd(i);
  return i == last && allMerged(merged);
}

/** Whether each token of more than one byte has a merge, except those that begin with < or [. */
function allMerged(merged: usize): bool {
  for (let id: u32 = 0; id < n_vocab; id++) {
    const start = load<u32>(offsets + (<usize>id << 2));
    if (load<u8>(merged + id) || load<u32>(offsets + (<usize>id << 2) + 4) - start < 2) continue;
    const first: u32 = load<u8>(bytes + start);
    if (first != LESS && first != BRACKET) return false;
  }
  return true;
}

/** A table of the merges' pairs, laid out as src/encoder/merge.ts looks them up: [slots, 3]. */
export function tableOfPairs(slots: u32): usize {
  const table = reserve(<usize>slots * 12);
  memory.fill(table, 0xff, <usize>slots * 12);
  const mask = slots - 1;
  for (let rank: u32 = 0; rank < merges; rank++) {
    const first = load<i32>(left + (<usize>rank << 2));
    const second = load<i32>(right + (<usize>rank << 2));
    const mixed = ((<u32>first * 0x9e3779b1) ^ <u32>second) * 0x85ebca6b;
    let place = (mixed ^ (mixed >>> 15)) & mask;
    let slot = table + <usize>place * 12;
    while (load<i32>(slot) != -1 && (load<i32>(slot) != first || load<i32>(slot, 4) != second)) {
      place = (place + 1) & mask;
      slot = table + <usize>place * 12;
    }
    store<i32>(slot, first);
    store<i32>(slot, second, 4);
    store<i32>(slot, rank, 8); // of two merges of the same pair, the later one counts
  }
  return table;
}
