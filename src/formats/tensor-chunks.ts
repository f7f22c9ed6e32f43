import { sizeOf } from "../model/parameters.js";
import type { WeightSource } from "../model/weight-source.js";

/** Values converted or written at a time. */
export const CHUNK_VALUES = 1 << 18;

/** Some values of a tensor, as bytes of little-endian float32. */
export interface TensorChunk {
  readonly name: string;
  /** Valid until the next chunk is asked for. */
  readonly bytes: Uint8Array;
  /** Whether it is the tensor's last chunk. */
  readonly isLast: boolean;
}

/** The names of a source's tensors in byte order, as TensorFlow's checkpoints have them. */
export function namesInOrder(source: WeightSource): string[] {
  return [...source.tensors.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/**
 * Reads tensors in turn and yields their values in chunks, holding one tensor in memory.
 * A tensor without values gives one empty chunk.
 * @throws the signal's reason on an abort; whatever the source throws
 */
export async function* tensorChunks(
  source: WeightSource,
  names: readonly string[],
  signal?: AbortSignal,
): AsyncGenerator<TensorChunk> {
  const sizes = names.map((name) => sizeOf(source.tensors.get(name)?.shape ?? []));
  const memory = new Float32Array(sizes.reduce((most, size) => Math.max(most, size), 0));
  for (const [i, name] of names.entries()) {
    signal?.throwIfAborted();
    const values = memory.subarray(0, sizes[i]);
    await source.read(name, values);
    for (let first = 0; first === 0 || first < values.length; first += CHUNK_VALUES) {
      const chunk = values.subarray(first, first + CHUNK_VALUES);
      const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      yield { name, bytes, isLast: first + CHUNK_VALUES >= values.length };
      signal?.throwIfAborted();
    }
  }
}
