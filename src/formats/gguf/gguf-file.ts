// GGUF, the format of llama.cpp and ollama: a header with metadata and the offsets of tensors, then their bytes.
// Source: ggml/docs/gguf.md.
import { type FileHandle, open, stat } from "node:fs/promises";
import { showShape, sizeOf } from "../../model/parameters.js";
import type { TensorInfo } from "../../model/weight-source.js";
import { quote, shorten, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { asFloat32, BFLOAT16, FLOAT16, FLOAT32, type FloatType } from "../floats.js";
import { FormatError, type OpenFile, readFormat } from "../open-file.js";
import { type BlockType, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0 } from "./quantized.js";

/** How every GGUF file begins. */
export const GGUF_MAGIC = Buffer.from("GGUF");

/** Whether a file begins like GGUF, whatever its name: ollama names its files by their hash. */
export async function isGguf(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return false;
  const file = await open(path, "r").catch(() => undefined);
  try {
    const head = Buffer.alloc(GGUF_MAGIC.length);
    await file?.read(head, 0, head.length, 0);
    return head.equals(GGUF_MAGIC);
  } finally {
    await file?.close();
  }
}

/** A GPT-2's header has 2 to 3 MB, mostly vocabulary. */
const HEAD_LIMIT = 128 << 20;
const HEAD_STEP = 8 << 20;
/** Values, list items and tensors in a header, all told: a GPT-2 has some 200,000. */
const COUNT_LIMIT = 4_000_000;
const RANK_LIMIT = 4;
const ALIGNMENT = 32;

/** How a tensor's values are stored: in blocks, or one by one. */
interface StoredType {
  readonly name: string;
  /** Values per block. */
  readonly values: number;
  /** Bytes per block. */
  readonly bytes: number;
  decode(bytes: Uint8Array, target: Float32Array): void;
}

const plain = (name: string, float: FloatType): StoredType => ({
  name,
  values: 1,
  bytes: float.width,
  decode: float.decode ?? ((bytes, target) => target.set(asFloat32(bytes, float))),
});

/** The types that can be read, by their numbers in files. */
const TYPES: ReadonlyMap<number, StoredType | BlockType> = new Map([
  [0, plain("F32", FLOAT32)],
  [1, plain("F16", FLOAT16)],
  [2, Q4_0],
  [3, Q4_1],
  [6, Q5_0],
  [7, Q5_1],
  [8, Q8_0],
  [10, Q2_K],
  [11, Q3_K],
  [12, Q4_K],
  [13, Q5_K],
  [14, Q6_K],
  [30, plain("BF16", BFLOAT16)],
]);
const KNOWN_TYPES = [...TYPES.values()].map(({ name }) => name).join(", ");

/** A metadata value; a list's items have one type. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[];

/** A tensor of a GGUF file. Its shape is [rows, columns], the reverse of the file's order. */
export interface GgufTensor extends TensorInfo {
  /** The shard that holds it. */
  readonly path: string;
  /** Its first byte in the shard. */
  readonly offset: number;
  readonly type: StoredType;
}

/** The header of a GGUF file, or of all its shards. */
export interface GgufHead {
  readonly path: string;
  readonly values: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** The next step for a damaged file. */
export const FETCH_AGAIN = "fetch the file again";

/**
 * Reads the header of a GGUF file of version 2 or 3. Checks every size and offset against the file's size.
 * @throws UserError that names the file when it is missing, cut off, damaged, or has a type that cannot be read
 */
export function readGgufHead(path: string): Promise<GgufHead> {
  return readFormat(path, "GGUF", readHead);
}

/** Reads the beginning of the file, ever more of it until the header is complete. */
async function readHead(file: OpenFile): Promise<GgufHead> {
  const { size } = file;
  for (let length = Math.min(size, HEAD_STEP); ; length = Math.min(size, 4 * length)) {
    const bytes = await file.bytes(0, length);
    try {
      return parseHead(new Cursor(bytes), file);
    } catch (error) {
      const isMore = error instanceof EndOfBytes && length < size;
      if (!isMore) throw error;
      if (length >= HEAD_LIMIT) throw new FormatError("its header is larger than any GPT-2's");
    }
  }
}

class EndOfBytes extends FormatError {
  constructor() {
    super("it is cut off");
  }
}

class Cursor {
  at = 0;
  /** How many values, items and tensors may still come, lest a small file ask for gigabytes. */
  private left = COUNT_LIMIT;
  constructor(private readonly bytes: Buffer) {}

  take(length: number): number {
    const from = this.at;
    if (length > this.bytes.length - from) throw new EndOfBytes();
    this.at += length;
    return from;
  }

  u32 = (): number => this.bytes.readUInt32LE(this.take(4));
  u64(): number {
    const value = this.bytes.readBigUInt64LE(this.take(8));
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new FormatError("it states a size larger than any file");
    return Number(value);
  }

  /** The number of items that follow. */
  count(): number {
    const n = this.u64();
    if (n > this.left) throw new FormatError("it lists more than any GPT-2's file");
    this.left -= n;
    return n;
  }

  text(): string {
    const length = this.u64();
    const from = this.take(length);
    return this.bytes.toString("utf8", from, from + length);
  }

  value(type: number, depth = 0): GgufValue {
    const b = this.bytes;
    switch (type) {
      case 0:
        return b.readUInt8(this.take(1));
      case 1:
        return b.readInt8(this.take(1));
      case 2:
        return b.readUInt16LE(this.take(2));
      case 3:
        return b.readInt16LE(this.take(2));
      case 4:
        return this.u32();
      case 5:
        return b.readInt32LE(this.take(4));
      case 6:
        return b.readFloatLE(this.take(4));
      case 7:
        return b.readUInt8(this.take(1)) !== 0;
      case 8:
        return this.text();
      case 9:
        return this.list(depth);
      case 10:
        return b.readBigUInt64LE(this.take(8));
      case 11:
        return b.readBigInt64LE(this.take(8));
      case 12:
        return b.readDoubleLE(this.take(8));
      default:
        throw new FormatError(`it has a value of the unknown type ${type}`);
    }
  }

  private list(depth: number): GgufValue[] {
    if (depth > 2) throw new FormatError("its lists are nested too deeply");
    const type = this.u32();
    const items: GgufValue[] = [];
    for (let left = this.count(); left > 0; left--) items.push(this.value(type, depth + 1));
    return items;
  }
}

function parseHead(cursor: Cursor, { path, size }: OpenFile): GgufHead {
  if (cursor.u32() !== GGUF_MAGIC.readUInt32LE()) {
    throw new FormatError("it does not begin with GGUF, so it is another kind of file");
  }
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    const what = (version & 0xffff) === 0 ? "its numbers are big-endian" : `its version is ${version}`;
    throw new FormatError(`${what}; only little-endian files of version 2 or 3 can be read`);
  }
  const n_tensors = cursor.count();
  const n_values = cursor.count();
  const values = new Map<string, GgufValue>();
  for (let i = 0; i < n_values; i++) {
    const name = cursor.text();
    if (values.has(name)) throw new FormatError(`it has the value ${quote(name)} twice`);
    values.set(name, cursor.value(cursor.u32()));
  }
  const described: { name: string; dims: number[]; number: number; offset: number }[] = [];
  for (let i = 0; i < n_tensors; i++) {
    const name = cursor.text();
    const rank = cursor.u32();
    if (rank > RANK_LIMIT) throw new FormatError(`the tensor ${quote(name)} has ${rank} dimensions`);
    const dims = Array.from({ length: rank }, () => cursor.u64());
    described.push({ name, dims, number: cursor.u32(), offset: cursor.u64() });
  }
  const alignment = values.get("general.alignment") ?? ALIGNMENT;
  if (typeof alignment !== "number" || !(alignment >= 1 && alignment <= 1 << 20)) {
    throw new FormatError(`its alignment is ${quote(alignment, 40)}`);
  }
  const data = Math.ceil(cursor.at / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const { name, dims, number, offset } of described) {
    if (tensors.has(name)) throw new FormatError(`it has the tensor ${quote(name)} twice`);
    const type = TYPES.get(number);
    if (!type) {
      throw new UserError(`${path}: ${shorten(name)} has the type number ${number}`, {
        next: `get the file in one of ${KNOWN_TYPES}`,
      });
    }
    const shape = dims.reverse();
    const bytes = (sizeOf(shape) / type.values) * type.bytes;
    if ((shape.at(-1) ?? 1) % type.values !== 0 || !(data + offset + bytes <= size)) {
      throw new FormatError(
        `the tensor ${quote(name)} of the shape ${showShape(shape)} lies outside the file`,
      );
    }
    tensors.set(name, { path, shape, dtype: type.name, offset: data + offset, type });
  }
  return { path, values, tensors };
}

/** Roughly how many values are decoded at once. */
const VALUES_AT_ONCE = 1 << 19;

/**
 * Reads the first rows of a tensor, several whole rows at a time; a vector is one row. The format has no checksums.
 * @param visit called with values that are valid during the call, and the number of rows before them
 * @throws UserError when the file cannot be read or ends early
 */
export async function readRows(
  { path, shape, type, offset }: GgufTensor,
  n_rows: number,
  visit: (values: Float32Array, before: number) => void,
): Promise<void> {
  const width = shape.at(-1) ?? 1;
  const rowBytes = (width / type.values) * type.bytes;
  const atOnce = Math.max(1, Math.min(n_rows, Math.floor(VALUES_AT_ONCE / Math.max(1, width))));
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const bytes = new Uint8Array(atOnce * rowBytes);
    const values = new Float32Array(atOnce * width);
    for (let before = 0; before < n_rows; before += atOnce) {
      const rows = Math.min(atOnce, n_rows - before);
      const chunk = bytes.subarray(0, rows * rowBytes);
      for (let filled = 0; filled < chunk.length; ) {
        const position = offset + before * rowBytes + filled;
        const { bytesRead } = await file.read(chunk, filled, chunk.length - filled, position);
        if (bytesRead === 0) throw new UserError(`${path} ends early`, { next: FETCH_AGAIN });
        filled += bytesRead;
      }
      const decoded = values.subarray(0, rows * width);
      type.decode(chunk, decoded);
      visit(decoded, before);
    }
  } catch (error) {
    throw error instanceof UserError ? error : fileError("read", path, error);
  } finally {
    await file?.close();
  }
}
