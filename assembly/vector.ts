/** Four float32 lanes: the arithmetic that every kernel shares. No Math.*: the same bits on every machine. */

/** a * b + c. Two roundings; one in the build with relaxed SIMD, where the processor can fuse them. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
}

/** The four lanes' sum, always in this order. */
// @ts-ignore: decorator
@inline
export function sum(a: v128): f32 {
  return (
    f32x4.extract_lane(a, 0) +
    f32x4.extract_lane(a, 1) +
    (f32x4.extract_lane(a, 2) + f32x4.extract_lane(a, 3))
  );
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
 * The constants of exp() and gelu() lie in memory: V8 would make each of them anew for every vector, by three
 * instructions, and would not join vectors that meet them. (Its place: below CONTROL_AT of pool.ts. Every thread's
 * instance writes the same values there when it starts.)
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
    12582912.0, // 1.5 * 2^23: what is added to it loses its fraction, and its last bits are the whole number's
    // GELU's: see gelu() and its slope in train/values.ts.
    0.044715,
    -1.5957691216057308,
    0.134145,
    1.5957691216057308,
  ],
  16,
);
/** What makes 1.5 * 2^23 + n the exponent of 2^n, once it is shifted into its place: 127 less the bits of 1.5 * 2^23. */
const EXPONENT = memory.data<i32>([127 - 0x4b400000], 4);

/** The constant of this number in all lanes. */
// @ts-ignore: decorator
@inline
function constant(i: usize): v128 {
  return v128.load_splat<f32>(CONSTANTS + (i << 2));
}

// @ts-ignore: decorator
@inline
export function one(): v128 {
  return constant(0);
}

/** 0.044715, -2 sqrt(2 / pi), 3 * 0.044715, 2 sqrt(2 / pi) */
// @ts-ignore: decorator
@inline
export function geluConstant(i: usize): v128 {
  return constant(13 + i);
}

/**
 * e^x, within 2e-7 of its value; exactly 0 below -87.
 * x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series to r^7, 2^n through the exponent's bits. Of
 * operations that V8 can join for two neighbouring vectors.
 */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const lowest = constant(7);
  const round = constant(12);
  const tiny = f32x4.lt(x, lowest);
  const y = f32x4.pmin(constant(8), f32x4.pmax(lowest, x));
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

/**
 * GELU by its tanh approximation (Hendrycks and Gimpel, arXiv 1606.08415), as openai/gpt-2 has it:
 * 0.5 x (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3).
 */
// @ts-ignore: decorator
@inline
export function gelu(x: v128): v128 {
  const cube = f32x4.mul(f32x4.mul(f32x4.mul(x, x), x), geluConstant(0));
  const minus2u = f32x4.mul(f32x4.add(x, cube), geluConstant(1));
  return f32x4.div(x, f32x4.add(one(), exp(minus2u)));
}
