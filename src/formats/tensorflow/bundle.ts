import { DOWNLOAD_AGAIN, shorten, UserError } from "../../system/errors.js";
import { readSmallFile } from "../../system/files.js";
import { FormatError } from "../open-file.js";
import { FOOTER_BYTES, readTable } from "./table.js";
import { MessageWriter, messageFields } from "./wire.js";
import { writeTable } from "./write-table.js";

/** A tensor's entry in the index. */
export interface BundleEntry {
  /** TensorFlow's number of the type (tensorflow/core/framework/types.proto), e.g. 1 for float32. */
  readonly dtype: number;
  /** Undefined when the number of dimensions is unknown. */
  readonly shape: readonly number[] | undefined;
  /** The data file that holds the values. */
  readonly shard: number;
  /** Its first byte in the data file. */
  readonly offset: number;
  readonly size: number;
  /** Masked CRC-32C of the stored bytes. */
  readonly maskedCrc: number;
  /** Whether it is stored in parts under other names. */
  readonly sliced: boolean;
}

/** The contents of an index file. */
export interface BundleIndex {
  /** Number of data files. */
  readonly shards: number;
  /** Every tensor by its name, in the order of the names' bytes. */
  readonly entries: ReadonlyMap<string, BundleEntry>;
}

/** The largest GPT-2's index has 21 KB. */
const INDEX_LIMIT = 4 << 20;
const SHARD_LIMIT = 100_000; // five digits in the data files' names

/**
 * Reads the index of a TensorFlow V2 checkpoint, `<prefix>.index`.
 * Source: TensorFlow's core/protobuf/tensor_bundle.proto.
 * @throws UserError that names the file when it is missing, cut off, altered or not an index
 */
export async function readIndex(path: string): Promise<BundleIndex> {
  const bytes = await readSmallFile(path, INDEX_LIMIT, DOWNLOAD_AGAIN);
  try {
    return parseIndex(bytes);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new UserError(`cannot read ${path} as a checkpoint index: ${error.message}`, {
      next: DOWNLOAD_AGAIN,
      cause: error,
    });
  }
}

function parseIndex(bytes: Uint8Array): BundleIndex {
  if (bytes.length < FOOTER_BYTES) throw new FormatError(`it has ${bytes.length} bytes`);
  const [header, ...rest] = readTable(bytes);
  if (!header || header.key.length > 0) throw new FormatError("it has no header");
  const shards = parseHeader(header.value);
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const entries = new Map<string, BundleEntry>();
  for (const { key, value } of rest) {
    if (key[0] === 0) continue; // a part of a tensor stored in slices
    let name: string;
    try {
      name = text.decode(key);
    } catch {
      throw new FormatError("a tensor's name is not UTF-8");
    }
    const entry = parseEntry(value);
    if (entry.shard >= shards)
      throw new FormatError(`${shorten(name)} is in data file ${entry.shard} of ${shards}`);
    entries.set(name, entry);
  }
  return { shards, entries };
}

/** BundleHeaderProto -> the number of data files. */
function parseHeader(bytes: Uint8Array): number {
  let shards = 0;
  for (const field of messageFields(bytes)) {
    if (field.number === 1) shards = field.value;
    if (field.number === 2 && field.value !== 0) {
      throw new FormatError("its numbers are big-endian, which is not supported");
    }
    if (field.number === 3) {
      for (const { number, value } of messageFields(field.bytes)) {
        if (number === 2 && value > 1) throw new FormatError(`it needs a reader of version ${value}`);
      }
    }
  }
  if (shards < 1 || shards > SHARD_LIMIT) throw new FormatError(`it names ${shards} data files`);
  return shards;
}

function parseEntry(bytes: Uint8Array): BundleEntry {
  const entry = {
    dtype: 0,
    shape: [] as readonly number[] | undefined,
    shard: 0,
    offset: 0,
    size: 0,
    maskedCrc: 0,
    sliced: false,
  };
  for (const { number, value, bytes: content } of messageFields(bytes)) {
    if (number === 1) entry.dtype = value;
    else if (number === 2) entry.shape = parseShape(content);
    else if (number === 3) entry.shard = value;
    else if (number === 4) entry.offset = value;
    else if (number === 5) entry.size = value;
    else if (number === 6) entry.maskedCrc = value;
    else if (number === 7) entry.sliced = true;
  }
  if (!Number.isSafeInteger(entry.offset + entry.size)) throw new FormatError("a number is too large");
  return entry;
}

/** TensorShapeProto -> the shape. */
function parseShape(bytes: Uint8Array): readonly number[] | undefined {
  const shape: number[] = [];
  for (const { number, value, bytes: dimension } of messageFields(bytes)) {
    if (number === 3 && value !== 0) return undefined;
    if (number !== 2) continue;
    let size = 0;
    for (const field of messageFields(dimension)) if (field.number === 1) size = field.value;
    shape.push(size);
  }
  return shape;
}

/**
 * The bytes of an index file, `<prefix>.index`, as readIndex() reads it.
 * Source: TensorFlow's core/protobuf/tensor_bundle.proto.
 * @param blockSize bytes after which a block of the table is closed; default: TensorFlow's
 */
export function writeIndex({ shards, entries }: BundleIndex, blockSize?: number): Buffer {
  const rows = [...entries].map(([name, entry]) => ({ key: Buffer.from(name), value: entryMessage(entry) }));
  rows.sort((a, b) => Buffer.compare(a.key, b.key));
  return writeTable([{ key: Buffer.alloc(0), value: headerMessage(shards) }, ...rows], blockSize);
}

/** BundleHeaderProto; little-endian is 0, and so left out. */
function headerMessage(shards: number): Buffer {
  const version = new MessageWriter().varint(1, 1).finish(); // written by producer 1
  return new MessageWriter().varint(1, shards).bytes(3, version).finish();
}

/** BundleEntryProto. */
function entryMessage({ dtype, shape = [], shard, offset, size, maskedCrc }: BundleEntry): Buffer {
  const dimensions = new MessageWriter();
  for (const length of shape) dimensions.bytes(2, new MessageWriter().varint(1, length).finish());
  return new MessageWriter()
    .varint(1, dtype)
    .bytes(2, dimensions.finish())
    .varint(3, shard)
    .varint(4, offset)
    .varint(5, size)
    .fixed32(6, maskedCrc)
    .finish();
}
