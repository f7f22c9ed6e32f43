import { sizeOf } from "../../model/parameters.js";
import { quote, UserError } from "../../system/errors.js";
import { isObject, isSize, type Json, parseJson } from "../../system/json.js";

/** The file that describes the weight files. */
export const MANIFEST = "model.json";
/** tfjs's own converter cuts weights into files of this size. */
export const SHARD_BYTES = 4 << 20;
/** The next step for damaged weights. */
export const AGAIN = "convert or download the model again";

/** The name of a weight file; shards count from 1. */
export function shardName(shard: number, shards: number): string {
  return `group1-shard${shard}of${shards}.bin`;
}

/** Whether a file's name is one that shardName() gives. */
export function isShardName(name: string): boolean {
  return /^group1-shard\d+of\d+\.bin$/.test(name);
}

/** How values are stored: unchanged, or rounded to float16. */
export type WeightsDtype = "float32" | "float16";

/** Bytes per stored value. */
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

/** Files ("name", or "folder/name" one folder down) and the tensors stored in them, in order. */
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

/**
 * Parses a model.json from anywhere: checks types, names and shapes, and that its files are in its own folder or one
 * below.
 * @param path the file's path, for messages
 * @throws UserError that names what is wrong
 */
export function parseManifest(text: string, path: string): Manifest {
  const fail = (reason: string): never => {
    throw new UserError(`${path}: ${reason}`, { next: AGAIN });
  };
  const json = parseJson(text, path, AGAIN);
  if (!isObject(json) || !Array.isArray(json.weightsManifest)) return fail("it has no weightsManifest");
  const paths = new Set<string>();
  const names = new Set<string>();
  for (const group of json.weightsManifest as unknown[]) {
    if (!isObject(group) || !Array.isArray(group.paths) || !Array.isArray(group.weights)) {
      return fail("a group of weights has no list of paths or of weights");
    }
    for (const file of group.paths as unknown[]) {
      if (!isNear(file)) return fail(`${quote(file)} is not the name of a file beside it`);
      if (paths.has(file)) return fail(`${quote(file)} is named twice`);
      paths.add(file);
    }
    for (const weight of group.weights as unknown[]) {
      const reason = faultOf(weight);
      if (reason) return fail(reason);
      const { name } = weight as ManifestEntry;
      if (names.has(name)) return fail(`${quote(name)} is described twice`);
      names.add(name);
    }
  }
  const metadata = json.userDefinedMetadata;
  const checks = isObject(metadata) ? metadata.crc32 : undefined;
  if (checks !== undefined && checks !== null) {
    if (!isObject(checks)) return fail("its checksums are not a list");
    for (const name of names) {
      if (!Object.hasOwn(checks, name) || !isUint32(checks[name])) {
        return fail(`${quote(name)} has no checksum`);
      }
    }
    return {
      weightsManifest: groupsOf(json),
      userDefinedMetadata: { crc32: checks as Record<string, number> },
    };
  }
  return { weightsManifest: groupsOf(json) };
}

/**
 * A model.json for the folder above: the same, with the folder's name before every path.
 * @param text of a model.json that openWeights() accepts
 * @param folder the name of its folder
 */
export function manifestFromAbove(text: string, folder: string): string {
  const manifest = JSON.parse(text) as Manifest & Json;
  const weightsManifest = manifest.weightsManifest.map((group) => ({
    ...group,
    paths: group.paths.map((path) => `${folder}/${path}`),
  }));
  return `${JSON.stringify({ ...manifest, weightsManifest })}\n`;
}

function groupsOf(checked: Json): readonly ManifestGroup[] {
  return checked.weightsManifest as readonly ManifestGroup[];
}

/** What is wrong with a tensor's entry, or undefined. */
function faultOf(weight: unknown): string | undefined {
  if (!isObject(weight)) return "a weight is not an object";
  const { name, shape, dtype, quantization } = weight;
  if (typeof name !== "string" || name === "") return "a weight has no name";
  if (!Array.isArray(shape) || !shape.every(isSize)) return `${quote(name)} has no valid shape`;
  if (!Number.isSafeInteger(sizeOf(shape as number[]) * 4)) return `${quote(name)} is too large`;
  if (dtype !== "float32") return `${quote(name)} has the type ${quote(dtype)}, which is not float32`;
  // tfjs checks for the key, not the value: null is not the same as absent.
  if (!("quantization" in weight)) return undefined;
  if (isObject(quantization) && quantization.dtype === "float16") return undefined;
  const kind = isObject(quantization) ? quantization.dtype : quantization;
  return `${quote(name)} is stored as ${quote(kind)}, which is neither float32 nor float16`;
}

/** Bytes that a tensor takes in the files. */
export function storedBytes({ shape, quantization }: ManifestEntry): number {
  return sizeOf(shape) * widthOf(quantization?.dtype ?? "float32");
}

function isUint32(value: unknown): value is number {
  return isSize(value) && value < 2 ** 32;
}

/**
 * Whether a name stays in its folder on every system: Windows drops trailing dots and spaces, and has device names in
 * every folder.
 */
function isPlainName(value: string): boolean {
  return !/[\p{Cc}/\\:]|[. ]$|^$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/iu.test(value);
}

/** Whether a path is a file in this folder, "name", or one below, "folder/name", as tf.io reads it. */
function isNear(value: unknown): value is string {
  if (typeof value !== "string" || value.length > 255) return false;
  const names = value.split("/");
  return names.length <= 2 && names.every(isPlainName);
}
