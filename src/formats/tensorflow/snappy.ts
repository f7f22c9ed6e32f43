import { uncompress } from "snappyjs";
import { FormatError } from "./wire.js";

/**
 * The plain bytes of a compressed block. The stream is walked through before anything is made of it: snappyjs
 * takes a literal of 2^31 bytes or more for one of a negative length, goes back by it and may never end; and it
 * does not ask whether the stream has as many bytes as it says.
 * Source: google/snappy's format_description.txt.
 * @param limit bytes that it may have
 * @throws FormatError when it is no such stream, has another length than it says, or is longer than allowed
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
    if (scale === 128 ** 4) fail("its length has no end");
  }
  let made = 0;
  while (at < stored.length) {
    const tag = little(1);
    const upper = tag >> 2;
    let size = upper + 1;
    if ((tag & 3) === 0) {
      if (upper >= 60) size = little(upper - 59) + 1;
      at += size;
      if (at > stored.length) fail("it is cut off");
    } else {
      if ((tag & 3) === 1) size = (upper & 7) + 4;
      const back = (tag & 3) === 1 ? (tag >> 5) * 256 + little(1) : little((tag & 3) === 2 ? 2 : 4);
      if (back === 0 || back > made) fail("it copies from before its beginning");
    }
    made += size;
  }
  if (made !== length) fail(`it has ${made} bytes where it says ${length}`);
  if (length > limit) fail(`it has ${length} bytes`);
  try {
    return uncompress(stored, limit);
  } catch (error) {
    return fail((error as Error).message);
  }
}
