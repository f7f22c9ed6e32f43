/**
 * y = x w + b in float32. In every kernel here, each output has one accumulator and adds its products in input order:
 * the bits are the same for any number of rows, threads or panels side by side.
 */
import { Mode, PANEL } from "../abi";
import { activate, geluNew } from "../activation";
import { first, next } from "../threads";
import { madd } from "../vector";
import { Linear } from "./model";

/** Panels that one unit of work reads side by side. */
export const PANELS: u32 = 4;

/** Stores a row's 8 sums of one panel. @param b the panel's bias, or 0 */
// @ts-ignore: decorator
@inline
export function finish(y: usize, b: usize, low: v128, high: v128, mode: Mode): void {
  if (b) {
    low = f32x4.add(low, v128.load(b));
    high = f32x4.add(high, v128.load(b, 16));
  }
  if (mode == Mode.ADD) {
    v128.store(y, f32x4.add(v128.load(y), low));
    v128.store(y, f32x4.add(v128.load(y, 16), high), 16);
    return;
  }
  if (mode == Mode.GELU_NEW) {
    low = geluNew(low);
    high = geluNew(high);
  } else if (mode != Mode.STORE) {
    low = activate(low, mode);
    high = activate(high, mode);
  }
  v128.store(y, low);
  v128.store(y, high, 16);
}

/** One row by four panels: memory delivers most when several streams are read at once. */
function row1panels4(w: usize, x: usize, y: usize, n_in: u32, b: usize, mode: Mode): void {
  const size = (<usize>n_in) << 5;
  let w1 = w + size;
  let w2 = w1 + size;
  let w3 = w2 + size;
  const end = w1;
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
  while (w < end) {
    const s = v128.load_splat<f32>(x);
    a0 = madd(v128.load(w), s, a0);
    a1 = madd(v128.load(w, 16), s, a1);
    b0 = madd(v128.load(w1), s, b0);
    b1 = madd(v128.load(w1, 16), s, b1);
    c0 = madd(v128.load(w2), s, c0);
    c1 = madd(v128.load(w2, 16), s, c1);
    d0 = madd(v128.load(w3), s, d0);
    d1 = madd(v128.load(w3, 16), s, d1);
    x += 4;
    w += 32;
    w1 += 32;
    w2 += 32;
    w3 += 32;
  }
  finish(y, b, a0, a1, mode);
  finish(y + 32, b ? b + 32 : 0, b0, b1, mode);
  finish(y + 64, b ? b + 64 : 0, c0, c1, mode);
  finish(y + 96, b ? b + 96 : 0, d0, d1, mode);
}

/** One row by one panel. */
function row1panel1(w: usize, x: usize, y: usize, n_in: u32, b: usize, mode: Mode): void {
  const end = w + ((<usize>n_in) << 5);
  let a0 = f32x4.splat(0);
  let a1 = a0;
  while (w < end) {
    const s = v128.load_splat<f32>(x);
    a0 = madd(v128.load(w), s, a0);
    a1 = madd(v128.load(w, 16), s, a1);
    x += 4;
    w += 32;
  }
  finish(y, b, a0, a1, mode);
}

/** Four rows by one panel: each weight is loaded once for four rows. xs, ys: bytes from row to row. */
function rows4panel1(
  w: usize, x: usize, xs: usize, y: usize, ys: usize, n_in: u32, b: usize, mode: Mode,
): void {
  const end = w + ((<usize>n_in) << 5);
  let x1 = x + xs;
  let x2 = x1 + xs;
  let x3 = x2 + xs;
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
  while (w < end) {
    const w0 = v128.load(w);
    const w1 = v128.load(w, 16);
    let s = v128.load_splat<f32>(x);
    a0 = madd(w0, s, a0);
    a1 = madd(w1, s, a1);
    s = v128.load_splat<f32>(x1);
    b0 = madd(w0, s, b0);
    b1 = madd(w1, s, b1);
    s = v128.load_splat<f32>(x2);
    c0 = madd(w0, s, c0);
    c1 = madd(w1, s, c1);
    s = v128.load_splat<f32>(x3);
    d0 = madd(w0, s, d0);
    d1 = madd(w1, s, d1);
    w += 32;
    x += 4;
    x1 += 4;
    x2 += 4;
    x3 += 4;
  }
  finish(y, b, a0, a1, mode);
  finish(y + ys, b, b0, b1, mode);
  finish(y + 2 * ys, b, c0, c1, mode);
  finish(y + 3 * ys, b, d0, d1, mode);
}

/** Rows whose inputs are read again for each panel: few enough to stay in a core's own cache. */
const ROWS_IN_CACHE: u32 = 64;

/**
 * This thread's share of y = x w + b for all rows; a barrier must follow.
 * @param x [rows, n_in], xs values from row to row @param y [rows, n_out], ys values from row to row
 */
export function linear_float32(l: Linear, rows: u32, x: usize, xs: u32, y: usize, ys: u32, mode: Mode): void {
  const n_in = l.n_in;
  const xb = (<usize>xs) << 2;
  const yb = (<usize>ys) << 2;
  const panels = l.n_out / PANEL;
  for (let unit = first((panels + PANELS - 1) / PANELS); unit >= 0; unit = next()) {
    const begin = <u32>unit * PANELS;
    const end = min(begin + PANELS, panels);
    for (let top: u32 = 0; top < rows; top += ROWS_IN_CACHE) {
      const bottom = min(top + ROWS_IN_CACHE, rows);
      const fours = top + ((bottom - top) & ~3);
      if (fours > top)
        for (let p = begin; p < end; p++) {
          const w = l.w + (<usize>p * n_in << 5);
          const b = l.b ? l.b + (<usize>p << 5) : 0;
          for (let r = <usize>top; r < fours; r += 4)
            rows4panel1(w, x + r * xb, xb, y + r * yb + (<usize>p << 5), yb, n_in, b, mode);
        }
      for (let r = <usize>fours; r < bottom; r++) {
        let p = begin;
        if (end - begin == PANELS) {
          row1panels4(
            l.w + (<usize>p * n_in << 5), x + r * xb, y + r * yb + (<usize>p << 5), n_in,
            l.b ? l.b + (<usize>p << 5) : 0, mode,
          );
          p = end;
        }
        for (; p < end; p++)
          row1panel1(
            l.w + (<usize>p * n_in << 5), x + r * xb, y + r * yb + (<usize>p << 5), n_in,
            l.b ? l.b + (<usize>p << 5) : 0, mode,
          );
      }
    }
  }
}
