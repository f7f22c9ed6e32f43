/** The names and numbers that writer and reader of tfjs weights agree on. */

/** The file that describes the others. */
export const MANIFEST = "model.json";
/** tfjs's own converter cuts weights into files of this size. */
export const SHARD_BYTES = 4 << 20;

/** Name of one file of weights; shards count from 1. */
export function shardName(shard: number, shards: number): string {
  return `group1-shard${shard}of${shards}.bin`;
}

/** Whether a file's name is one that shardName() gives. */
export function isShardName(name: string): boolean {
  return /^group1-shard\d+of\d+\.bin$/.test(name);
}

/** How values are stored: whole, or rounded to the nearest float16. */
export type WeightsDtype = "float32" | "float16";

/** Bytes a stored value takes. */
export function widthOf(dtype: WeightsDtype): number {
  return dtype === "float16" ? 2 : 4;
}

/**
 * A tensor in model.json. `dtype` is what the values become, `quantization` how they are stored.
 * Source: tfjs-core's io/types.ts, WeightsManifestEntry.
 */
export interface ManifestEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: "float32";
  readonly quantization?: { readonly dtype: "float16"; readonly original_dtype?: "float32" };
}

/** Files (names, or "folder/name" of one folder below) and the tensors whose bytes follow one another in them. */
export interface ManifestGroup {
  readonly paths: readonly string[];
  readonly weights: readonly ManifestEntry[];
}

/** The parts of model.json that concern weights. */
export interface Manifest {
  readonly weightsManifest: readonly ManifestGroup[];
  readonly userDefinedMetadata?: {
    /** CRC-32 (zlib's) of each tensor's stored bytes, by its name. */
    readonly crc32?: Readonly<Record<string, number>>;
  };
}
