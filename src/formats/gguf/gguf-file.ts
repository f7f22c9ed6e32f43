// GGUF, the files of llama.cpp and ollama. Source: ggml/docs/gguf.md.
import { type FileHandle, open, stat } from "node:fs/promises";
import { showShape, sizeOf } from "../../model/parameters.js";
import type { TensorInfo } from "../../model/weight-source.js";
import { quote, shorten, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { refuseLfsPointer } from "../../system/lfs.js";
import { asFloat32, BFLOAT16, FLOAT16, FLOAT32, type FloatType } from "../floats.js";
import { type BlockType, Q4_0, Q4_K, Q6_K, Q8_0 } from "./quantized.js";

/** The head of a GPT-2's file has 2 to 3 MB, most of it the vocabulary. */
const HEAD_LIMIT = 128 << 20;
const HEAD_STEP = 8 << 20;
const COUNT_LIMIT = 4_000_000;
const RANK_LIMIT = 4;

/** A type of tensor as the file numbers it. */
type StoredType = { readonly name: string; readonly values: number; readonly bytes: number } & (
  | { readonly float: FloatType; readonly block?: undefined }
  | { readonly block: BlockType; readonly float?: undefined }
);
const plain = (float: FloatType): StoredType => ({ name: float.name, values: 1, bytes: float.width, float });
const blocks = (block: BlockType): StoredType => ({ ...block, name: block.name, block });
const TYPES: ReadonlyMap<number, StoredType> = new Map([
  [0, plain(FLOAT32)],
  [1, plain(FLOAT16)],
  [2, blocks(Q4_0)],
  [8, blocks(Q8_0)],
  [12, blocks(Q4_K)],
  [14, blocks(Q6_K)],
  [30, plain(BFLOAT16)],
]);
/** Names of types that are not read, for messages. */
const OTHER_TYPES: ReadonlyMap<number, string> = new Map([
  [3, "Q4_1"],
  [6, "Q5_0"],
  [7, "Q5_1"],
  [10, "Q2_K"],
  [11, "Q3_K"],
  [13, "Q5_K"],
  [15, "Q8_K"],
]);

/** A value of the file's head. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[];

/** A tensor of a GGUF file: its shape in the order of rows and columns, the reverse of the file's own. */
export interface GgufTensor extends TensorInfo {
  readonly offset: number;
  readonly type: StoredType;
}

/** A GGUF file that tensors can be read from. */
export interface GgufFile {
  readonly path: string;
  readonly values: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Reads a tensor's values as float32, the first target.length of them: whole rows. The format has no checksums. */
  read(name: string, target: Float32Array): Promise<void>;
}

class GgufError extends Error {}

const fault = (path: string, reason: string, cause?: unknown): UserError =>
  new UserError(`cannot read ${path} as GGUF: ${reason}`, { next: "fetch the file again", cause });

/**
 * Opens a GGUF file of version 2 or 3.
 * @throws UserError that names the file when it is missing, cut off, damaged, or has a type that is not read
 */
export async function openGguf(path: string): Promise<GgufFile> {
  let file: FileHandle | undefined;
  try {
    const found = await stat(path); // before it is opened: a pipe would wait for a writer
    if (!found.isFile()) throw new UserError(`${path} is not a file`);
    file = await open(path, "r");
    const { size } = await file.stat();
    const { values, tensors } = await readHead(file, size);
    const opened = path;
    return {
      path,
      values,
      tensors,
      read: async (name, target) => {
        const tensor = tensors.get(name);
        if (!tensor) throw new RangeError(`no tensor ${name} in ${path}`);
        if (target.length > sizeOf(tensor.shape)) throw new RangeError(`${name} has fewer values`);
        await readTensor(opened, tensor, target);
      },
    };
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (error instanceof GgufError || error instanceof RangeError) {
      await refuseLfsPointer(path);
      throw fault(path, error.message, error);
    }
    throw fileError("read", path, error);
  } finally {
    await file?.close();
  }
}

interface Head {
  readonly values: Map<string, GgufValue>;
  readonly tensors: Map<string, GgufTensor>;
}

/** Reads as much of the file as its head takes. */
async function readHead(file: FileHandle, size: number): Promise<Head> {
  for (let length = Math.min(size, HEAD_STEP); ; length = Math.min(size, 4 * length)) {
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await file.read(bytes, 0, length, 0);
    if (bytesRead < length) throw new GgufError("it is cut off");
    try {
      return parseHead(new Cursor(bytes), size);
    } catch (error) {
      const more = error instanceof EndOfBytes && length < size && length < HEAD_LIMIT;
      if (!more) throw error;
    }
  }
}

class EndOfBytes extends GgufError {}

class Cursor {
  at = 0;
  constructor(private readonly bytes: Buffer) {}

  take(length: number): number {
    const from = this.at;
    if (!(length >= 0 && length <= this.bytes.length - from)) throw new EndOfBytes("it is cut off");
    this.at += length;
    return from;
  }

  u32 = (): number => this.bytes.readUInt32LE(this.take(4));
  u64(): number {
    const value = this.bytes.readBigUInt64LE(this.take(8));
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new GgufError("it has a size beyond all files");
    return Number(value);
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
        throw new GgufError(`it has a value of the unknown type ${type}`);
    }
  }

  private list(depth: number): GgufValue[] {
    const type = this.u32();
    const count = this.u64();
    if (depth > 2 || count > COUNT_LIMIT) throw new GgufError("it has a list that is too long or too deep");
    const items: GgufValue[] = [];
    for (let i = 0; i < count; i++) items.push(this.value(type, depth + 1));
    return items;
  }
}

function parseHead(cursor: Cursor, size: number): Head {
  if (cursor.u32() !== 0x46554747)
    throw new GgufError("it does not begin with GGUF, so it is another kind of file");
  const version = cursor.u32();
  if (version !== 2 && version !== 3) throw new GgufError(`its version is ${version}, and 2 and 3 are read`);
  const n_tensors = cursor.u64();
  const n_values = cursor.u64();
  if (n_tensors > COUNT_LIMIT || n_values > COUNT_LIMIT) throw new GgufError("its head is damaged");
  const values = new Map<string, GgufValue>();
  for (let i = 0; i < n_values; i++) {
    const name = cursor.text();
    values.set(name, cursor.value(cursor.u32()));
  }
  const described: { name: string; dims: number[]; number: number; offset: number }[] = [];
  for (let i = 0; i < n_tensors; i++) {
    const name = cursor.text();
    const rank = cursor.u32();
    if (rank > RANK_LIMIT) throw new GgufError(`the tensor ${quote(name)} has no valid shape`);
    const dims = Array.from({ length: rank }, () => cursor.u64());
    described.push({ name, dims, number: cursor.u32(), offset: cursor.u64() });
  }
  const alignment = values.get("general.alignment") ?? 32;
  if (typeof alignment !== "number" || !(alignment >= 1 && alignment <= 1 << 20)) {
    throw new GgufError("its alignment is none");
  }
  const data = Math.ceil(cursor.at / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const { name, dims, number, offset } of described) {
    const type = TYPES.get(number);
    if (!type) {
      const given = OTHER_TYPES.get(number) ?? `number ${number}`;
      throw new GgufError(
        `${shorten(name)} has the type ${given}, and F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K are read`,
      );
    }
    const shape = dims.reverse();
    const row = shape.at(-1) ?? 1;
    const bytes = (sizeOf(shape) / type.values) * type.bytes;
    if (row % type.values !== 0 || !Number.isSafeInteger(bytes) || data + offset + bytes > size) {
      throw new GgufError(`the tensor ${quote(name)} of the shape ${showShape(shape)} lies outside the file`);
    }
    if (tensors.has(name)) throw new GgufError(`it has the tensor ${quote(name)} twice`);
    tensors.set(name, { shape, dtype: type.name, offset: data + offset, type });
  }
  return { values, tensors };
}

/** Blocks that are read at once; with any number of bytes a block, numbers stay aligned to their width. */
const BLOCKS_AT_ONCE = 1 << 16;

async function readTensor(path: string, tensor: GgufTensor, target: Float32Array): Promise<void> {
  const { type, offset } = tensor;
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const atOnce = Math.min(BLOCKS_AT_ONCE, Math.ceil(target.length / type.values));
    const bytes = new Uint8Array(atOnce * type.bytes);
    for (let first = 0; first < target.length; first += atOnce * type.values) {
      const into = target.subarray(first, first + atOnce * type.values);
      const length = (into.length / type.values) * type.bytes;
      const position = offset + (first / type.values) * type.bytes;
      for (let filled = 0; filled < length; ) {
        const { bytesRead } = await file.read(bytes, filled, length - filled, position + filled);
        if (bytesRead === 0) throw new UserError(`${path} ends early`, { next: "fetch the file again" });
        filled += bytesRead;
      }
      const part = bytes.subarray(0, length);
      if (type.block) type.block.decode(part, into);
      else into.set(asFloat32(part, type.float));
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw fileError("read", path, error);
  } finally {
    await file?.close();
  }
}
