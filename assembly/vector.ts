/**
 * Four float32 lanes: the arithmetic that every kernel shares. No Math.*; every multiplication followed by an addition
 * is one operation with one rounding. So the bits are the same on every machine with fused multiply-add, and the
 * same as from native kernels of any width.
 */

/** a * b + c with one rounding. (Relaxed SIMD: with two where the processor cannot fuse them; see isFused.) */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  return f32x4.relaxed_madd(a, b, c);
}

/** c - a * b, in the same way. */
// @ts-ignore: decorator
@inline
export function nmadd(a: v128, b: v128, c: v128): v128 {
  return f32x4.relaxed_nmadd(a, b, c);
}

/** Whether madd() rounds once: (1 + 2^-12)^2 - (1 + 2^-11) is then 2^-24, else 0. @param one 1, so that nothing is folded at compile time */
export function isFused(one: f32): bool {
  const x = f32x4.splat(one + 0.000244140625);
  return f32x4.extract_lane(madd(x, x, f32x4.splat(-one - 0.00048828125)), 0) != 0;
}

/**
 * Every sum along a row is 16 sums: element i is added to sum i mod 16, in ascending order, whatever the width of the
 * machine's vectors; then halves are added: i + 8, i + 4, i + 2, i + 1. @param a sums 0 to 3 @param b 4 to 7, ...
 */
// @ts-ignore: decorator
@inline
export function sum16(a: v128, b: v128, c: v128, d: v128): f32 {
  const four = f32x4.add(f32x4.add(a, c), f32x4.add(b, d));
  const two = f32x4.add(four, v128.shuffle<f32>(four, four, 2, 3, 0, 1));
  return f32x4.extract_lane(two, 0) + f32x4.extract_lane(two, 1);
}

/** The first `count` values at x, zeros after them. @param count 4 or more: all four; 0 or less: none */
export function part(x: usize, count: i32): v128 {
  if (count >= 4) return v128.load(x);
  let values = f32x4.splat(0);
  if (count > 0) values = v128.load32_zero(x);
  if (count > 1) values = v128.load_lane<f32>(x, values, 1, 4);
  if (count > 2) values = v128.load_lane<f32>(x, values, 2, 8);
  return values;
}

/** Ones in the first `count` lanes, as in part(). */
// @ts-ignore: decorator
@inline
export function lanes(count: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count));
}

/** Stores the first `count` lanes, as in part(). */
export function putPart(x: usize, values: v128, count: i32): void {
  if (count >= 4) return v128.store(x, values);
  if (count > 0) v128.store_lane<f32>(x, values, 0);
  if (count > 1) v128.store_lane<f32>(x, values, 1, 4);
  if (count > 2) v128.store_lane<f32>(x, values, 2, 8);
}

/** The largest of the four lanes. */
// @ts-ignore: decorator
@inline
export function largest(a: v128): f32 {
  return max<f32>(
    max<f32>(f32x4.extract_lane(a, 0), f32x4.extract_lane(a, 1)),
    max<f32>(f32x4.extract_lane(a, 2), f32x4.extract_lane(a, 3)),
  );
}

/**
 * The constants of exp() and the activations are kept in memory: V8 would rebuild each of them for every vector, with
 * three instructions. (They lie below CONTROL_AT of abi.ts. Every thread's instance writes the same values there when
 * it starts.)
 */
const CONSTANTS = memory.data<f32>(
  [
    1.0,
    0.5,
    // The Taylor series of e^r from r^7 to r^3.
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    -87.0, // e^-87 is just above the smallest normal float32
    88.0, // e^88 is just below the largest
    1.44269504088896341, // 1 / ln 2
    // -ln 2 in two parts, the first with trailing zero bits, so that x - n ln 2 loses nothing (Cody and Waite).
    -0.693359375,
    2.12194440054690583e-4,
    12582912.0, // 1.5 * 2^23: adding it rounds to a whole number, which is then in the last bits
    // activation.ts: OpenAI's GELU, 0.044715, -2 sqrt(2 / pi), 3 * 0.044715, 2 sqrt(2 / pi);
    0.044715,
    -1.5957691216057308,
    0.134145,
    1.5957691216057308,
    // SiLU's and quick GELU's factors in e^-x, and that of quick GELU's derivative;
    -1.0,
    -1.702,
    1.702,
    // the normal distribution: e^(-0.5 x^2), s, c9 to c1, 1 / sqrt(2 pi).
    -0.5,
    0.21,
    -0.07226832050331564,
    0.2866112061728086,
    -0.3366367998641952,
    0.35691991474271545,
    -0.09932081318049032,
    0.12728533293767003,
    0.06853641184364917,
    0.0851678390008958,
    0.083705226416392,
    0.3989422804014327,
  ],
  16,
);
/** Turns 1.5 * 2^23 + n into the exponent of 2^n, once shifted into place: 127 minus the bits of 1.5 * 2^23. */
const EXPONENT = memory.data<i32>([127 - 0x4b400000], 4);

/** A constant, by its number, in all lanes. */
// @ts-ignore: decorator
@inline
export function constant(i: usize): v128 {
  return v128.load_splat<f32>(CONSTANTS + (i << 2));
}

/** 1 in all lanes. */
// @ts-ignore: decorator
@inline
export function one(): v128 {
  return constant(0);
}

/**
 * e^x, within 2e-7 of its value; exactly 0 below -87; NaN of NaN.
 * x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series to r^7, 2^n through the exponent's bits.
 */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const lowest = constant(7);
  const round = constant(12);
  const tiny = f32x4.lt(x, lowest);
  const y = f32x4.pmin(f32x4.pmax(x, lowest), constant(8));
  const rounded = madd(y, constant(9), round);
  const n = f32x4.sub(rounded, round);
  let r = madd(n, constant(10), y);
  r = madd(n, constant(11), r);
  let p = madd(constant(2), r, constant(3));
  p = madd(p, r, constant(4));
  p = madd(p, r, constant(5));
  p = madd(p, r, constant(6));
  p = madd(p, r, constant(1));
  p = madd(p, r, one());
  p = madd(p, r, one());
  const power = i32x4.shl(i32x4.add(rounded, v128.load_splat<u32>(EXPONENT)), 23);
  return v128.andnot(f32x4.mul(p, power), tiny);
}
