import { stat } from "node:fs/promises";
import { join } from "node:path";
import { sizeOf } from "../../model/parameters.js";
import type { ScannableSource, TensorInfo } from "../../model/weight-source.js";
import { shorten, UserError } from "../../system/errors.js";
import { fileError, readSmallFile } from "../../system/files.js";
import { refuseLfsPointer } from "../../system/lfs.js";
import { decodeText } from "../../system/text-encoding.js";
import { type ByteRange, readRanges } from "../byte-ranges.js";
import { crc32 } from "../crc.js";
import { asFloat32, FLOAT16, FLOAT32 } from "../floats.js";
import {
  MANIFEST,
  type ManifestGroup,
  parseManifest,
  SHARD_BYTES,
  storedBytes,
  type WeightsDtype,
} from "./manifest.js";

/** The model.json of the largest GPT-2 has 120 KB. */
const MANIFEST_LIMIT = 4 << 20;
const AGAIN = "convert or download the model again";

/** Whether a folder holds tfjs weights; openWeights says whether they are sound. */
export async function hasWeights(folder: string): Promise<boolean> {
  try {
    return (await stat(join(folder, MANIFEST))).isFile();
  } catch {
    return false;
  }
}

/** A tensor and where its bytes stand. */
interface Stored extends TensorInfo {
  readonly dtype: WeightsDtype;
  readonly ranges: readonly ByteRange[];
  readonly crc32: number | undefined;
}

/**
 * Opens tfjs weights (model.json and the files it names) to read tensors from. Several tensors may be read at
 * the same time. Each one's checksum is verified where model.json carries them, as ours does.
 * @throws UserError when model.json or a file is missing, too short, altered, or of another kind
 */
export async function openWeights(folder: string): Promise<ScannableSource> {
  const path = join(folder, MANIFEST);
  const text = await readSmallFile(path, MANIFEST_LIMIT, AGAIN);
  const manifest = parseManifest(decodeText(text), path);
  const checks = manifest.userDefinedMetadata?.crc32;
  const stored = new Map<string, Stored>();
  for (const group of manifest.weightsManifest) {
    const shards = await measureShards(group, folder, path);
    let first = 0;
    for (const entry of group.weights) {
      const bytes = storedBytes(entry);
      stored.set(entry.name, {
        shape: entry.shape,
        dtype: entry.quantization?.dtype ?? "float32",
        ranges: cut(shards, first, bytes),
        crc32: checks?.[entry.name],
      });
      first += bytes;
    }
  }
  const find = (name: string): Stored => {
    const tensor = stored.get(name);
    if (!tensor) throw new RangeError(`no tensor ${name} in ${path}`);
    return tensor;
  };
  return {
    path,
    tensors: stored,
    checksum: checks ? "CRC-32" : undefined,
    read: async (name, target) => readTensor(name, find(name), target, path),
    scan: async (name, visit) => {
      const tensor = find(name);
      const type = tensor.dtype === "float16" ? FLOAT16 : FLOAT32;
      await readChecked(name, tensor, undefined, path, (chunk) => visit(asFloat32(chunk, type)));
    },
    close: async () => undefined, // no file stays open between reads
  };
}

/** The files of a group with their sizes, which must add up to the tensors' bytes. */
async function measureShards(group: ManifestGroup, folder: string, manifest: string): Promise<ByteRange[]> {
  const shards = await Promise.all(
    group.paths.map(async (name): Promise<ByteRange> => {
      const path = join(folder, name);
      let length: number;
      try {
        const found = await stat(path);
        length = found.isFile() ? found.size : -1;
      } catch (error) {
        throw fileError("read", path, error);
      }
      if (length < 0) throw new UserError(`${path} is not a file: ${AGAIN}`);
      return { path, offset: 0, length };
    }),
  );
  const found = shards.reduce((sum, { length }) => sum + length, 0);
  const wanted = group.weights.reduce((sum, entry) => sum + storedBytes(entry), 0);
  if (found !== wanted) {
    for (const { path } of shards) await refuseLfsPointer(path);
    // Cut as tfjs's converter and ours do, every file's size is known: the one that differs can be named.
    const usual = shards.length === Math.ceil(wanted / SHARD_BYTES);
    const odd = shards.find(({ length }, i) => length !== Math.min(SHARD_BYTES, wanted - i * SHARD_BYTES));
    const name = (usual && odd?.path) || manifest;
    throw new UserError(
      `${name} is cut off or altered (the files of weights have ${found} bytes where ${MANIFEST} describes ${wanted}): ${AGAIN}`,
    );
  }
  return shards;
}

/** The parts of the files that hold `bytes` bytes from `first` on, counted through all files. */
function cut(shards: readonly ByteRange[], first: number, bytes: number): ByteRange[] {
  const parts: ByteRange[] = [];
  let start = 0;
  for (const { path, length } of shards) {
    const from = Math.max(first, start);
    const to = Math.min(first + bytes, start + length);
    if (from < to) parts.push({ path, offset: from - start, length: to - from });
    start += length;
  }
  return parts;
}

async function readTensor(
  name: string,
  tensor: Stored,
  target: Float32Array,
  manifest: string,
): Promise<void> {
  const { shape, dtype } = tensor;
  if (target.length !== sizeOf(shape)) {
    throw new RangeError(`${name} has ${sizeOf(shape)} values, not ${target.length}`);
  }
  const half = dtype === "float16" ? FLOAT16 : undefined;
  const into = half ? undefined : new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
  await readChecked(name, tensor, into, manifest, (chunk, before) => {
    const first = before / 2;
    half?.decode?.(chunk, target.subarray(first, first + chunk.length / 2));
  });
}

/** Reads a tensor's stored bytes as readRanges() does, and compares their checksum at the end, if there is one. */
async function readChecked(
  name: string,
  tensor: Stored,
  into: Uint8Array | undefined,
  manifest: string,
  visit: (chunk: Uint8Array, before: number) => void,
): Promise<void> {
  const { ranges } = tensor;
  let crc = 0;
  await readRanges(ranges, into, (chunk, before) => {
    if (tensor.crc32 !== undefined) crc = crc32(chunk, crc);
    visit(chunk, before);
  });
  if (tensor.crc32 !== undefined && crc !== tensor.crc32) {
    const where = ranges[0]?.path ?? manifest;
    throw new UserError(`${where} is damaged: the checksum of ${shorten(name)} does not fit: ${AGAIN}`);
  }
}
