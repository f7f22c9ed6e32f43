import { endianness } from "node:os";
import { parameterShapes, sizeOf } from "../../model/parameters.js";
import type { WeightSource } from "../../model/weight-source.js";
import { option, UserError } from "../../system/errors.js";
import { writeInPieces } from "../../system/files.js";
import { encodeFloat16 } from "../floats.js";
import { CHUNK_VALUES } from "../tensor-chunks.js";
import { ggufName, ggufShape } from "./names.js";
import { encodeQ8_0, Q8_0 } from "./quantized.js";
import { transpose } from "./transpose.js";
import { ggufHead, type ModelToDescribe, padding } from "./write-head.js";

/** How matrices are stored; vectors and position embeddings are always float32, as in llama.cpp. */
export const GGUF_DTYPES = ["float32", "float16", "q8_0"] as const;
export type GgufDtype = (typeof GGUF_DTYPES)[number];

/** How a GGUF file is written. */
export interface WriteGgufOptions {
  readonly dtype: GgufDtype;
  /** The model's name in the file. */
  readonly name: string;
  /** Replaces an existing file. */
  readonly overwrite: boolean;
  /** Called from time to time with the bytes written so far, and their total. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** For each type: the file type, the tensor type, values per block and bytes per block. */
const STORED = {
  float32: { file: 0, type: 0, values: 1, bytes: 4 },
  float16: { file: 1, type: 1, values: 1, bytes: 2 },
  q8_0: { file: 7, type: 8, values: Q8_0.values, bytes: Q8_0.bytes },
} as const;

/** A tensor to write. */
interface Written {
  readonly name: string;
  /** OpenAI's. */
  readonly shape: readonly number[];
  readonly dtype: GgufDtype;
  readonly bytes: number;
}

/**
 * Writes a model as one GGUF file for llama.cpp and ollama, with the names and shapes of llama.cpp's
 * convert_hf_to_gguf.py. Holds one tensor in memory; the file is written beside its place and renamed.
 * @param model its parameters under OpenAI's names
 * @returns the bytes of its tensors
 * @throws UserError when the source or the disk fails, or a value is too large for the type; the signal's reason on an
 *   abort
 */
export async function writeGguf(
  path: string,
  model: ModelToDescribe & { readonly source: WeightSource },
  { dtype, name, overwrite, onProgress, signal }: WriteGgufOptions,
): Promise<number> {
  if (endianness() !== "LE") throw new UserError("GGUF can be written on little-endian machines only");
  const tensors = [...parameterShapes(model.hparams)].map(([each, shape]) => written(each, shape, dtype));
  const total = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  const described = tensors.map((tensor) => ({
    name: ggufName(tensor.name),
    shape: ggufShape(tensor.shape),
    type: STORED[tensor.dtype].type,
    bytes: tensor.bytes,
  }));
  const head = ggufHead(model, name, STORED[dtype].file, described);
  await writeInPieces(path, overwrite, async (append) => {
    await append(head);
    let done = 0;
    for (const tensor of tensors) {
      for await (const piece of encoded(model.source, tensor)) {
        signal?.throwIfAborted();
        await append(piece);
        done += piece.length;
        onProgress?.(done, total);
      }
      await append(padding(tensor.bytes));
    }
    signal?.throwIfAborted();
  });
  return total;
}

/** How a parameter is stored: in the wanted type if it is a matrix whose rows are whole blocks. */
function written(name: string, shape: readonly number[], wanted: GgufDtype): Written {
  const isPlain = shape.length === 1 || name === "model/wpe";
  const isWhole = (ggufShape(shape).at(-1) as number) % Q8_0.values === 0;
  const dtype = isPlain ? "float32" : wanted === "q8_0" && !isWhole ? "float16" : wanted;
  const { values, bytes } = STORED[dtype];
  return { name, shape, dtype, bytes: (sizeOf(shape) / values) * bytes };
}

/** A tensor's bytes in the file, several whole rows at a time; each chunk is valid until the next is requested. */
async function* encoded(source: WeightSource, { name, shape, dtype }: Written): AsyncGenerator<Uint8Array> {
  const values = new Float32Array(sizeOf(shape));
  await source.read(name, values);
  const isLinear = shape.length === 3; // [1, n_in, n_out] -> [n_out, n_in]
  const width = ggufShape(shape).at(-1) as number;
  const n_rows = values.length / width;
  const atOnce = Math.min(n_rows, Math.max(1, Math.floor(CHUNK_VALUES / width)));
  const transposed = new Float32Array(isLinear ? atOnce * width : 0);
  const room = new Uint8Array(((atOnce * width) / STORED[dtype].values) * STORED[dtype].bytes);
  for (let first = 0; first < n_rows; first += atOnce) {
    const n = Math.min(atOnce, n_rows - first);
    let rows = values.subarray(first * width, (first + n) * width);
    if (isLinear) {
      rows = transposed.subarray(0, n * width);
      transpose(values.subarray(first), n_rows, rows, width, width, n);
    }
    yield encode(name, rows, dtype, room);
  }
}

/** The values' bytes in the type: at the start of `room`, or for float32 a view of the values. */
function encode(name: string, values: Float32Array, dtype: GgufDtype, room: Uint8Array): Uint8Array {
  if (dtype === "float32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const target = room.subarray(0, (values.length / STORED[dtype].values) * STORED[dtype].bytes);
  const beyond =
    dtype === "q8_0"
      ? encodeQ8_0(values, target)
      : encodeFloat16(values, new Uint16Array(target.buffer, target.byteOffset, values.length));
  if (beyond < 0) return target;
  throw new UserError(`${name} holds ${values[beyond]}, which is too large for ${dtype}`, {
    next: `choose ${option("dtype", "float32")}`,
  });
}
