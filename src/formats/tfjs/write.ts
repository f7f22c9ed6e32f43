import { endianness } from "node:os";
import { sizeOf } from "../../model/parameters.js";
import type { WeightSource } from "../../model/weight-source.js";
import { option, UserError } from "../../system/errors.js";
import { crc32 } from "../crc.js";
import { FileSet, type WriteSetOptions } from "../file-set.js";
import { encodeFloat16 } from "../floats.js";
import { CHUNK_VALUES } from "../tensor-chunks.js";
import {
  isShardName,
  MANIFEST,
  type Manifest,
  type ManifestEntry,
  SHARD_BYTES,
  shardName,
  type WeightsDtype,
  widthOf,
} from "./manifest.js";

/** How tfjs weights are written. */
export interface WriteOptions extends WriteSetOptions {
  /** How values are stored; float16 halves the size. */
  readonly dtype: WeightsDtype;
  /** What the weights come from, for model.json. */
  readonly generatedBy?: string;
}

/**
 * Writes a model's tensors as tfjs weights: model.json and files of 4 MiB, as tf.io loads them. Holds one tensor in
 * memory. A failure or an abort leaves the folder as it was.
 * @returns the bytes of the weights
 * @throws UserError when the source or the disk fails, or a value is too large for float16; the signal's reason on an
 *   abort
 */
export async function writeWeights(
  folder: string,
  source: WeightSource,
  options: WriteOptions,
): Promise<number> {
  if (endianness() !== "LE") throw new UserError("weights can be written on little-endian machines only");
  const { dtype, isOld, generatedBy = "TensorFlow checkpoint" } = options;
  const total =
    [...source.tensors.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0) * widthOf(dtype);
  const isReplaced = (name: string): boolean => isShardName(name) || isOld?.(name) === true;
  await FileSet.write(folder, MANIFEST, { ...options, isOld: isReplaced }, async (files) => {
    const shards = new ShardWriter(files, total);
    const checks = await writeTensors(source, shards, total, options);
    await shards.end();
    const manifest = { ...describe(source, dtype, shards, checks), generatedBy };
    await files.add(MANIFEST, Buffer.from(`${JSON.stringify(manifest)}\n`));
  });
  return total;
}

/** Writes every tensor. @returns their checksums */
async function writeTensors(
  source: WeightSource,
  shards: ShardWriter,
  total: number,
  { dtype, onProgress, signal }: WriteOptions,
): Promise<Record<string, number>> {
  const sizes = [...source.tensors.values()].map(({ shape }) => sizeOf(shape));
  const memory = new Float32Array(sizes.reduce((most, size) => Math.max(most, size), 0));
  const halves = new Uint16Array(dtype === "float16" ? CHUNK_VALUES : 0);
  const checks: Record<string, number> = {};
  let done = 0;
  for (const [name, { shape }] of source.tensors) {
    signal?.throwIfAborted();
    const values = memory.subarray(0, sizeOf(shape));
    await source.read(name, values);
    let crc = 0;
    for (let first = 0; first < values.length; first += CHUNK_VALUES) {
      const piece = values.subarray(first, first + CHUNK_VALUES);
      const bytes = dtype === "float16" ? toHalves(name, piece, halves) : bytesOf(piece);
      crc = crc32(bytes, crc);
      await shards.write(bytes);
      done += bytes.length;
      onProgress?.(done, total);
      signal?.throwIfAborted();
    }
    Object.defineProperty(checks, name, { value: crc, enumerable: true });
  }
  return checks;
}

function toHalves(name: string, values: Float32Array, halves: Uint16Array): Uint8Array {
  const target = halves.subarray(0, values.length);
  const beyond = encodeFloat16(values, target);
  if (beyond >= 0) {
    throw new UserError(`${name} holds ${values[beyond]}, which is too large for float16`, {
      next: `choose ${option("dtype", "float32")}`,
    });
  }
  return bytesOf(target);
}

function bytesOf(values: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function describe(
  source: WeightSource,
  dtype: WeightsDtype,
  { count }: ShardWriter,
  checks: Record<string, number>,
): Manifest & Record<string, unknown> {
  const weights = [...source.tensors].map(([name, { shape }]): ManifestEntry => {
    const entry = { name, shape, dtype: "float32" } as const;
    return dtype === "float32" ? entry : { ...entry, quantization: { dtype, original_dtype: "float32" } };
  });
  const paths = Array.from({ length: count }, (_, i) => shardName(i + 1, count));
  return {
    format: "weights",
    generatedBy: "TensorFlow checkpoint",
    convertedBy: "gpt2",
    modelTopology: null, // weights only: programs bring the network
    weightsManifest: [{ paths, weights }],
    userDefinedMetadata: { crc32: checks },
  };
}

/** Splits a stream of bytes into files of SHARD_BYTES. */
class ShardWriter {
  /** How many files `total` bytes fill. */
  readonly count: number;
  private shard = 0;
  /** Bytes in the current file. */
  private filled = SHARD_BYTES;

  constructor(
    private readonly files: FileSet,
    total: number,
  ) {
    this.count = Math.ceil(total / SHARD_BYTES);
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      if (this.filled === SHARD_BYTES) {
        this.shard += 1;
        this.filled = 0;
        await this.files.create(shardName(this.shard, this.count));
      }
      const part = bytes.subarray(done, done + SHARD_BYTES - this.filled);
      await this.files.append(part);
      this.filled += part.length;
      done += part.length;
    }
  }

  async end(): Promise<void> {
    await this.files.finish();
  }
}
