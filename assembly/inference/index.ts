/** GPT-2 in WebAssembly: the program that every thread runs. The slow parts are kernels, which it imports. */
import { InferenceJob as Job, Mode, ROWS_ALONE, WeightType } from "../abi";
import {
  barrier, beginJob, endJob, first, isBehind, jobArgument, jobKind, leaveJob, next, nextJob, threadIndex,
} from "../threads";
import { Block, Layer, Linear, Model, Norm, Pack } from "./model";

export { join } from "../threads";

// @ts-ignore: decorator
@external("kernels", "embed")
declare function embed(m: Model): void;
// @ts-ignore: decorator
@external("kernels", "prepare")
declare function prepare(
  l: Linear, norm: Norm | null, rows: u32, x: usize, xs: u32, a: usize, as: u32, q: usize, scales: usize, alone: u32,
): void;
// @ts-ignore: decorator
@external("kernels", "linear_float32")
declare function linear_float32(l: Linear, rows: u32, x: usize, xs: u32, y: usize, ys: u32, mode: Mode): void;
// @ts-ignore: decorator
@external("kernels", "linear_float16")
declare function linear_float16(l: Linear, rows: u32, x: usize, xs: u32, y: usize, ys: u32, mode: Mode): void;
// @ts-ignore: decorator
@external("kernels", "linear_int8")
declare function linear_int8(
  l: Linear, rows: u32, x: usize, scales: usize, y: usize, ys: u32, mode: Mode, own: usize,
): void;
// @ts-ignore: decorator
@external("kernels", "remember")
declare function remember(m: Model, layer: u32): void;
// @ts-ignore: decorator
@external("kernels", "attention")
declare function attention(m: Model, layer: u32, blocks: usize, n_blocks: u32): void;
// @ts-ignore: decorator
@external("kernels", "pack_linear")
declare function pack_linear(p: Pack): void;
// @ts-ignore: decorator
@external("kernels", "pack_rows")
declare function pack_rows(p: Pack): void;
// @ts-ignore: decorator
@external("kernels", "quantize_linear")
declare function quantize_linear(p: Pack): void;
// @ts-ignore: decorator
@external("kernels", "quantize_rows")
declare function quantize_rows(p: Pack): void;
// @ts-ignore: decorator
@external("kernels", "pack_linear_float16")
declare function pack_linear_float16(p: Pack): void;
// @ts-ignore: decorator
@external("kernels", "pack_rows_float16")
declare function pack_rows_float16(p: Pack): void;

/** A worker's life: one job after another, until it is told to stop. */
export function serve(seen: i32): void {
  for (;;) {
    seen = nextJob(seen);
    if (jobKind() == Job.STOP) return;
    work();
    leaveJob();
  }
}

/** The current job, on its first thread. */
export function run(): void {
  work();
  endJob();
}

/** This thread's share of the current job. */
function work(): void {
  beginJob();
  const kind = jobKind();
  const p = jobArgument();
  if (kind == Job.FORWARD) return forward(changetype<Model>(p));
  if (kind == Job.PACK_LINEAR) pack_linear(changetype<Pack>(p));
  else if (kind == Job.PACK_ROWS) pack_rows(changetype<Pack>(p));
  else if (kind == Job.QUANTIZE_LINEAR) quantize_linear(changetype<Pack>(p));
  else if (kind == Job.QUANTIZE_ROWS) quantize_rows(changetype<Pack>(p));
  else if (kind == Job.PACK_LINEAR_FLOAT16) pack_linear_float16(changetype<Pack>(p));
  else if (kind == Job.PACK_ROWS_FLOAT16) pack_rows_float16(changetype<Pack>(p));
  barrier();
}

/** Bytes of a row of n values as int16, in whole cache lines. */
// @ts-ignore: decorator
@inline
function int16Bytes(n: u32): u32 {
  return (2 * n + 4 + 63) & ~63;
}

/**
 * Bytes of scratch memory a thread needs to prepare rows alone: their scales, the rows as int16, their LayerNorm.
 * @param widest the most inputs of any matrix
 */
export function prepared_bytes(n_embd: u32, widest: u32): u32 {
  return 64 + ROWS_ALONE * (int16Bytes(widest) + 4 * (n_embd + 8));
}

/** y = x w + b for all rows, of LayerNorm(x) if there is a norm; ends with a barrier. */
function apply(
  m: Model, l: Linear, norm: Norm | null, rows: u32, x: usize, xs: u32, y: usize, ys: u32, mode: Mode,
): void {
  const own = m.own + <usize>threadIndex() * m.own_bytes;
  const alone = rows <= ROWS_ALONE;
  const q = alone ? own + 64 : m.quantized;
  const scales = alone ? own : m.row_scale;
  const a = alone ? own + 64 + ROWS_ALONE * int16Bytes(l.n_in) : m.a;
  const int8 = l.type == WeightType.INT8;
  if (int8 || norm !== null) {
    if (!isBehind()) prepare(l, norm, rows, x, xs, a, m.embd_stride, q, scales, alone);
    if (!alone) barrier();
    if (norm !== null) {
      x = a;
      xs = m.embd_stride;
    }
  }
  if (int8) linear_int8(l, rows, q, scales, y, ys, mode, own);
  else if (l.type == WeightType.FLOAT16) linear_float16(l, rows, x, xs, y, ys, mode);
  else linear_float32(l, rows, x, xs, y, ys, mode);
  barrier();
}

/** One pass of all rows through the network: keys and values into the cache, logits of the last rows. */
function forward(m: Model): void {
  const es = m.embd_stride;
  if (m.resume_at == 0) {
    embed(m);
    barrier(); // x [rows, n_embd]
  }
  let rows = m.rows;
  let x = m.x;
  let blocks = m.blocks;
  let n_blocks = m.n_blocks;
  for (let i: u32 = max(m.resume_at, 1) - 1; i < m.n_layer; i++) {
    const l = changetype<Layer>(m.layers + <usize>i * offsetof<Layer>());
    apply(m, l.c_attn, l.ln_1, rows, x, es, m.qkv, m.qkv_stride, Mode.STORE); // qkv [rows, 3 n_embd]
    remember(m, i);
    if (i + 1 == m.n_layer) {
      // From here on only the rows that logits are wanted for.
      blocks = m.last_blocks;
      n_blocks = m.n_last_blocks;
      rows = m.n_last;
      x = m.last_x;
    }
    barrier();
    if (i + 1 == m.n_layer) {
      takeLast(m);
      barrier();
    }
    if (!rows) return;
    attention(m, i, blocks, n_blocks); // a [rows, n_embd]
    barrier();
    apply(m, l.c_proj, null, rows, m.a, es, x, es, Mode.ADD);
    apply(m, l.c_fc, l.ln_2, rows, x, es, m.hidden, m.hidden_stride, m.activation); // hidden [rows, n_inner]
    apply(m, l.c_proj_mlp, null, rows, m.hidden, m.hidden_stride, x, es, Mode.ADD);
  }
  apply(m, m.lm_head, m.ln_f, rows, x, es, m.logits, m.lm_head.n_out, Mode.STORE); // logits [rows, n_vocab]
}

/** Copies the rows of x that are still needed to last_x: this thread's share; a barrier must follow. */
function takeLast(m: Model): void {
  const bytes = <usize>m.embd_stride << 2;
  for (let unit = first(m.n_last_blocks); unit >= 0; unit = next()) {
    const block = changetype<Block>(m.last_blocks + <usize>unit * offsetof<Block>());
    memory.copy(m.last_x + <usize>block.out * bytes, m.x + <usize>block.row * bytes, <usize>block.count * bytes);
  }
}
