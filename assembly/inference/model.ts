/** The records in memory. TypeScript writes them (src/engines/cpu/runtime/records.ts), 4 bytes per field. */
import { Mode, WeightType } from "../abi";

/** y = x w + b. Weights are in panels of 8 outputs: [n_out / 8, n_in, 8], or int8 [n_out / 8, n_in / 2, 8, 2]. */
@unmanaged
export class Linear {
  n_in: u32;
  /** Rounded up to whole panels. */
  n_out: u32;
  w: usize;
  /** [n_out], or 0 */
  b: usize;
  /** int8: [n_out] float32, one per output; else 0 */
  scale: usize;
  /** int8: the largest activation with which no sum can overflow. */
  limit: f32;
  type: WeightType;
}

/** LayerNorm's gain and bias: [n_embd] each. */
@unmanaged
export class Norm {
  g: usize;
  b: usize;
  /** Added to the variance. */
  epsilon: f32;
}

/** One layer's parameters. */
@unmanaged
export class Layer {
  ln_1: Norm;
  c_attn: Linear;
  c_proj: Linear;
  ln_2: Norm;
  c_fc: Linear;
  c_proj_mlp: Linear;
  /** What the attention scores are multiplied by. */
  attention_scale: f32;
}

/** Up to four rows of one sequence with consecutive positions. */
@unmanaged
export class Block {
  /** First row of qkv. */
  row: u32;
  count: u32;
  /** The first row's position. */
  position: u32;
  /** Addresses of the sequence's pages. */
  pages: usize;
  /** First row of the output. */
  out: u32;
}

/** A model, and the pass to compute with it. */
@unmanaged
export class Model {
  n_embd: u32;
  n_head: u32;
  n_layer: u32;
  /** Addresses of the layers. */
  layers: usize;
  wte: Linear;
  wpe: usize;
  ln_f: Norm;
  /** The output matrix: wte, unless the model has one of its own. */
  lm_head: Linear;
  /** Of the MLPs. */
  activation: Mode;
  /** Values from row to row of x and a; of qkv; of hidden. */
  embd_stride: u32;
  qkv_stride: u32;
  hidden_stride: u32;
  /** Bytes of a page from layer to layer. */
  page_layer: u32;
  x: usize;
  last_x: usize;
  a: usize;
  qkv: usize;
  hidden: usize;
  /** int8: rows as int16, and one float32 scale per row. */
  quantized: usize;
  row_scale: usize;
  /** Each thread's scratch memory, and its size. */
  own: usize;
  own_bytes: u32;
  /** This pass: [rows] each. */
  rows: u32;
  ids: usize;
  positions: usize;
  row_pages: usize;
  blocks: usize;
  n_blocks: u32;
  /** Blocks of the rows whose logits are wanted, and how many rows those are. */
  last_blocks: usize;
  n_last_blocks: u32;
  n_last: u32;
  logits: usize;
  /** 0: the pass begins with the tokens; else x is the input of layer resume_at - 1, and it begins there. */
  resume_at: u32;
}

/** A matrix to be packed from the checkpoint's order into panels. */
@unmanaged
export class Pack {
  from: usize;
  to: usize;
  /** int8: [n_out] scales, written here. */
  scale: usize;
  n_in: u32;
  /** Not rounded up. */
  n_out: u32;
  /** int8: the largest sum of an output's absolute integer weights; only ever raised. */
  most: u32;
  /** Each thread's scratch memory, and its size. */
  own: usize;
  own_bytes: u32;
}
