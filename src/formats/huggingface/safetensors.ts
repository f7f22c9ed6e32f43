import { endianness } from "node:os";
import { showShape, sizeOf } from "../../model/parameters.js";
import type { WeightSource } from "../../model/weight-source.js";
import { quote, UserError } from "../../system/errors.js";
import { isObject, isSize, type Json } from "../../system/json.js";
import type { ByteRange } from "../byte-ranges.js";
import { FileSet, type WriteSetOptions } from "../file-set.js";
import { BFLOAT16, FLOAT16, FLOAT32, FLOAT64, type FloatType } from "../floats.js";
import { FormatError, type OpenFile, readFormat } from "../open-file.js";
import { type StoredTensor, type StoredTensors, storedTensors } from "../stored-tensors.js";
import { namesInOrder, tensorChunks } from "../tensor-chunks.js";

/** The header's length, in the file's first eight bytes. */
const PREFIX_BYTES = 8;
/** The largest GPT-2's header has 60 KB. */
const HEADER_LIMIT = 4 << 20;
const RANK_LIMIT = 8;
const FLOAT_TYPES: ReadonlyMap<string, FloatType> = new Map([
  ["F32", FLOAT32],
  ["F16", FLOAT16],
  ["BF16", BFLOAT16],
  ["F64", FLOAT64],
]);

/**
 * Opens a safetensors file: a JSON header with the tensors' names and offsets, then their bytes, without checksums.
 * Checks every size and offset against the file's size before it reads anything.
 * Source: github.com/huggingface/safetensors, "Format".
 * @throws UserError that names the file when it is missing, cut off or not safetensors
 */
export function openSafetensors(path: string): Promise<StoredTensors> {
  return readFormat(path, "safetensors", async (file) => storedTensors(path, await readHeader(file)));
}

async function readHeader(file: OpenFile): Promise<Map<string, StoredTensor>> {
  const { path, size } = file;
  if (size < PREFIX_BYTES) throw new FormatError(`it has ${size} bytes`);
  const length = Number((await file.bytes(0, PREFIX_BYTES)).readBigUInt64LE());
  if (length > HEADER_LIMIT) {
    throw new FormatError(`it claims a header of ${length} bytes, so it is another kind of file`);
  }
  const data = PREFIX_BYTES + length;
  if (data > size) {
    throw new FormatError(`its header has ${length} bytes and the file ${size}, so it is cut off`);
  }
  const tensors = new Map<string, StoredTensor>();
  for (const [name, value] of Object.entries(parseHeader(await file.bytes(PREFIX_BYTES, length)))) {
    if (name === "__metadata__") continue;
    const reason = faultOf(value, size - data);
    if (reason) throw new FormatError(`the tensor ${quote(name)} ${reason}`);
    const { dtype, shape, data_offsets } = value as Described;
    const [begin, end] = data_offsets;
    const range = { path, offset: data + begin, length: end - begin };
    tensors.set(name, { dtype, shape, type: FLOAT_TYPES.get(dtype), ranges: [range] });
  }
  checkPlaces(
    [...tensors.values()].map(({ ranges }) => ranges[0]),
    data,
    size,
  );
  return tensors;
}

function parseHeader(bytes: Uint8Array): Json {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw new FormatError(`its header is not ${error instanceof SyntaxError ? "valid JSON" : "UTF-8"}`);
  }
  if (!isObject(header)) throw new FormatError("its header is not a list of tensors");
  return header;
}

interface Described {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** What is wrong with a tensor's entry, or undefined. @param room bytes of data in the file */
function faultOf(value: unknown, room: number): string | undefined {
  if (!isObject(value)) return "is not described";
  const { dtype, shape, data_offsets } = value;
  if (typeof dtype !== "string" || !/^\w{1,20}$/.test(dtype)) return "has no type";
  if (!Array.isArray(shape) || shape.length > RANK_LIMIT || !shape.every(isSize)) return "has no valid shape";
  if (!Array.isArray(data_offsets) || data_offsets.length !== 2 || !data_offsets.every(isSize)) {
    return "has no valid offsets";
  }
  const [begin, end] = data_offsets as [number, number];
  if (begin > end || end > room) return "lies outside the file; perhaps it is cut off";
  const width = FLOAT_TYPES.get(dtype)?.width;
  if (width !== undefined && sizeOf(shape as number[]) * width !== end - begin) {
    return `has ${end - begin} bytes, which does not match ${dtype} of the shape ${showShape(shape as number[])}`;
  }
  return undefined;
}

/** The format allows no overlaps, no gaps and no bytes after the tensors. */
function checkPlaces(places: readonly ByteRange[], data: number, size: number): void {
  let end = data;
  for (const { offset, length } of [...places].sort((a, b) => a.offset - b.offset || a.length - b.length)) {
    if (offset !== end) throw new FormatError("its tensors overlap or have gaps between them");
    end += length;
  }
  if (end !== size) throw new FormatError(`it has ${size} bytes where its header describes ${end}`);
}

/** The header is padded so that the tensors begin at a multiple of this. */
const ALIGNMENT = 8;

/**
 * Writes tensors as one safetensors file of float32, in order of their names, with one tensor in memory at a time.
 * Source: github.com/huggingface/safetensors, "Format".
 * @returns the bytes of its tensors
 * @throws UserError when the source or the disk fails; the signal's reason on an abort
 */
export async function writeSafetensors(
  folder: string,
  file: string,
  source: WeightSource,
  options: WriteSetOptions = {},
): Promise<number> {
  if (endianness() !== "LE") throw new UserError("safetensors can be written on little-endian machines only");
  const { onProgress, signal } = options;
  const names = namesInOrder(source);
  const { header, total } = describe(source, names);
  await FileSet.write(folder, file, options, async (files) => {
    await files.create(file);
    await files.append(header);
    let done = 0;
    for await (const { bytes } of tensorChunks(source, names, signal)) {
      await files.append(bytes);
      done += bytes.length;
      onProgress?.(done, total);
    }
  });
  return total;
}

/** The header, after its length in eight bytes; and the bytes of all tensors. */
function describe(source: WeightSource, names: readonly string[]): { header: Buffer; total: number } {
  // transformers refuses a file that does not name its framework.
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
