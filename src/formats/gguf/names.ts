import { LM_HEAD } from "../../model/parameters.js";

/** llama.cpp's names for the parts of a layer. */
const PARTS: Readonly<Record<string, string>> = {
  ln_1: "attn_norm",
  "attn/c_attn": "attn_qkv",
  "attn/c_proj": "attn_output",
  ln_2: "ffn_norm",
  "mlp/c_fc": "ffn_up",
  "mlp/c_proj": "ffn_down",
};

/**
 * The name of a parameter in a GGUF file: "model/h0/attn/c_attn/w" -> "blk.0.attn_qkv.weight".
 * Source: llama.cpp's gguf-py/gguf/tensor_mapping.py.
 */
export function ggufName(name: string): string {
  if (name === "model/wte") return "token_embd.weight";
  if (name === "model/wpe") return "position_embd.weight";
  if (name === LM_HEAD) return "output.weight";
  const [, layer, part, kind] = /^model\/(?:h(\d+)\/)?(\w+(?:\/c_\w+)?)\/([gbw])$/.exec(name) ?? [];
  const suffix = kind === "b" ? "bias" : "weight";
  return layer === undefined ? `output_norm.${suffix}` : `blk.${layer}.${PARTS[part]}.${suffix}`;
}

/** A parameter's shape in a GGUF file, where linear layers are transposed: [1, n_in, n_out] -> [n_out, n_in]. */
export function ggufShape(shape: readonly number[]): readonly number[] {
  return shape.length === 3 ? [shape[2], shape[1]] : shape;
}
