import { shorten } from "../../system/errors.js";
import { FormatError, type OpenFile } from "../open-file.js";

/** A file in an archive's central directory. */
export interface ListedEntry {
  readonly name: string;
  /** Offset of the header before its bytes. */
  readonly header: number;
  readonly length: number;
  readonly isCompressed: boolean;
}

/** The place of an entry's bytes in the archive. */
export interface StoredEntry {
  readonly offset: number;
  readonly length: number;
}

const END_BYTES = 22;
const COMMENT_LIMIT = 65535;
const LOCATOR_BYTES = 20;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
/** The largest GPT-2's directory has 100 kB. */
const DIRECTORY_LIMIT = 8 << 20;

/**
 * The entries of a zip archive, by name, beyond 4 GiB too (zip64).
 * Source: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3.
 * @throws FormatError when it is cut off or damaged
 */
export async function listZip(file: OpenFile): Promise<Map<string, ListedEntry>> {
  const { offset, length, count } = await findDirectory(file);
  if (length > DIRECTORY_LIMIT) throw new FormatError("its list of files is too long");
  const directory = await file.bytes(offset, length);
  const entries = new Map<string, ListedEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_BYTES > length || directory.readUInt32LE(at) !== 0x02014b50) throw damaged();
    const nameEnd = at + ENTRY_BYTES + directory.readUInt16LE(at + 28);
    const end = nameEnd + directory.readUInt16LE(at + 30);
    if (end > length) throw damaged();
    const name = directory.toString("utf8", at + ENTRY_BYTES, nameEnd);
    const [, stored, header] = zip64Fields(directory.subarray(nameEnd, end), [
      directory.readUInt32LE(at + 24), // the uncompressed size, equal to the stored one
      directory.readUInt32LE(at + 20),
      directory.readUInt32LE(at + 42),
    ]);
    entries.set(name, { name, header, length: stored, isCompressed: directory.readUInt16LE(at + 10) !== 0 });
    at = end + directory.readUInt16LE(at + 32);
  }
  return entries;
}

const damaged = (): FormatError => new FormatError("its list of files is damaged");

/** Finds the central directory. */
async function findDirectory(file: OpenFile): Promise<{ offset: number; length: number; count: number }> {
  const { size } = file;
  const tailBytes = Math.min(size, END_BYTES + COMMENT_LIMIT + LOCATOR_BYTES);
  const tail = await file.bytes(size - tailBytes, tailBytes);
  const end = tail.lastIndexOf("PK\x05\x06", undefined, "latin1");
  if (end < 0 || end + END_BYTES > tailBytes)
    throw new FormatError("its list of files is missing, so it is cut off");
  const found = {
    count: tail.readUInt16LE(end + 10),
    length: tail.readUInt32LE(end + 12),
    offset: tail.readUInt32LE(end + 16),
  };
  const locator = end - LOCATOR_BYTES;
  if (locator < 0 || tail.readUInt32LE(locator) !== 0x07064b50) return found;
  const at = Number(tail.readBigUInt64LE(locator + 8));
  if (at + 56 > size) throw damaged();
  const zip64 = await file.bytes(at, 56);
  if (zip64.readUInt32LE(0) !== 0x06064b50) throw damaged();
  return {
    count: Number(zip64.readBigUInt64LE(32)),
    length: Number(zip64.readBigUInt64LE(40)),
    offset: Number(zip64.readBigUInt64LE(48)),
  };
}

/** 32-bit fields, each replaced by the next 64-bit one where it is all ones. */
function zip64Fields(extra: Buffer, fields: readonly number[]): number[] {
  let zip64: Buffer = Buffer.alloc(0);
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === 1) zip64 = extra.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  let used = 0;
  return fields.map((value) => {
    if (value !== 0xffffffff || used + 8 > zip64.length) return value;
    used += 8;
    return Number(zip64.readBigUInt64LE(used - 8));
  });
}

/**
 * Finds an entry's bytes, which follow their own header.
 * @throws FormatError when they lie outside the file or are compressed: torch compresses nothing
 */
export async function locate(
  file: OpenFile,
  entry: ListedEntry | undefined,
): Promise<StoredEntry | undefined> {
  if (!entry) return undefined;
  const { name, header, length, isCompressed } = entry;
  if (isCompressed) throw new FormatError(`its entry ${shorten(name)} is compressed`);
  const local = await file.bytes(header, LOCAL_BYTES);
  if (local.readUInt32LE(0) !== 0x04034b50) throw damaged();
  const offset = header + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
  if (offset + length > file.size) throw new FormatError(`its entry ${shorten(name)} lies outside the file`);
  return { offset, length };
}
