import { type FileHandle, open, stat } from "node:fs/promises";
import { endianness } from "node:os";
import { showShape, sizeOf } from "../../model/parameters.js";
import type { TensorInfo, WeightSource } from "../../model/weight-source.js";
import { quote, shorten, UserError } from "../../system/errors.js";
import { fileError, makeFolder } from "../../system/files.js";
import { refuseLfsPointer } from "../../system/lfs.js";
import { readRanges } from "../byte-ranges.js";
import { FileSet } from "../file-set.js";
import { BFLOAT16, FLOAT16, FLOAT32, FLOAT64, type FloatType } from "../floats.js";
import { namesInOrder, tensorPieces } from "../tensor-chunks.js";

/** Eight bytes at the beginning: the length of the header. */
const PREFIX_BYTES = 8;
/** The header of the largest GPT-2 has 60 KB. */
const HEADER_LIMIT = 4 << 20;
const RANK_LIMIT = 8;
const FLOAT_TYPES: ReadonlyMap<string, FloatType> = new Map([
  ["F32", FLOAT32],
  ["F16", FLOAT16],
  ["BF16", BFLOAT16],
  ["F64", FLOAT64],
]);

/** A tensor of a safetensors file. */
export interface SafeTensor extends TensorInfo {
  /** The file's own name of the type, e.g. "F32" or "BOOL". */
  readonly dtype: string;
  /** First byte in the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** A safetensors file that tensors can be read from. */
export interface SafetensorsFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, SafeTensor>;
  /**
   * Reads a tensor's values as float32, the first target.length of them. The format has no checksums.
   * @throws UserError when its type is none of F32, F16, BF16, F64, or the file cannot be read
   */
  read(name: string, target: Float32Array): Promise<void>;
  /** Hands all values of a tensor on in pieces, as bytes of float32 that are valid during the call. */
  scan(name: string, visit: (bytes: Uint8Array) => void): Promise<void>;
}

/**
 * Opens a safetensors file: a header in JSON that names tensors and their places, then their bytes.
 * Every size and place is checked against the file's size before anything is read.
 * Source: github.com/huggingface/safetensors, "Format".
 * @throws UserError that names the file when it is missing, cut off, or something else
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const { text, size } = await readHeader(path);
  const tensors = parseHeader(text, path, size);
  const find = (name: string): { tensor: SafeTensor; type: FloatType } => {
    const tensor = tensors.get(name);
    if (!tensor) throw new RangeError(`no tensor ${name} in ${path}`);
    const type = FLOAT_TYPES.get(tensor.dtype);
    if (type) return { tensor, type };
    throw new UserError(
      `${path}: ${shorten(name)} has the type ${tensor.dtype}, and only F32, F16, BF16 and F64 are read: save the model in one of them`,
    );
  };
  return {
    path,
    tensors,
    read: async (name, target) => {
      const { tensor, type } = find(name);
      if (target.length > sizeOf(tensor.shape)) throw new RangeError(`${name} has fewer values`);
      const range = { path, offset: tensor.offset, length: target.length * type.width };
      const into = type.decode
        ? undefined
        : new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
      await readRanges([range], into, (chunk, before) => {
        const first = before / type.width;
        type.decode?.(chunk, target.subarray(first, first + chunk.length / type.width));
      });
    },
    scan: async (name, visit) => {
      const { tensor, type } = find(name);
      const range = { path, offset: tensor.offset, length: tensor.bytes };
      await readRanges([range], undefined, (chunk) => {
        if (!type.decode) return visit(chunk);
        const values = new Float32Array(chunk.length / type.width);
        type.decode(chunk, values);
        visit(new Uint8Array(values.buffer));
      });
    },
  };
}

const fault = (path: string, reason: string, cause?: unknown): UserError =>
  new UserError(`cannot read ${path} as safetensors: ${reason}: fetch the file again`, { cause });

/** The header's text and the size of the file. */
async function readHeader(path: string): Promise<{ text: string; size: number }> {
  let file: FileHandle | undefined;
  try {
    const found = await stat(path); // before it is opened: a pipe would wait for a writer
    if (!found.isFile()) throw new UserError(`${path} is not a file: name the folder of a model`);
    file = await open(path, "r");
    const { size } = await file.stat();
    const prefix = await readExactly(file, 0, Math.min(PREFIX_BYTES, size));
    if (prefix.length < PREFIX_BYTES) throw fault(path, `it has ${size} bytes`);
    const length = prefix.readBigUInt64LE();
    if (length > BigInt(HEADER_LIMIT)) await refuseLfsPointer(path);
    if (length > BigInt(HEADER_LIMIT)) {
      throw fault(path, `it says that its header has ${length} bytes, so it is another kind of file`);
    }
    if (PREFIX_BYTES + Number(length) > size) {
      throw fault(path, `its header has ${length} bytes and the file ${size}, so it is cut off`);
    }
    const header = await readExactly(file, PREFIX_BYTES, Number(length));
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header), size };
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (error instanceof TypeError) throw fault(path, "its header is not UTF-8", error);
    throw fileError("read", path, error);
  } finally {
    await file?.close();
  }
}

async function readExactly(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

function parseHeader(text: string, path: string, size: number): Map<string, SafeTensor> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    throw fault(path, "its header is not valid JSON", error);
  }
  if (!isObject(header)) throw fault(path, "its header is no list of tensors");
  const data = PREFIX_BYTES + Buffer.byteLength(text);
  const tensors = new Map<string, SafeTensor>();
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const reason = faultOf(value, size - data);
    if (reason) throw fault(path, `the tensor ${quote(name)} ${reason}`);
    const { dtype, shape, data_offsets } = value as Described;
    const [begin, end] = data_offsets;
    tensors.set(name, { dtype, shape, offset: data + begin, bytes: end - begin });
  }
  checkPlaces(tensors, path, data, size);
  return tensors;
}

interface Described {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** What is wrong with the description of a tensor whose bytes should lie among `room` bytes, or undefined. */
function faultOf(value: unknown, room: number): string | undefined {
  if (!isObject(value)) return "is not described";
  const { dtype, shape, data_offsets } = value;
  if (typeof dtype !== "string" || !/^\w{1,20}$/.test(dtype)) return "has no type";
  if (!Array.isArray(shape) || shape.length > RANK_LIMIT || !shape.every(isSize)) return "has no valid shape";
  if (!Array.isArray(data_offsets) || data_offsets.length !== 2 || !data_offsets.every(isSize)) {
    return "has no valid place";
  }
  const [begin, end] = data_offsets as [number, number];
  if (begin > end || end > room) return "lies outside the file; perhaps it is cut off";
  const width = FLOAT_TYPES.get(dtype)?.width;
  if (width !== undefined && sizeOf(shape as number[]) * width !== end - begin) {
    return `has ${end - begin} bytes, which does not fit ${dtype} of the shape ${showShape(shape as number[])}`;
  }
  return undefined;
}

/** The format lets no tensors overlap, and no bytes stand between or behind them. */
function checkPlaces(
  tensors: ReadonlyMap<string, SafeTensor>,
  path: string,
  data: number,
  size: number,
): void {
  let end = data;
  for (const { offset, bytes } of [...tensors.values()].sort(
    (a, b) => a.offset - b.offset || a.bytes - b.bytes,
  )) {
    if (offset !== end) throw fault(path, "its tensors overlap or have gaps between them");
    end += bytes;
  }
  if (end !== size) {
    throw fault(path, `it has ${size} bytes where its header describes ${end}`);
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

export interface WriteSafetensorsOptions {
  /** Called now and then with the number of bytes written and their total. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
  /** Small files that are put in place together with the weights: name -> content. */
  readonly companions?: ReadonlyMap<string, Uint8Array>;
}

/** Its header is padded so that the tensors begin at a multiple of this. */
const ALIGNMENT = 8;

/**
 * Writes tensors as one safetensors file of float32, in the order of their names. One tensor at a time is in
 * memory; everything is written beside its place and put there when it is complete.
 * Source: github.com/huggingface/safetensors, "Format".
 * @returns number of bytes of weights
 * @throws UserError when the source or the disk fails; the signal's reason on an abort
 */
export async function writeSafetensors(
  folder: string,
  file: string,
  source: WeightSource,
  options: WriteSafetensorsOptions = {},
): Promise<number> {
  if (endianness() !== "LE") throw new UserError("safetensors can be written on little-endian machines only");
  const { companions = new Map<string, Uint8Array>(), onProgress, signal } = options;
  makeFolder(folder);
  const names = namesInOrder(source);
  const { header, total } = describe(source, names);
  const files = await FileSet.begin(folder);
  try {
    await files.create(file);
    await files.append(header);
    let done = 0;
    for await (const { bytes } of tensorPieces(source, names, signal)) {
      await files.append(bytes);
      done += bytes.length;
      onProgress?.(done, total);
    }
    await files.finish();
    for (const [name, content] of companions) await files.add(name, content);
    signal?.throwIfAborted();
    await files.commit(file, () => false);
  } catch (error) {
    await files.discard();
    throw error;
  }
  return total;
}

/** The length of the header in eight bytes, and the header. */
function describe(source: WeightSource, names: readonly string[]): { header: Buffer; total: number } {
  // Its reader in transformers asks which framework's order of numbers it is.
  const entries: [string, unknown][] = [["__metadata__", { format: "pt" }]];
  let total = 0;
  for (const name of names) {
    const shape = source.tensors.get(name)?.shape ?? [];
    const begin = total;
    total += 4 * sizeOf(shape);
    entries.push([name, { dtype: "F32", shape, data_offsets: [begin, total] }]);
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const header = Buffer.alloc(8 + length, " ");
  header.writeBigUInt64LE(BigInt(length));
  json.copy(header, 8);
  return { header, total };
}
