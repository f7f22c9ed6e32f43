/** Characters of the files, and the bytes they stand for. */

const QUOTE: u32 = 0x22;
const BACKSLASH: u32 = 0x5c;
/** FNV-1a: starting from BASIS, hash = (hash ^ byte) * PRIME for each byte. */
export const BASIS: u32 = 0x811c9dc5;
export const PRIME: u32 = 0x01000193;

/** The byte for each character's code, -1 where there is none: [BYTE_OF_LENGTH], written by the caller. */
export const byteOf: usize = 0x8000;
const BYTE_OF_LENGTH: u32 = 0x180;
/** A code that stands for no byte. */
const NONE: u32 = 0;

/** Where the bytes taken last end, and their hash. */
export let bytesEnd: usize = 0;
export let hash: u32 = 0;

// @ts-ignore: decorator
@inline
function byteOfCode(code: u32): i32 {
  return load<i16>(byteOf + (<usize>code << 1));
}

/** The code of a character of two bytes in UTF-8, below U+0180. */
// @ts-ignore: decorator
@inline
function codeOfPair(first: u32, second: u32): u32 {
  const isPair = first >= 0xc2 && first <= 0xc5 && (second & 0xc0) == 0x80;
  return isPair ? ((first & 0x1f) << 6) | (second & 0x3f) : NONE;
}

/** The code written as four hexadecimal digits. */
function codeOfHex(i: usize): u32 {
  let code: u32 = 0;
  for (let digit = i; digit < i + 4; digit++) {
    const c: u32 = load<u8>(digit);
    const letter = (c | 0x20) - 0x61;
    const value = c - 0x30 <= 9 ? c - 0x30 : letter <= 5 ? letter + 10 : 16;
    if (value == 16) return NONE;
    code = (code << 4) | value;
  }
  return code < BYTE_OF_LENGTH ? code : NONE;
}

/** Takes characters from i on as long as they stand for bytes, which go to `to`. @returns where the first other one is */
export function take(i: usize, to: usize): usize {
  let h = BASIS;
  for (;;) {
    const c: u32 = load<u8>(i);
    const isWide = c >= 0x80;
    const byte = byteOfCode(isWide ? codeOfPair(c, load<u8>(i + 1)) : c);
    if (byte < 0) break;
    i += isWide ? 2 : 1;
    store<u8>(to++, byte);
    h = (h ^ byte) * PRIME;
  }
  bytesEnd = to;
  hash = h;
  return i;
}

/** The same within JSON's quotes: a quote ends it, a backslash starts an escape. */
export function takeQuoted(i: usize, to: usize): usize {
  let h = BASIS;
  for (;;) {
    let code: u32 = load<u8>(i);
    let length: usize = 1;
    if (code == QUOTE) break;
    if (code == BACKSLASH) {
      code = load<u8>(i + 1);
      length = 2;
      if (code == 0x75 /* u */) {
        code = codeOfHex(i + 2);
        length = 6;
      } else if (code != QUOTE && code != BACKSLASH && code != 0x2f /* slash */) {
        break;
      }
    } else if (code >= 0x80) {
      code = codeOfPair(code, load<u8>(i + 1));
      length = 2;
    }
    const byte = byteOfCode(code);
    if (byte < 0) break;
    i += length;
    store<u8>(to++, byte);
    h = (h ^ byte) * PRIME;
  }
  bytesEnd = to;
  hash = h;
  return i;
}
