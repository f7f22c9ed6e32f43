import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { UserError } from "../system/errors.js";
import { fileError } from "../system/files.js";

/** Contiguous bytes of one file. */
export interface ByteRange {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** Divisible by the width of every number type. Smaller chunks read slower, larger ones no faster. */
const CHUNK_BYTES = 4 << 20;

/**
 * Reads ranges of files in order and delivers their bytes in chunks, reading the next while the caller has one.
 * @param ranges read as if their bytes were one file
 * @param into where all bytes go (may be shared memory); without it two buffers take turns
 * @param visit called with each chunk and the number of bytes before it. Every chunk but the last is 4 MiB,
 *   whatever the ranges' lengths; its memory is reused afterwards unless it is part of `into`
 * @throws UserError when a file cannot be read or ends early
 */
export async function readRanges(
  ranges: readonly ByteRange[],
  into: Uint8Array | undefined,
  visit: (chunk: Uint8Array, before: number) => void,
): Promise<void> {
  const total = ranges.reduce((sum, { length }) => sum + length, 0);
  const reader = new RangeReader(ranges);
  const spare = [0, 1].map(() => new Uint8Array(into ? 0 : Math.min(total, CHUNK_BYTES)));
  const readChunk = (before: number): Promise<Uint8Array> => {
    const length = Math.min(CHUNK_BYTES, total - before);
    const chunk = into
      ? into.subarray(before, before + length)
      : spare[(before / CHUNK_BYTES) & 1].subarray(0, length);
    return reader.fill(chunk);
  };
  let next: Promise<Uint8Array> | undefined;
  try {
    for (let before = 0; before < total; before += CHUNK_BYTES) {
      const chunk = await (next ?? readChunk(before));
      const after = before + CHUNK_BYTES;
      next = after < total ? readChunk(after) : undefined;
      // If visit() throws, nobody awaits this read: its failure is ignored.
      next?.catch(() => undefined);
      visit(chunk, before);
    }
  } finally {
    await next?.catch(() => undefined);
    await reader.close();
  }
}

/**
 * The sha256 of a file, in hexadecimal.
 * @param size its bytes
 * @param onProgress called with the bytes read so far
 * @throws UserError when it cannot be read or ends early; the signal's reason on an abort
 */
export async function sha256Of(
  path: string,
  size: number,
  { onProgress, signal }: { onProgress?: (done: number) => void; signal?: AbortSignal },
): Promise<string> {
  const hash = createHash("sha256");
  await readRanges([{ path, offset: 0, length: size }], undefined, (chunk, before) => {
    signal?.throwIfAborted();
    hash.update(chunk);
    onProgress?.(before + chunk.length);
  });
  return hash.digest("hex");
}

/** Reads through ranges; keeps one file open at a time. */
class RangeReader {
  private index = 0;
  /** Bytes of the current range already read. */
  private done = 0;
  private file: FileHandle | undefined;

  constructor(private readonly ranges: readonly ByteRange[]) {}

  /** Fills the chunk to its last byte. */
  async fill(chunk: Uint8Array): Promise<Uint8Array> {
    for (let filled = 0; filled < chunk.length; ) {
      const { path, offset, length } = this.ranges[this.index];
      const wanted = Math.min(chunk.length - filled, length - this.done);
      let bytesRead = 0;
      try {
        this.file ??= await open(path, "r");
        if (wanted > 0) {
          ({ bytesRead } = await this.file.read(chunk, filled, wanted, offset + this.done));
        }
      } catch (error) {
        throw fileError("read", path, error);
      }
      if (bytesRead === 0 && wanted > 0) {
        throw new UserError(`${path} ends early`, { next: "download or convert the model again" });
      }
      filled += bytesRead;
      this.done += bytesRead;
      if (this.done === length) {
        await this.close();
        this.index += 1;
        this.done = 0;
      }
    }
    return chunk;
  }

  async close(): Promise<void> {
    const file = this.file;
    this.file = undefined;
    await file?.close();
  }
}
