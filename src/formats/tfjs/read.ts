import { stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../system/errors.js";
import { readSmallFile } from "../../system/files.js";
import { refuseLfsPointer } from "../../system/lfs.js";
import { decodeText } from "../../system/text-encoding.js";
import type { ByteRange } from "../byte-ranges.js";
import { crc32 } from "../crc.js";
import { FLOAT16, FLOAT32 } from "../floats.js";
import { fileSize } from "../open-file.js";
import { type StoredTensor, type StoredTensors, storedTensors } from "../stored-tensors.js";
import { AGAIN, MANIFEST, type ManifestGroup, parseManifest, SHARD_BYTES, storedBytes } from "./manifest.js";

/** The largest GPT-2's model.json has 120 KB. */
const MANIFEST_LIMIT = 4 << 20;

/** Whether a folder seems to hold tfjs weights; openWeights() checks them. */
export async function hasWeights(folder: string): Promise<boolean> {
  try {
    return (await stat(join(folder, MANIFEST))).isFile();
  } catch {
    return false;
  }
}

/**
 * Opens tfjs weights: model.json and the files it names. Several tensors may be read at once. Checksums are verified
 * if model.json has them, as ours does.
 * @throws UserError when model.json or a file is missing, too short, altered or of another kind
 */
export async function openWeights(folder: string): Promise<StoredTensors> {
  const path = join(folder, MANIFEST);
  const text = await readSmallFile(path, MANIFEST_LIMIT, AGAIN);
  const manifest = parseManifest(decodeText(text), path);
  const checks = manifest.userDefinedMetadata?.crc32;
  const tensors = new Map<string, StoredTensor>();
  for (const group of manifest.weightsManifest) {
    const shards = await measureShards(group, folder, path);
    let first = 0;
    for (const entry of group.weights) {
      const { name, shape, quantization } = entry;
      const bytes = storedBytes(entry);
      const type = quantization ? FLOAT16 : FLOAT32;
      tensors.set(name, {
        shape,
        dtype: type.name,
        type,
        ranges: cut(shards, first, bytes),
        crc: checks?.[name],
      });
      first += bytes;
    }
  }
  return storedTensors(path, tensors, checks && { name: "CRC-32", update: crc32, next: AGAIN });
}

/** A group's files with their sizes. @throws UserError when these do not add up to the tensors' bytes */
async function measureShards(group: ManifestGroup, folder: string, manifest: string): Promise<ByteRange[]> {
  const shards = await Promise.all(
    group.paths.map(async (name): Promise<ByteRange> => {
      const path = join(folder, name);
      return { path, offset: 0, length: await fileSize(path, AGAIN) };
    }),
  );
  const found = shards.reduce((sum, { length }) => sum + length, 0);
  const wanted = group.weights.reduce((sum, entry) => sum + storedBytes(entry), 0);
  if (found !== wanted) {
    for (const { path } of shards) await refuseLfsPointer(path);
    // In files of the usual size, as tfjs's converter and ours write, the altered one can be named.
    const usual = shards.length === Math.ceil(wanted / SHARD_BYTES);
    const odd = shards.find(({ length }, i) => length !== Math.min(SHARD_BYTES, wanted - i * SHARD_BYTES));
    const name = (usual && odd?.path) || manifest;
    throw new UserError(
      `${name} is cut off or altered (the weight files have ${found} bytes where ${MANIFEST} describes ${wanted})`,
      { next: AGAIN },
    );
  }
  return shards;
}

/** The ranges of the files that hold `bytes` bytes from byte `first` of their concatenation. */
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
