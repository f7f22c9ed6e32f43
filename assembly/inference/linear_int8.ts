/**
 * y = x w + b with int8 weights (symmetric, one scale per output) and int16 activations (one scale per row).
 * Integer sums are exact, so they may be added in any order; each matrix has a limit on its activations so that no sum
 * can overflow.
 */
import { Mode, PANEL } from "../abi";
import { first, next } from "../threads";
import { largest } from "../vector";
import { finish, PANELS } from "./linear";
import { Linear } from "./model";

/** One step of int32 product sums: eight int8 weights (four outputs, two inputs) by one pair of inputs. */
// @ts-ignore: decorator
@inline
function dot(sum: v128, w: v128, x: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(w, x));
}

// @ts-ignore: decorator
@inline
function finish8(
  y: usize, b: usize, low: v128, high: v128, scale: usize, rowScale: v128, mode: Mode,
): void {
  finish(
    y, b,
    f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(low), rowScale), v128.load(scale)),
    f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(high), rowScale), v128.load(scale, 16)),
    mode,
  );
}

/**
 * Rounds one row to int16.
 * @param x [n] float32, readable to the next multiple of 4 @param q [n] int16, n even
 * @param n values; after an odd number of them, a zero is written
 * @param limit the largest integer to use
 * @returns the row's scale: x = q * scale
 */
export function quantizeActivations(x: usize, q: usize, n: u32, limit: f32): f32 {
  let top = f32x4.splat(0);
  const bytes = (<usize>n) << 2;
  const whole = bytes & ~15;
  for (let i: usize = 0; i < whole; i += 16) top = f32x4.max(top, f32x4.abs(v128.load(x + i)));
  let most = largest(top);
  for (let i = whole; i < bytes; i += 4) most = max<f32>(most, abs<f32>(load<f32>(x + i)));
  const inverse: f32 = most > 0 ? limit / most : 0;
  const s = f32x4.splat(inverse);
  const eights = bytes & ~31;
  for (let i: usize = 0; i < eights; i += 32) {
    const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + i), s)));
    const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + i, 16), s)));
    v128.store(q + (i >> 1), i16x8.narrow_i32x4_s(low, high));
  }
  for (let i = eights; i < bytes; i += 4) store<i16>(q + (i >> 1), <i16>nearest<f32>(load<f32>(x + i) * inverse));
  if (n & 1) store<i16>(q + (<usize>n << 1), 0);
  return most / limit;
}

function row1panels4(
  w: usize, x: usize, y: usize, pairs: u32, b: usize, scale: usize, rowScale: f32, mode: Mode,
): void {
  const size = (<usize>pairs) << 4;
  let w1 = w + size;
  let w2 = w1 + size;
  let w3 = w2 + size;
  const end = w1;
  const zero = i32x4.splat(0);
  let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
  while (w < end) {
    const s = v128.load_splat<i32>(x);
    a0 = dot(a0, v128.load_ext<i8>(w), s);
    a1 = dot(a1, v128.load_ext<i8>(w, 8), s);
    b0 = dot(b0, v128.load_ext<i8>(w1), s);
    b1 = dot(b1, v128.load_ext<i8>(w1, 8), s);
    c0 = dot(c0, v128.load_ext<i8>(w2), s);
    c1 = dot(c1, v128.load_ext<i8>(w2, 8), s);
    d0 = dot(d0, v128.load_ext<i8>(w3), s);
    d1 = dot(d1, v128.load_ext<i8>(w3, 8), s);
    x += 4;
    w += 16;
    w1 += 16;
    w2 += 16;
    w3 += 16;
  }
  const r = f32x4.splat(rowScale);
  finish8(y, b, a0, a1, scale, r, mode);
  finish8(y + 32, b ? b + 32 : 0, b0, b1, scale + 32, r, mode);
  finish8(y + 64, b ? b + 64 : 0, c0, c1, scale + 64, r, mode);
  finish8(y + 96, b ? b + 96 : 0, d0, d1, scale + 96, r, mode);
}

function row1panel1(
  w: usize, x: usize, y: usize, pairs: u32, b: usize, scale: usize, rowScale: f32, mode: Mode,
): void {
  const end = w + ((<usize>pairs) << 4);
  let a0 = i32x4.splat(0);
  let a1 = a0;
  while (w < end) {
    const s = v128.load_splat<i32>(x);
    a0 = dot(a0, v128.load_ext<i8>(w), s);
    a1 = dot(a1, v128.load_ext<i8>(w, 8), s);
    x += 4;
    w += 16;
  }
  finish8(y, b, a0, a1, scale, f32x4.splat(rowScale), mode);
}

/** Four rows by one panel. @param step bytes of two inputs: 16 as int8, or 32 for weights already widened to int16 */
// @ts-ignore: decorator
@inline
function rows4(
  w: usize, x: usize, xs: usize, y: usize, ys: usize, pairs: u32, b: usize, scale: usize, rowScale: usize,
  mode: Mode, step: usize,
): void {
  const end = w + <usize>pairs * step;
  let x1 = x + xs;
  let x2 = x1 + xs;
  let x3 = x2 + xs;
  const zero = i32x4.splat(0);
  let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
  while (w < end) {
    const w0 = step == INT16 ? v128.load(w) : v128.load_ext<i8>(w);
    const w1 = step == INT16 ? v128.load(w, 16) : v128.load_ext<i8>(w, 8);
    let s = v128.load_splat<i32>(x);
    a0 = dot(a0, w0, s);
    a1 = dot(a1, w1, s);
    s = v128.load_splat<i32>(x1);
    b0 = dot(b0, w0, s);
    b1 = dot(b1, w1, s);
    s = v128.load_splat<i32>(x2);
    c0 = dot(c0, w0, s);
    c1 = dot(c1, w1, s);
    s = v128.load_splat<i32>(x3);
    d0 = dot(d0, w0, s);
    d1 = dot(d1, w1, s);
    w += step;
    x += 4;
    x1 += 4;
    x2 += 4;
    x3 += 4;
  }
  finish8(y, b, a0, a1, scale, v128.load_splat<f32>(rowScale), mode);
  finish8(y + ys, b, b0, b1, scale, v128.load_splat<f32>(rowScale, 4), mode);
  finish8(y + 2 * ys, b, c0, c1, scale, v128.load_splat<f32>(rowScale, 8), mode);
  finish8(y + 3 * ys, b, d0, d1, scale, v128.load_splat<f32>(rowScale, 12), mode);
}

function rows4panel1(
  w: usize, x: usize, xs: usize, y: usize, ys: usize, pairs: u32, b: usize, scale: usize, rowScale: usize,
  mode: Mode,
): void {
  rows4(w, x, xs, y, ys, pairs, b, scale, rowScale, mode, INT8);
}

function rows4panel1int16(
  w: usize, x: usize, xs: usize, y: usize, ys: usize, pairs: u32, b: usize, scale: usize, rowScale: usize,
  mode: Mode,
): void {
  rows4(w, x, xs, y, ys, pairs, b, scale, rowScale, mode, INT16);
}

const INT8: usize = 16;
const INT16: usize = 32;

/** int8 [pairs, 8, 2] -> int16 */
function toInt16(w: usize, to: usize, pairs: u32): void {
  const end = w + ((<usize>pairs) << 4);
  for (; w < end; w += 16, to += 32) {
    v128.store(to, v128.load_ext<i8>(w));
    v128.store(to, v128.load_ext<i8>(w, 8), 16);
  }
}

/** From this many rows on, a panel is widened to int16 once for all of them. */
const ROWS_INT16: u32 = 16;
const ROWS_IN_CACHE: u32 = 128;

/**
 * Like linear_float32().
 * @param x [rows, n_in] int16, n_in rounded up to even @param rowScale [rows] @param own scratch for a panel as int16
 */
export function linear_int8(
  l: Linear, rows: u32, x: usize, rowScale: usize, y: usize, ys: u32, mode: Mode, own: usize,
): void {
  const pairs = (l.n_in + 1) >> 1;
  const xb = (<usize>pairs) << 2;
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
          const w = l.w + (<usize>p * pairs << 4);
          const b = l.b ? l.b + (<usize>p << 5) : 0;
          const int16 = fours - top >= ROWS_INT16;
          if (int16) toInt16(w, own, pairs);
          for (let r = <usize>top; r < fours; r += 4)
            if (int16)
              rows4panel1int16(
                own, x + r * xb, xb, y + r * yb + (<usize>p << 5), yb, pairs, b, l.scale + (<usize>p << 5),
                rowScale + (r << 2), mode,
              );
            else
              rows4panel1(
                w, x + r * xb, xb, y + r * yb + (<usize>p << 5), yb, pairs, b, l.scale + (<usize>p << 5),
                rowScale + (r << 2), mode,
              );
        }
      for (let r = <usize>fours; r < bottom; r++) {
        const s = load<f32>(rowScale + (r << 2));
        let p = begin;
        if (end - begin == PANELS) {
          row1panels4(
            l.w + (<usize>p * pairs << 4), x + r * xb, y + r * yb + (<usize>p << 5), pairs,
            l.b ? l.b + (<usize>p << 5) : 0, l.scale + (<usize>p << 5), s, mode,
          );
          p = end;
        }
        for (; p < end; p++)
          row1panel1(
            l.w + (<usize>p * pairs << 4), x + r * xb, y + r * yb + (<usize>p << 5), pairs,
            l.b ? l.b + (<usize>p << 5) : 0, l.scale + (<usize>p << 5), s, mode,
          );
      }
    }
  }
}
