/**
 * e^x for x <= 0, twice: in float64 as expNegative() of src/system/exact-math.ts, which tells how, and in float32.
 * The constants lie in memory, each as often as a vector has lanes: V8 would rebuild them for every vector.
 */
import { CONSTANTS } from "./memory";

// Their places, as src/sampling/kernels/vector.ts puts them there: two float64 each, then four float32 each.
const HALF: usize = 0;
const LOG2E: usize = 1;
const LN2_HIGH: usize = 2;
const LN2_LOW: usize = 3;
/** 1/13! to 1/2!, 1, 1. */
const TERMS: usize = 4;
/** 2^52: a whole number that is added to it stands in the lowest bits. */
const WHOLE: usize = 18;
/** The whole number that stands for 2^0 in the exponent's bits, plus the bits of 2^52. */
const BIAS: usize = 19;
const NORMAL_FROM: usize = 20;

const FLOAT_LOG2E: usize = 21;
/** 1.5 * 2^23: what is added to it is rounded to a whole number, in the lowest bits. */
const FLOAT_WHOLE: usize = 22;
/** The polynomial of 2^f from its highest term on. */
const FLOAT_TERMS: usize = 23;
const FLOAT_LOWEST: usize = 29;

// @ts-ignore: decorator
@inline
function constant(place: usize): v128 {
  return v128.load(CONSTANTS + 16 * place);
}

/** 2^52, twice. */
// @ts-ignore: decorator
@inline
export function whole(): v128 {
  return constant(WHOLE);
}

// @ts-ignore: decorator
@inline
function next(sum: v128, r: v128, term: usize): v128 {
  return f64x2.add(f64x2.mul(sum, r), constant(TERMS + term));
}

/** e^r for |r| <= ln(2) / 2. */
// @ts-ignore: decorator
@inline
function series(r: v128): v128 {
  let sum = next(constant(TERMS), r, 1);
  sum = next(sum, r, 2);
  sum = next(sum, r, 3);
  sum = next(sum, r, 4);
  sum = next(sum, r, 5);
  sum = next(sum, r, 6);
  sum = next(sum, r, 7);
  sum = next(sum, r, 8);
  sum = next(sum, r, 9);
  sum = next(sum, r, 10);
  sum = next(sum, r, 11);
  sum = next(sum, r, 12);
  return next(sum, r, 13);
}

/** e^x, two at a time. */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const k = f64x2.floor(f64x2.sub(constant(HALF), f64x2.mul(x, constant(LOG2E)))); // x = -k ln 2 + r
  const r = f64x2.add(
    f64x2.add(x, f64x2.mul(k, constant(LN2_HIGH))),
    f64x2.mul(k, constant(LN2_LOW)),
  );
  const sum = series(r);
  const exponent = i64x2.sub(constant(BIAS), f64x2.add(k, constant(WHOLE)));
  const value = f64x2.mul(sum, i64x2.shl(exponent, 52));
  if (i64x2.all_true(f64x2.ge(x, constant(NORMAL_FROM)))) return value;
  const first = small(f64x2.extract_lane(x, 0), f64x2.extract_lane(sum, 0), f64x2.extract_lane(k, 0));
  const second = small(f64x2.extract_lane(x, 1), f64x2.extract_lane(sum, 1), f64x2.extract_lane(k, 1));
  return f64x2.replace_lane(f64x2.splat(first), 1, second);
}

/** sum * 2^-k, where it may be too small for a normal number: 0 from where no double is left. */
function small(x: f64, sum: f64, k: f64): f64 {
  if (!(x >= -745.2)) return 0;
  if (k <= 1022) return sum * reinterpret<f64>((1023 - <u64>k) << 52);
  return sum * reinterpret<f64>((<u64>1) << (1074 - min(<u64>k, 1074)));
}

// @ts-ignore: decorator
@inline
function nextFloat(sum: v128, r: v128, term: usize): v128 {
  return f32x4.add(f32x4.mul(sum, r), constant(FLOAT_TERMS + term));
}

/** 2^y in float32, four at a time, as exp2Float() of src/system/exact-math.ts. */
// @ts-ignore: decorator
@inline
export function exp2(y: v128): v128 {
  const shifted = f32x4.add(y, constant(FLOAT_WHOLE));
  const f = f32x4.sub(y, f32x4.sub(shifted, constant(FLOAT_WHOLE)));
  let sum = nextFloat(constant(FLOAT_TERMS), f, 1);
  sum = nextFloat(sum, f, 2);
  sum = nextFloat(sum, f, 3);
  sum = nextFloat(sum, f, 4);
  sum = nextFloat(sum, f, 5);
  const power = i32x4.shl(i32x4.add(shifted, i32x4.splat(127)), 23);
  return v128.andnot(f32x4.mul(sum, power), f32x4.lt(y, constant(FLOAT_LOWEST)));
}

/** log2(e) in float32. */
// @ts-ignore: decorator
@inline
export function log2e(): f32 {
  return load<f32>(CONSTANTS + 16 * FLOAT_LOG2E);
}
