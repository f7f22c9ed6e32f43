/** GPT-2 in WebAssembly: the program that every thread runs. */
import { attend, remember } from "./attention";
import { ADD, GELU, linear, rows4panel1, rows4panels2, STORE } from "./linear";
import { Layer, Linear, Model, Norm } from "./model";
import { embed, layerNorm } from "./norm";
import { Pack, packLinear, packRows, quantizeLinear, quantizeRows } from "./pack";
import { linearQuantized, quantizeRow } from "./quantized";
import { barrier, first, jobArgument, jobKind, join, next, nextJob, threadIndex } from "../threads";

/** The kernels for several rows: to be tried (src/engines/cpu/runtime/trial.ts). */
export { join, rows4panel1, rows4panels2 };

/** Jobs. src/engines/cpu/runtime/pool.ts has the same numbers. */
const STOP: i32 = 0;
const FORWARD: i32 = 1;
const PACK_LINEAR: i32 = 2;
const PACK_ROWS: i32 = 3;
const QUANTIZE_LINEAR: i32 = 4;
const QUANTIZE_ROWS: i32 = 5;

/** A worker's life: one job after the other, until it is told to stop. */
export function serve(seen: i32): void {
  for (;;) {
    seen = nextJob(seen);
    if (jobKind() == STOP) return;
    run();
  }
}

/** This thread's part of the current job. */
export function run(): void {
  const kind = jobKind();
  const p = jobArgument();
  if (kind == FORWARD) forward(changetype<Model>(p));
  else if (kind == PACK_LINEAR) packLinear(changetype<Pack>(p));
  else if (kind == PACK_ROWS) packRows(changetype<Pack>(p));
  else if (kind == QUANTIZE_LINEAR) quantizeLinear(changetype<Pack>(p));
  else if (kind == QUANTIZE_ROWS) quantizeRows(changetype<Pack>(p));
}

/** Up to so many rows, every thread prepares all of them for itself: cheaper than to meet at a barrier. */
const ROWS_ALONE: u32 = 2;

/**
 * What a matrix reads: LayerNorm of x (norm given) or x as it is, and in int8 rounded to int16.
 * @returns the rows' address; in float32 with the distance xs of x where there is no norm, else embd_stride
 */
function prepare(m: Model, l: Linear, norm: Norm | null, rows: u32, x: usize, xs: u32): usize {
  const quantized = l.scale != 0;
  if (!quantized && norm === null) return x;
  const alone = rows <= ROWS_ALONE;
  const n = l.n_in;
  const bytes = ((<usize>n + 1) >> 1) << 2; // of a row as int16
  const own = m.own + <usize>threadIndex() * m.own_bytes;
  const q = alone ? own + 64 : m.quantized;
  const scales = alone ? own : m.row_scale;
  const a = alone ? own + 64 + (quantized ? <usize>ROWS_ALONE * bytes + 64 : 0) : m.a;
  for (let r = alone ? 0 : first(rows); r >= 0; ) {
    const row = <usize>r;
    let from = x + (row * xs << 2);
    if (norm !== null) {
      layerNorm(norm, from, a + (row * m.embd_stride << 2), n);
      from = a + (row * m.embd_stride << 2);
    }
    if (quantized) store<f32>(scales + (row << 2), quantizeRow(from, q + row * bytes, n, l.limit));
    if (alone) r = <u32>r + 1 < rows ? r + 1 : -1;
    else r = next();
  }
  if (!alone) barrier();
  return quantized ? q : a;
}

/** y = prepared(x) w + b for all rows, and a barrier. */
function apply(
  m: Model, l: Linear, norm: Norm | null, rows: u32, x: usize, xs: u32, y: usize, ys: u32, mode: i32,
): void {
  const input = prepare(m, l, norm, rows, x, xs);
  if (l.scale) {
    const scales = rows <= ROWS_ALONE ? input - 64 : m.row_scale;
    linearQuantized(l, rows, input, scales, y, ys, mode, m.own + <usize>threadIndex() * m.own_bytes);
  } else linear(l, rows, input, norm === null ? xs : m.embd_stride, y, ys, mode, m.wide);
}

/** One pass of all rows through the network: keys and values to the cache, logits of the last rows. */
function forward(m: Model): void {
  const es = m.embd_stride;
  for (let unit = first(m.rows); unit >= 0; unit = next()) {
    const row = <usize>unit << 2;
    embed(m, load<u32>(m.ids + row), load<u32>(m.positions + row), m.x + row * es);
  }
  barrier(); // x [rows, n_embd]
  let rows = m.rows;
  let x = m.x;
  let blocks = m.blocks;
  let n_blocks = m.n_blocks;
  for (let i: u32 = 0; i < m.n_layer; i++) {
    const l = changetype<Layer>(m.layers + <usize>i * offsetof<Layer>());
    apply(m, l.c_attn, l.ln_1, rows, x, es, m.qkv, m.qkv_stride, STORE); // qkv [rows, 3 n_embd]
    remember(m, i);
    if (i + 1 == m.n_layer) {
      // From here on only the rows that logits are wanted for.
      blocks = m.last_blocks;
      n_blocks = m.n_last_blocks;
      rows = m.n_last;
      x = m.last_x;
      takeLast(m);
    }
    barrier();
    if (!rows) return;
    attend(m, i, blocks, n_blocks); // a [rows, n_embd]
    barrier();
    apply(m, l.c_proj, null, rows, m.a, es, x, es, ADD);
    apply(m, l.c_fc, l.ln_2, rows, x, es, m.hidden, m.hidden_stride, GELU); // hidden [rows, 4 n_embd]
    apply(m, l.c_proj_mlp, null, rows, m.hidden, m.hidden_stride, x, es, ADD);
  }
  apply(m, m.wte, m.ln_f, rows, x, es, m.logits, m.wte.n_out, STORE); // logits [rows, n_vocab]
}

/** Copies the rows of x that go on to the end: the first thread does, it is little. */
function takeLast(m: Model): void {
  if (threadIndex() != 0) return;
  const bytes = <usize>m.embd_stride << 2;
  let block = m.last_blocks;
  for (let i: u32 = 0; i < m.n_last_blocks; i++) {
    const row = load<u32>(block);
    const count = load<u32>(block, 4);
    memory.copy(m.last_x + <usize>load<u32>(block, 16) * bytes, m.x + <usize>row * bytes, <usize>count * bytes);
    block += 20;
  }
}
