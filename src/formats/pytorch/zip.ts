import type { FileHandle } from "node:fs/promises";

/** A file in an archive, stored as it is: torch compresses nothing. */
export interface StoredEntry {
  readonly name: string;
  /** Where its bytes begin in the archive. */
  readonly offset: number;
  readonly length: number;
}

/** Why an archive was not read, as the end of a sentence. */
export class ZipError extends Error {}

const END_BYTES = 22;
const COMMENT_LIMIT = 65535;
const LOCATOR_BYTES = 20;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
/** The list of the largest GPT-2's tensors has 100 kB. */
const DIRECTORY_LIMIT = 64 << 20;

/**
 * The entries of a zip archive, also beyond 4 GiB (zip64).
 * Source: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3.
 * @param size of the file in bytes
 * @throws ZipError when it is cut off, damaged, or has compressed entries
 */
export async function readZip(file: FileHandle, size: number): Promise<Map<string, StoredEntry>> {
  const { offset, length, count } = await findDirectory(file, size);
  if (length > DIRECTORY_LIMIT || offset + length > size) throw new ZipError("its list of files is damaged");
  const directory = await readAt(file, offset, length);
  const entries = new Map<string, StoredEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_BYTES > length || directory.readUInt32LE(at) !== 0x02014b50) {
      throw new ZipError("its list of files is damaged");
    }
    const nameBytes = directory.readUInt16LE(at + 28);
    const extraBytes = directory.readUInt16LE(at + 30);
    const commentBytes = directory.readUInt16LE(at + 32);
    const end = at + ENTRY_BYTES + nameBytes + extraBytes;
    if (end > length) throw new ZipError("its list of files is damaged");
    const name = directory.toString("utf8", at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes);
    if (directory.readUInt16LE(at + 10) !== 0) throw new ZipError(`its entry ${name} is compressed`);
    const extra = directory.subarray(at + ENTRY_BYTES + nameBytes, end);
    const wide = wideFields(extra, [
      directory.readUInt32LE(at + 24), // the size as it was, which is the stored one
      directory.readUInt32LE(at + 20),
      directory.readUInt32LE(at + 42),
    ]);
    entries.set(name, await locate(file, name, wide[2], wide[1], size));
    at = end + commentBytes;
  }
  return entries;
}

/** Where the list of files is. */
async function findDirectory(
  file: FileHandle,
  size: number,
): Promise<{ offset: number; length: number; count: number }> {
  const tailBytes = Math.min(size, END_BYTES + COMMENT_LIMIT + LOCATOR_BYTES);
  const tail = await readAt(file, size - tailBytes, tailBytes);
  const end = tail.lastIndexOf("PK\x05\x06", undefined, "latin1");
  if (end < 0 || end + END_BYTES > tailBytes)
    throw new ZipError("its list of files is missing, so it is cut off");
  const found = {
    count: tail.readUInt16LE(end + 10),
    length: tail.readUInt32LE(end + 12),
    offset: tail.readUInt32LE(end + 16),
  };
  const locator = end - LOCATOR_BYTES;
  if (locator < 0 || tail.readUInt32LE(locator) !== 0x07064b50) return found;
  const at = Number(tail.readBigUInt64LE(locator + 8));
  if (at + 56 > size) throw new ZipError("its list of files is damaged");
  const wide = await readAt(file, at, 56);
  if (wide.readUInt32LE(0) !== 0x06064b50) throw new ZipError("its list of files is damaged");
  return {
    count: Number(wide.readBigUInt64LE(32)),
    length: Number(wide.readBigUInt64LE(40)),
    offset: Number(wide.readBigUInt64LE(48)),
  };
}

/** Fields of 32 bits, each replaced by the next one of 64 bits where it is all ones. */
function wideFields(extra: Buffer, fields: readonly number[]): number[] {
  let wide: Buffer = Buffer.alloc(0);
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === 1) wide = extra.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  let used = 0;
  return fields.map((value) => {
    if (value !== 0xffffffff || used + 8 > wide.length) return value;
    used += 8;
    return Number(wide.readBigUInt64LE(used - 8));
  });
}

/** An entry's bytes stand behind a header of their own. */
async function locate(
  file: FileHandle,
  name: string,
  header: number,
  length: number,
  size: number,
): Promise<StoredEntry> {
  if (header + LOCAL_BYTES > size) throw new ZipError("its list of files is damaged");
  const local = await readAt(file, header, LOCAL_BYTES);
  if (local.readUInt32LE(0) !== 0x04034b50) throw new ZipError("its list of files is damaged");
  const offset = header + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
  if (offset + length > size) throw new ZipError(`its entry ${name} lies outside the file`);
  return { name, offset, length };
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await file.read(bytes, 0, length, position);
  if (bytesRead < length) throw new ZipError("it is cut off");
  return bytes;
}
