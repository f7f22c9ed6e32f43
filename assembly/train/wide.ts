/**
 * The product's inner loop for vectors of eight values: V8 joins each pair of these neighbouring vectors of four
 * into one, where it is told to and the processor has AVX2 (src/engines/wasm/support.ts). Elsewhere tile() of
 * product.ts is faster; both give the same bits.
 */
import { madd } from "../vector";
import { LEFT_BYTES, WIDE_BYTES } from "./panels";

// @ts-ignore: decorator
@inline
function finish(c: usize, v0: v128, v1: v128, v2: v128, v3: v128): void {
  v128.store(c, v0);
  v128.store(c, v1, 16);
  v128.store(c, v2, 32);
  v128.store(c, v3, 48);
}

// @ts-ignore: decorator
@inline
function finishSum(c: usize, v0: v128, v1: v128, v2: v128, v3: v128): void {
  v128.store(c, f32x4.add(v128.load(c), v0));
  v128.store(c, f32x4.add(v128.load(c, 16), v1), 16);
  v128.store(c, f32x4.add(v128.load(c, 32), v2), 32);
  v128.store(c, f32x4.add(v128.load(c, 48), v3), 48);
}

/**
 * 5 rows by 16 columns of C over k, at least 1.
 * @param a left panel [k, 5] @param b right panel [k, 16] @param step bytes from row to row of c
 * @param bias 16 values, or 0
 */
export function tileWide(a: usize, b: usize, k: u32, c: usize, step: usize, bias: usize, add: u32): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  let e0 = zero, e1 = zero, e2 = zero, e3 = zero;
  const end = b + <usize>k * WIDE_BYTES;
  do {
    const w0 = v128.load(b);
    const w1 = v128.load(b, 16);
    const w2 = v128.load(b, 32);
    const w3 = v128.load(b, 48);
    let x = v128.load_splat<f32>(a);
    a0 = madd(w0, x, a0);
    a1 = madd(w1, x, a1);
    a2 = madd(w2, x, a2);
    a3 = madd(w3, x, a3);
    x = v128.load_splat<f32>(a, 4);
    b0 = madd(w0, x, b0);
    b1 = madd(w1, x, b1);
    b2 = madd(w2, x, b2);
    b3 = madd(w3, x, b3);
    x = v128.load_splat<f32>(a, 8);
    c0 = madd(w0, x, c0);
    c1 = madd(w1, x, c1);
    c2 = madd(w2, x, c2);
    c3 = madd(w3, x, c3);
    x = v128.load_splat<f32>(a, 12);
    d0 = madd(w0, x, d0);
    d1 = madd(w1, x, d1);
    d2 = madd(w2, x, d2);
    d3 = madd(w3, x, d3);
    x = v128.load_splat<f32>(a, 16);
    e0 = madd(w0, x, e0);
    e1 = madd(w1, x, e1);
    e2 = madd(w2, x, e2);
    e3 = madd(w3, x, e3);
    a += LEFT_BYTES;
    b += WIDE_BYTES;
  } while (b < end);
  if (bias) {
    const y0 = v128.load(bias);
    const y1 = v128.load(bias, 16);
    const y2 = v128.load(bias, 32);
    const y3 = v128.load(bias, 48);
    a0 = f32x4.add(a0, y0);
    a1 = f32x4.add(a1, y1);
    a2 = f32x4.add(a2, y2);
    a3 = f32x4.add(a3, y3);
    b0 = f32x4.add(b0, y0);
    b1 = f32x4.add(b1, y1);
    b2 = f32x4.add(b2, y2);
    b3 = f32x4.add(b3, y3);
    c0 = f32x4.add(c0, y0);
    c1 = f32x4.add(c1, y1);
    c2 = f32x4.add(c2, y2);
    c3 = f32x4.add(c3, y3);
    d0 = f32x4.add(d0, y0);
    d1 = f32x4.add(d1, y1);
    d2 = f32x4.add(d2, y2);
    d3 = f32x4.add(d3, y3);
    e0 = f32x4.add(e0, y0);
    e1 = f32x4.add(e1, y1);
    e2 = f32x4.add(e2, y2);
    e3 = f32x4.add(e3, y3);
  }
  if (add) {
    finishSum(c, a0, a1, a2, a3);
    c += step;
    finishSum(c, b0, b1, b2, b3);
    c += step;
    finishSum(c, c0, c1, c2, c3);
    c += step;
    finishSum(c, d0, d1, d2, d3);
    c += step;
    finishSum(c, e0, e1, e2, e3);
  } else {
    finish(c, a0, a1, a2, a3);
    c += step;
    finish(c, b0, b1, b2, b3);
    c += step;
    finish(c, c0, c1, c2, c3);
    c += step;
    finish(c, d0, d1, d2, d3);
    c += step;
    finish(c, e0, e1, e2, e3);
  }
}
