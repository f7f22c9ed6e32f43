import { endianness } from "node:os";
import { sizeOf } from "../../model/parameters.js";
import type { WeightSource } from "../../model/weight-source.js";
import { UserError } from "../../system/errors.js";
import { crc32c, maskCrc } from "../crc.js";
import { FileSet, type WriteSetOptions } from "../file-set.js";
import { namesInOrder, tensorChunks } from "../tensor-chunks.js";
import type { BundleEntry } from "./bundle.js";
import { writeIndex } from "./bundle.js";

/** How a checkpoint is written. */
export interface WriteCheckpointOptions extends WriteSetOptions {
  /** Bytes after which a block of the index is closed, for tests. */
  readonly blockSize?: number;
}

/** The text file that names a folder's newest checkpoint. */
export const CHECKPOINT_STATE = "checkpoint";
/** TensorFlow's number for the type. */
const FLOAT32 = 1;

/**
 * Writes a model's tensors as a TensorFlow V2 checkpoint, byte for byte as TensorFlow does: `<prefix>.index`,
 * `<prefix>.data-00000-of-00001` and the text file `checkpoint`. Holds one tensor in memory. Writes no graph (`.meta`):
 * programs that load GPT-2 build their own. A failure or an abort leaves the folder as it was.
 * @param prefix a plain file name, e.g. "model-500"
 * @returns the bytes of the weights
 * @throws UserError when the source or the disk fails; the signal's reason on an abort
 */
export async function writeCheckpoint(
  folder: string,
  prefix: string,
  source: WeightSource,
  options: WriteCheckpointOptions = {},
): Promise<number> {
  if (endianness() !== "LE") throw new UserError("checkpoints can be written on little-endian machines only");
  let bytes = 0;
  await FileSet.write(folder, CHECKPOINT_STATE, options, async (files) => {
    await files.create(`${prefix}.data-00000-of-00001`);
    const entries = await writeTensors(source, files, options);
    await files.add(`${prefix}.index`, writeIndex({ shards: 1, entries }, options.blockSize));
    await files.add(CHECKPOINT_STATE, Buffer.from(stateText(prefix)));
    for (const { size } of entries.values()) bytes += size;
  });
  return bytes;
}

/** Writes every tensor as float32, in byte order of their names. @returns their entries in the index */
async function writeTensors(
  source: WeightSource,
  files: FileSet,
  { onProgress, signal }: WriteCheckpointOptions,
): Promise<Map<string, BundleEntry>> {
  const total = [...source.tensors.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
  const entries = new Map<string, BundleEntry>();
  let done = 0;
  let crc = 0;
  for await (const { name, bytes, isLast } of tensorChunks(source, namesInOrder(source), signal)) {
    await files.append(bytes);
    done += bytes.length;
    onProgress?.(done, total);
    crc = crc32c(bytes, crc);
    if (!isLast) continue;
    const shape = source.tensors.get(name)?.shape ?? [];
    const size = 4 * sizeOf(shape);
    const maskedCrc = maskCrc(crc);
    entries.set(name, {
      dtype: FLOAT32,
      shape,
      shard: 0,
      offset: done - size,
      size,
      maskedCrc,
      sliced: false,
    });
    crc = 0;
  }
  return entries;
}

/** A CheckpointState in protocol buffer text format, with bytes beyond ASCII as octal escapes. */
function stateText(prefix: string): string {
  const escaped = [...Buffer.from(prefix)]
    .map((byte) =>
      byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\${byte.toString(8).padStart(3, "0")}`,
    )
    .join("");
  return `model_checkpoint_path: "${escaped}"\nall_model_checkpoint_paths: "${escaped}"\n`;
}
