/** The product's inner loop: one left panel by one right panel, kept in registers while k runs. */
import { madd } from "../vector";
import { LEFT, LEFT_BYTES, RIGHT_BYTES } from "./panels";

/** Steps of k in one go: a right panel this deep stays in a core's L1 cache, with a left one. */
export const DEPTH: u32 = 256;

/**
 * All left panels by one right panel of any depth: c = a b. Each range of k continues the sums of the one before.
 * @param a left panels [panels, k, LEFT] @param panel bytes from one to the next @param b right panel [k, RIGHT]
 * @param c [panels LEFT, RIGHT]
 */
export function tileColumn(a: usize, panel: usize, panels: u32, b: usize, k: u32, c: usize): void {
  for (let done: u32 = 0; done < k; done += DEPTH) {
    const count = min(DEPTH, k - done);
    for (let i: u32 = 0; i < panels; i++)
      tile(
        a + i * panel + <usize>done * LEFT_BYTES, b + <usize>done * RIGHT_BYTES, count, c + i * LEFT * RIGHT_BYTES,
        <u32>(done > 0),
      );
  }
}

/**
 * c = a b, or c += a b, for 5 rows by 8 columns of c. Every value is one sum over k in ascending order, starting from
 * zero or from c.
 *
 * V8 schedules a step's loads before its arithmetic: its 15 registers hold ten sums, the four loaded vectors and one
 * splat. A larger block would be slower (in Node 20, half as fast), and so would be one whose rows are loaded one by
 * one.
 * @param a left panel [k, LEFT] @param b right panel [k, RIGHT] @param k at least 1
 * @param c [LEFT, RIGHT], RIGHT_BYTES from row to row
 */
export function tile(a: usize, b: usize, k: u32, c: usize, add: u32): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero, e0 = zero, e1 = zero;
  if (add) {
    a0 = v128.load(c);
    a1 = v128.load(c, 16);
    b0 = v128.load(c, 32);
    b1 = v128.load(c, 48);
    c0 = v128.load(c, 64);
    c1 = v128.load(c, 80);
    d0 = v128.load(c, 96);
    d1 = v128.load(c, 112);
    e0 = v128.load(c, 128);
    e1 = v128.load(c, 144);
  }
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
  v128.store(c, a0);
  v128.store(c, a1, 16);
  v128.store(c, b0, 32);
  v128.store(c, b1, 48);
  v128.store(c, c0, 64);
  v128.store(c, c1, 80);
  v128.store(c, d0, 96);
  v128.store(c, d1, 112);
  v128.store(c, e0, 128);
  v128.store(c, e1, 144);
}
