import { endianness } from "node:os";
import { sizeOf, type WeightSource } from "../../model/hparams.js";
import { UserError } from "../../system/errors.js";
import { makeFolder } from "../../system/files.js";
import { FileSet } from "../file-set.js";
import { namesInOrder, tensorPieces } from "../tensor-chunks.js";

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
