/** The product's inner loop: one left panel by one right panel, kept in registers while k goes by. */
import { madd } from "../vector";
import { LEFT, LEFT_BYTES, RIGHT_BYTES } from "./panels";

/**
 * c = a b, or c += a b, for LEFT rows by RIGHT columns of c. Every value is one sum over k in ascending order, from
 * zero; both builds give the same bits.
 * @param a left panel [k, LEFT] @param b right panel [k, RIGHT] @param k at least 1
 * @param step bytes from row to row of c
 */
// @ts-ignore: decorator
@inline
export function tile(a: usize, b: usize, k: u32, c: usize, step: usize, add: u32): void {
  if (WIDE) tile6x16(a, b, k, c, step, add);
  else tile5x8(a, b, k, c, step, add);
}

/**
 * Steps of k in one go: a right panel of them stays in a core's first cache, beside a left one.
 * src/engines/cpu/training/operations.ts has the same number.
 */
export const DEPTH: u32 = 256;

/**
 * All left panels by one right panel, however long: c = a b, in stretches of k.
 * @param a left panels [panels, k, LEFT] @param panel bytes from one to the next @param b right panel [k, RIGHT]
 * @param c [panels LEFT, RIGHT]
 */
export function tileColumn(a: usize, panel: usize, panels: u32, b: usize, k: u32, c: usize): void {
  for (let done: u32 = 0; done < k; done += DEPTH) {
    const count = min(DEPTH, k - done);
    for (let i: u32 = 0; i < panels; i++)
      tile(
        a + i * panel + <usize>done * LEFT_BYTES, b + <usize>done * RIGHT_BYTES, count, c + i * LEFT * RIGHT_BYTES,
        RIGHT_BYTES, <u32>(done > 0),
      );
  }
}

/**
 * 5 by 8. V8 puts a step's loads before its arithmetic: ten sums, the four vectors that are loaded and one that is
 * spread are what its 15 registers hold; a larger block would be slower (in Node 20 by half), and so is one whose
 * rows are loaded one by one.
 */
export function tile5x8(a: usize, b: usize, k: u32, c: usize, step: usize, add: u32): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero, e0 = zero, e1 = zero;
  const end = b + <usize>k * 32;
  do {
    const w0 = v128.load(b);
    const w1 = v128.load(b, 16);
    const four = v128.load(a);
    let x = v128.shuffle<f32>(four, four, 0, 0, 0, 0);
    a0 = madd(w0, x, a0);
    a1 = madd(w1, x, a1);
    x = v128.shuffle<f32>(four, four, 1, 1, 1, 1);
    b0 = madd(w0, x, b0);
    b1 = madd(w1, x, b1);
    x = v128.shuffle<f32>(four, four, 2, 2, 2, 2);
    c0 = madd(w0, x, c0);
    c1 = madd(w1, x, c1);
    x = v128.shuffle<f32>(four, four, 3, 3, 3, 3);
    d0 = madd(w0, x, d0);
    d1 = madd(w1, x, d1);
    x = v128.load_splat<f32>(a, 16);
    e0 = madd(w0, x, e0);
    e1 = madd(w1, x, e1);
    a += 20;
    b += 32;
  } while (b < end);
  finish2(c, a0, a1, add);
  finish2(c + step, b0, b1, add);
  finish2(c + 2 * step, c0, c1, add);
  finish2(c + 3 * step, d0, d1, add);
  finish2(c + 4 * step, e0, e1, add);
}

// @ts-ignore: decorator
@inline
function finish2(c: usize, v0: v128, v1: v128, add: u32): void {
  if (add) {
    v0 = f32x4.add(v128.load(c), v0);
    v1 = f32x4.add(v128.load(c, 16), v1);
  }
  v128.store(c, v0);
  v128.store(c, v1, 16);
}

/**
 * 6 by 16, for vectors of eight values: V8 joins each pair of these neighbouring vectors of four into one, where it
 * is told to and the processor has AVX2 (src/engines/cpu/runtime/widen.ts); twelve sums, two vectors and one value spread
 * fill its registers then. It looks for them where they are stored: side by side, nothing loaded between them.
 */
export function tile6x16(a: usize, b: usize, k: u32, c: usize, step: usize, add: u32): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  let d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  let e0 = zero, e1 = zero, e2 = zero, e3 = zero;
  let f0 = zero, f1 = zero, f2 = zero, f3 = zero;
  const end = b + <usize>k * 64;
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
    x = v128.load_splat<f32>(a, 20);
    f0 = madd(w0, x, f0);
    f1 = madd(w1, x, f1);
    f2 = madd(w2, x, f2);
    f3 = madd(w3, x, f3);
    a += 24;
    b += 64;
  } while (b < end);
  if (add) {
    addTo(c, a0, a1, a2, a3);
    addTo(c + step, b0, b1, b2, b3);
    addTo(c + 2 * step, c0, c1, c2, c3);
    addTo(c + 3 * step, d0, d1, d2, d3);
    addTo(c + 4 * step, e0, e1, e2, e3);
    addTo(c + 5 * step, f0, f1, f2, f3);
  } else {
    put(c, a0, a1, a2, a3);
    put(c + step, b0, b1, b2, b3);
    put(c + 2 * step, c0, c1, c2, c3);
    put(c + 3 * step, d0, d1, d2, d3);
    put(c + 4 * step, e0, e1, e2, e3);
    put(c + 5 * step, f0, f1, f2, f3);
  }
}

// @ts-ignore: decorator
@inline
function put(c: usize, v0: v128, v1: v128, v2: v128, v3: v128): void {
  v128.store(c, v0);
  v128.store(c, v1, 16);
  v128.store(c, v2, 32);
  v128.store(c, v3, 48);
}

// @ts-ignore: decorator
@inline
function addTo(c: usize, v0: v128, v1: v128, v2: v128, v3: v128): void {
  const y0 = v128.load(c);
  const y1 = v128.load(c, 16);
  const y2 = v128.load(c, 32);
  const y3 = v128.load(c, 48);
  put(c, f32x4.add(y0, v0), f32x4.add(y1, v1), f32x4.add(y2, v2), f32x4.add(y3, v3));
}
