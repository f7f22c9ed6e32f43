// The .bin files of karpathy/llm.c: a header of 256 int32 numbers, then the tensors in PyTorch's layout, each kind for all
// layers together. Source: its train_gpt2.py and train_gpt2.cu.
import { type Hparams, isModelSize } from "../model/hparams.js";
import { sizeOf } from "../model/parameters.js";
import { BFLOAT16, FLOAT32 } from "./floats.js";
import { FormatError, type OpenFile } from "./open-file.js";
import type { StoredTensor } from "./stored-tensors.js";

export const LLMC_MAGIC = 20240326;
const HEAD_BYTES = 1024;

/** A file's sizes, and its tensors under Hugging Face's names. */
export interface LlmcFile {
  /** n_vocab is the number of the embedding's rows. */
  readonly hparams: Hparams;
  readonly n_tokens: number;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/**
 * Reads the header of an llm.c file of version 3 (float32) or 5 (bfloat16).
 * @throws FormatError when it has another version, or sizes that do not match the file's
 */
export async function readLlmc(file: OpenFile): Promise<LlmcFile> {
  const head = await file.bytes(0, HEAD_BYTES);
  const [magic, version, n_ctx, n_tokens, n_layer, n_head, n_embd, rows] = new Int32Array(
    head.buffer,
    head.byteOffset,
    8,
  );
  if (magic !== LLMC_MAGIC) throw new FormatError("it is not an llm.c file");
  const type = version === 3 ? FLOAT32 : version === 5 ? BFLOAT16 : undefined;
  if (!type)
    throw new FormatError(`its version is ${version}; only 3 (float32) and 5 (bfloat16) can be read`);
  const sizes = [n_ctx, n_tokens, n_layer, n_head, n_embd, rows];
  const fits = sizes.every(isModelSize) && n_embd % n_head === 0 && rows >= n_tokens;
  // Checked before tensors are listed: a damaged header may claim millions of layers.
  const values = (rows + n_ctx + 2) * n_embd + n_layer * (12 * n_embd * n_embd + 13 * n_embd);
  if (!fits || HEAD_BYTES + values * type.width !== file.size) {
    throw new FormatError(`its sizes (${sizes.join(", ")}) do not fit its ${file.size} bytes`);
  }
  const tensors = new Map<string, StoredTensor>();
  let offset = HEAD_BYTES;
  const add = (name: string, shape: readonly number[]): void => {
    const length = sizeOf(shape) * type.width;
    tensors.set(name, { shape, dtype: type.name, type, ranges: [{ path: file.path, offset, length }] });
    offset += length;
  };
  const addLayers = (name: string, ...shape: readonly number[]): void => {
    for (let layer = 0; layer < n_layer; layer++) add(`h.${layer}.${name}`, shape);
  };
  add("wte.weight", [rows, n_embd]);
  add("wpe.weight", [n_ctx, n_embd]);
  addLayers("ln_1.weight", n_embd);
  addLayers("ln_1.bias", n_embd);
  addLayers("attn.c_attn.weight", 3 * n_embd, n_embd);
  addLayers("attn.c_attn.bias", 3 * n_embd);
  addLayers("attn.c_proj.weight", n_embd, n_embd);
  addLayers("attn.c_proj.bias", n_embd);
  addLayers("ln_2.weight", n_embd);
  addLayers("ln_2.bias", n_embd);
  addLayers("mlp.c_fc.weight", 4 * n_embd, n_embd);
  addLayers("mlp.c_fc.bias", 4 * n_embd);
  addLayers("mlp.c_proj.weight", n_embd, 4 * n_embd);
  addLayers("mlp.c_proj.bias", n_embd);
  add("ln_f.weight", [n_embd]);
  add("ln_f.bias", [n_embd]);
  return { hparams: { n_vocab: rows, n_ctx, n_embd, n_head, n_layer }, n_tokens, tensors };
}
