import { FormatError } from "../open-file.js";

/**
 * Decompresses a block.
 * Source: google/snappy's format_description.txt.
 * @param limit the most bytes it may decompress to
 * @throws FormatError when it is damaged, its length is not what it states, or it exceeds the limit
 */
export function uncompressBlock(stored: Uint8Array, limit: number): Uint8Array {
  const fail = (reason: string): never => {
    throw new FormatError(`a compressed block cannot be read (${reason})`);
  };
  let at = 0;
  /** The next bytes as a little-endian number. */
  const little = (bytes: number): number => {
    if (at + bytes > stored.length) fail("it is cut off");
    let value = 0;
    for (let i = 0; i < bytes; i++) value += stored[at++] * 256 ** i;
    return value;
  };
  let length = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = little(1);
    length += (byte & 127) * scale;
    if (byte < 128) break;
    if (scale === 128 ** 4) fail("its length does not end");
  }
  // Bytes beyond the stated length or the limit are counted but not stored.
  const plain = new Uint8Array(Math.min(length, limit));
  let made = 0;
  while (at < stored.length) {
    const tag = little(1);
    const upper = tag >> 2;
    if ((tag & 3) === 0) {
      const size = (upper < 60 ? upper : little(upper - 59)) + 1;
      if (at + size > stored.length) fail("it is cut off");
      for (const end = at + size; at < end; ) plain[made++] = stored[at++];
    } else {
      const size = (tag & 3) === 1 ? (upper & 7) + 4 : upper + 1;
      const back = (tag & 3) === 1 ? (tag >> 5) * 256 + little(1) : little((tag & 3) === 2 ? 2 : 4);
      if (back === 0 || back > made) fail("it copies from before its beginning");
      // One byte at a time: a copy may overlap its own output.
      for (const end = made + size; made < end; made++) plain[made] = plain[made - back];
    }
  }
  if (made !== length) fail(`it has ${made} bytes where it says ${length}`);
  if (length > limit) fail(`it has ${length} bytes`);
  return plain;
}
