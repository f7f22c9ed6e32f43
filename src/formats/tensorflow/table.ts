import { crc32c, unmaskCrc } from "../crc.js";
import { FormatError } from "../open-file.js";
import { uncompressBlock } from "./snappy.js";
import { ByteReader } from "./wire.js";

/** A key and its value, as bytes. */
export interface TableEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export const FOOTER_BYTES = 48;
const TRAILER_BYTES = 5;
const MAGIC = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];
/** All blocks together, decompressed; the largest GPT-2's index has 21 KB, or three times that with its optimizer. */
const PLAIN_LIMIT = 32 << 20;
/** The largest GPT-2 has 580 tensors. */
const ENTRY_LIMIT = 100_000;
/** All keys together; the largest GPT-2's take 15 KB. */
const KEY_LIMIT = 64 << 20;

/**
 * Reads a sorted string table (LevelDB's table format, as TensorFlow writes it). Verifies every block's checksum, every
 * entry's bounds and the order of the keys.
 * Source: LevelDB's doc/table_format.md; TensorFlow's core/lib/io/format.cc and block.cc.
 * @param file the whole file
 * @returns all entries, in order of their keys
 * @throws FormatError
 */
export function readTable(file: Uint8Array): TableEntry[] {
  const footer = file.subarray(Math.max(0, file.length - FOOTER_BYTES));
  if (footer.length < FOOTER_BYTES || MAGIC.some((byte, i) => footer[40 + i] !== byte)) {
    throw new FormatError("it does not end with a table's footer; perhaps it is cut off");
  }
  const blocks = file.subarray(0, file.length - FOOTER_BYTES);
  const handles = new ByteReader(footer.subarray(0, 40));
  const reader = new BlockReader(blocks);
  reader.read(handles); // the block of metadata, which TensorFlow leaves empty
  const entries: TableEntry[] = [];
  let keyBytes = 0;
  for (const { value } of parseBlock(reader.read(handles))) {
    for (const entry of parseBlock(reader.read(new ByteReader(value)))) {
      const before = entries.at(-1);
      if (before && compareBytes(before.key, entry.key) >= 0)
        throw new FormatError("its keys are not in order");
      keyBytes = countKeyBytes(keyBytes, entry.key);
      entries.push(entry);
      if (entries.length > ENTRY_LIMIT) throw new FormatError("it has too many entries");
    }
  }
  return entries;
}

/** Reads the blocks of a file, each at most once. */
class BlockReader {
  /** Bytes of all blocks so far: in the file, and decompressed. */
  private stored = 0;
  private plain = 0;

  constructor(private readonly blocks: Uint8Array) {}

  /** Reads a block. @param handle at the block's offset and size @returns its bytes, decompressed */
  read(handle: ByteReader): Uint8Array {
    const { blocks } = this;
    const offset = handle.varint();
    const size = handle.varint();
    if (offset + size + TRAILER_BYTES > blocks.length) throw new FormatError("a block lies outside the file");
    // A small file that names one large block a million times would take hours.
    this.stored += size + TRAILER_BYTES;
    if (this.stored > blocks.length) throw new FormatError("it has the same block more than once");
    const stored = blocks.subarray(offset, offset + size);
    const trailer = new ByteReader(blocks.subarray(offset + size, offset + size + TRAILER_BYTES));
    const [type] = trailer.take(1);
    if (crc32c(blocks.subarray(offset, offset + size + 1)) !== unmaskCrc(trailer.fixed32())) {
      throw new FormatError("the checksum of a block does not match");
    }
    if (type === 0) return stored;
    if (type !== 1) throw new FormatError(`compression ${type} is unknown`);
    const plain = uncompressBlock(stored, PLAIN_LIMIT - this.plain);
    this.plain += plain.length;
    return plain;
  }
}

/** Parses entries, the offsets of those that share no prefix (32 bits each), and the number of these. */
function parseBlock(block: Uint8Array): TableEntry[] {
  if (block.length < 4) throw new FormatError("a block is too short");
  const restarts = new ByteReader(block.subarray(block.length - 4)).fixed32();
  const end = block.length - 4 * (restarts + 1);
  if (end < 0) throw new FormatError("a block is too short");
  const reader = new ByteReader(block.subarray(0, end));
  const entries: TableEntry[] = [];
  let previous: Uint8Array | undefined;
  let keyBytes = 0;
  while (!reader.atEnd) {
    const shared = reader.varint();
    const unshared = reader.varint();
    const valueLength = reader.varint();
    if (shared > (previous?.length ?? 0))
      throw new FormatError("a key shares more bytes than the key before it has");
    const rest = reader.take(unshared);
    keyBytes = countKeyBytes(keyBytes, { length: shared + unshared });
    const key = new Uint8Array(shared + unshared);
    if (previous) key.set(previous.subarray(0, shared));
    key.set(rest, shared);
    if (previous && compareBytes(previous, key) >= 0) throw new FormatError("its keys are not in order");
    entries.push({ key, value: reader.take(valueLength) });
    if (entries.length > ENTRY_LIMIT) throw new FormatError("it has too many entries");
    previous = key;
  }
  return entries;
}

/** Shared prefixes could make the keys of a small file fill the memory. */
function countKeyBytes(before: number, key: { readonly length: number }): number {
  if (before + key.length > KEY_LIMIT) throw new FormatError("its keys are too long");
  return before + key.length;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}
