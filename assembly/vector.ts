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

const LOWEST: f32 = -87.0; // e^-87 is just above the smallest normal float32
const HIGHEST: f32 = 88.0; // e^88 is just below the largest
/** ln 2 in two parts, the first with trailing zero bits, so that x - n ln 2 loses nothing (Cody and Waite). */
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -2.12194440054690583e-4;

/**
 * e^x, within 2e-7 of its value; exactly 0 below -87.
 * x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series to r^7, 2^n through the exponent's bits.
 */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const tiny = f32x4.lt(x, f32x4.splat(LOWEST));
  const y = f32x4.pmin(f32x4.splat(HIGHEST), f32x4.pmax(f32x4.splat(LOWEST), x));
  const n = f32x4.nearest(f32x4.mul(y, f32x4.splat(1.44269504088896341)));
  let r = f32x4.sub(y, f32x4.mul(n, f32x4.splat(LN2_HIGH)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(LN2_LOW)));
  let p = f32x4.splat(1.0 / 5040.0);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0 / 720.0));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0 / 120.0));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0 / 24.0));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0 / 6.0));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.5));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return v128.andnot(f32x4.mul(p, power), tiny);
}

/**
 * GELU by its tanh approximation (Hendrycks and Gimpel, arXiv 1606.08415), as openai/gpt-2 has it:
 * 0.5 x (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3).
 */
// @ts-ignore: decorator
@inline
export function gelu(x: v128): v128 {
  const cube = f32x4.mul(f32x4.mul(f32x4.mul(x, x), x), f32x4.splat(0.044715));
  const minus2u = f32x4.mul(f32x4.add(x, cube), f32x4.splat(-1.5957691216057308));
  return f32x4.div(x, f32x4.add(f32x4.splat(1.0), exp(minus2u)));
}
