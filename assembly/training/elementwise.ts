/**
 * Elementwise operations, sums over rows, and embeddings: each thread its share; a barrier must follow. Arrays are
 * padded to a multiple of 16 values.
 */
import { Mode } from "../abi";
import { first, next } from "../threads";

/** What an operation reads and writes; each function says which fields it uses. */
@unmanaged
export class Values {
  /** Values, or columns of a row. */
  n: u32;
  /** Rows; 1 where x is one long row. */
  rows: u32;
  x: usize;
  y: usize;
  z: usize;
  scale: f32;
  activation: Mode;
}

/** Values per unit: 16 KiB. */
const UNIT: u32 = 4096;

/** Columns per unit. */
const COLUMNS: u32 = 32;

/** y += the sum of x over its rows, in order. x [rows, n], y [n] */
export function bias_backward(p: Values): void {
  for (let unit = first((p.n + COLUMNS - 1) / COLUMNS); unit >= 0; unit = next()) {
    const column = <u32>unit * COLUMNS;
    sumOfColumns(p, column, min(COLUMNS, p.n - column));
  }
}

function sumOfColumns(p: Values, column: u32, count: u32): void {
  const bytes = <usize>p.n << 2;
  const at = <usize>column << 2;
  let x = p.x + at;
  const end = x + p.rows * bytes;
  const to = p.y + at;
  if (count == COLUMNS) {
    const zero = f32x4.splat(0);
    let a = zero, b = zero, c = zero, d = zero, e = zero, f = zero, g = zero, h = zero;
    for (; x < end; x += bytes) {
      a = f32x4.add(a, v128.load(x));
      b = f32x4.add(b, v128.load(x, 16));
      c = f32x4.add(c, v128.load(x, 32));
      d = f32x4.add(d, v128.load(x, 48));
      e = f32x4.add(e, v128.load(x, 64));
      f = f32x4.add(f, v128.load(x, 80));
      g = f32x4.add(g, v128.load(x, 96));
      h = f32x4.add(h, v128.load(x, 112));
    }
    v128.store(to, f32x4.add(v128.load(to), a));
    v128.store(to, f32x4.add(v128.load(to, 16), b), 16);
    v128.store(to, f32x4.add(v128.load(to, 32), c), 32);
    v128.store(to, f32x4.add(v128.load(to, 48), d), 48);
    v128.store(to, f32x4.add(v128.load(to, 64), e), 64);
    v128.store(to, f32x4.add(v128.load(to, 80), f), 80);
    v128.store(to, f32x4.add(v128.load(to, 96), g), 96);
    v128.store(to, f32x4.add(v128.load(to, 112), h), 112);
    return;
  }
  for (let i: usize = 0; i < count; i++) {
    let s: f32 = 0;
    for (let value = x + (i << 2); value < end; value += bytes) s += load<f32>(value);
    store<f32>(to + (i << 2), load<f32>(to + (i << 2)) + s);
  }
}

/** y = scale x. x, y [n], y may be x */
export function scale(p: Values): void {
  const factor = f32x4.splat(p.scale);
  for (let unit = first((p.n + UNIT - 1) / UNIT); unit >= 0; unit = next()) {
    const last = <usize>min(<u32>unit * UNIT + UNIT, p.n) << 2;
    for (let i = (<usize>unit * UNIT) << 2; i < last; i += 16)
      v128.store(p.y + i, f32x4.mul(v128.load(p.x + i), factor));
  }
}

/** y += x. x, y [n] */
export function residual(p: Values): void {
  for (let unit = first((p.n + UNIT - 1) / UNIT); unit >= 0; unit = next()) {
    const last = <usize>min(<u32>unit * UNIT + UNIT, p.n) << 2;
    for (let i = (<usize>unit * UNIT) << 2; i < last; i += 16)
      v128.store(p.y + i, f32x4.add(v128.load(p.y + i), v128.load(p.x + i)));
  }
}

/** y = x, or zeros where x is 0 (no address). [n] */
export function copy(p: Values): void {
  const part: u32 = 1 << 16;
  for (let unit = first((p.n + part - 1) / part); unit >= 0; unit = next()) {
    const at = (<usize>unit * part) << 2;
    const bytes = <usize>min(part, p.n - <u32>unit * part) << 2;
    if (p.x) memory.copy(p.y + at, p.x + at, bytes);
    else memory.fill(p.y + at, 0, bytes);
  }
}

/** The embedding of a batch, or its gradient. */
@unmanaged
export class Embedding {
  rows: u32;
  /** Rows of a sequence: positions are row % t. */
  t: u32;
  n: u32;
  /** [rows] */
  ids: usize;
  /** [n_vocab, n], [n_ctx, n], [rows, n]; in embedding_backward() all three are gradients */
  wte: usize;
  wpe: usize;
  x: usize;
}

/** x = wte[id] + wpe[position]. ids [rows] -> x [rows, n] */
export function embedding_forward(p: Embedding): void {
  const bytes = <usize>p.n << 2;
  for (let unit = first(p.rows); unit >= 0; unit = next()) {
    const row = <usize>unit;
    const token = p.wte + <usize>load<u32>(p.ids + (row << 2)) * bytes;
    addVectors(token, p.wpe + (row % p.t) * bytes, p.x + row * bytes, 0, p.n);
  }
}

/** wte[id] += x, wpe[position] += x, rows in order: each thread has its own columns. x [rows, n] */
export function embedding_backward(p: Embedding): void {
  const bytes = <usize>p.n << 2;
  for (let unit = first((p.n + COLUMNS - 1) / COLUMNS); unit >= 0; unit = next()) {
    const begin = <u32>unit * COLUMNS;
    const end = min(begin + COLUMNS, p.n);
    for (let row: usize = 0; row < p.rows; row++) {
      const x = p.x + row * bytes;
      const token = p.wte + <usize>load<u32>(p.ids + (row << 2)) * bytes;
      const position = p.wpe + (row % p.t) * bytes;
      addVectors(x, token, token, begin, end);
      addVectors(x, position, position, begin, end);
    }
  }
}

/** z = x + y, values begin to end */
function addVectors(x: usize, y: usize, z: usize, begin: u32, end: u32): void {
  let i = <usize>begin << 2;
  const last = <usize>end << 2;
  for (; i + 16 <= last; i += 16) v128.store(z + i, f32x4.add(v128.load(x + i), v128.load(y + i)));
  for (; i < last; i += 4) store<f32>(z + i, load<f32>(x + i) + load<f32>(y + i));
}
