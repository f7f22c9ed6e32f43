/** Sums of e^x in float32, and upper bounds of their errors. */
import { exp2, log2e } from "./exp";
import { Source, at, exponents, logits, pad, weights, wide } from "./memory";

/** After sumOfRest(): the sum, the sum of each times its exponent, and upper bounds of their errors. */
export let rest: f64 = 0;
export let error: f64 = 0;
export let restMoment: f64 = 0;
export let momentError: f64 = 0;

/** (value - most) * factor of four values of an array, in float32. */
// @ts-ignore: decorator
@inline
function exponentsAt<T>(place: usize, most: v128, factor: v128): v128 {
  if (sizeof<T>() == 4) return f32x4.mul(f32x4.sub(v128.load(place), most), factor);
  const first = f32x4.demote_f64x2_zero(f64x2.sub(v128.load(place), most));
  const second = f32x4.demote_f64x2_zero(f64x2.sub(v128.load(place, 16), most));
  return f32x4.mul(v128.shuffle<f32>(first, second, 0, 1, 4, 5), factor);
}

// @ts-ignore: decorator
@inline
function expAt<T>(place: usize, most: v128, factor: v128): v128 {
  return exp2(exponentsAt<T>(place, most, factor));
}

/** The sum of 2^((value - most) * factor) over the values from i to `end`, in sixteens. */
// @ts-ignore: decorator
@inline
function sumFrom<T>(x: usize, i: i32, end: i32, most: v128, factor: v128): f64 {
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  const last = at<T>(x, end);
  for (let from = at<T>(x, i); from < last; from += 16 * sizeof<T>()) {
    const sum = f32x4.add(
      f32x4.add(expAt<T>(from, most, factor), expAt<T>(from + 4 * sizeof<T>(), most, factor)),
      f32x4.add(
        expAt<T>(from + 8 * sizeof<T>(), most, factor),
        expAt<T>(from + 12 * sizeof<T>(), most, factor),
      ),
    );
    low = f64x2.add(low, f64x2.promote_low_f32x4(sum));
    high = f64x2.add(high, f64x2.promote_low_f32x4(v128.shuffle<f32>(sum, sum, 2, 3, 2, 3)));
  }
  const both = f64x2.add(low, high);
  return f64x2.extract_lane(both, 0) + f64x2.extract_lane(both, 1);
}

/**
 * Each e^x is right to (2.6 + 1.62 |x|) 2^-23 of itself: x is rounded three times and its factor has an error; then there
 * are the polynomial's roundings and those of adding four. From x = -16 on that is below 29 2^-23; below, all n of them
 * are wrong by less than n e^-16 144 2^-23 together. The bounds leave room for the roundings of exact sums, n 2^-53 each.
 */
function errorOf(sum: f64, n: i32): f64 {
  return sum * (30.0 / 8388608.0) + <f64>n * 2e-12;
}

// @ts-ignore: decorator
@inline
function factorOf(temperature: f64): v128 {
  return f32x4.splat(<f32>(<f64>log2e() / temperature));
}

export function sumOfExp(n: i32, max: f32): f64 {
  pad<f32>(logits, n, -Infinity);
  return sumFrom<f32>(logits, 0, n, f32x4.splat(max), factorOf(1));
}

export function sumOfRest(source: i32, n: i32, max: f64, temperature: f64, bound: f64): void {
  if (source == Source.LOGITS) restOf<f32>(logits, n, max, temperature, bound);
  else restOf<f64>(wide(source), n, max, temperature, bound);
}

/** Ones for those of four values that are below the bound. */
// @ts-ignore: decorator
@inline
function isBelow<T>(place: usize, bound: v128): v128 {
  const first = v128.lt<T>(v128.load(place), bound);
  if (sizeof<T>() == 4) return first;
  return v128.shuffle<i32>(first, v128.lt<T>(v128.load(place, 16), bound), 0, 2, 4, 6);
}

function restOf<T>(x: usize, n: i32, max: f64, temperature: f64, bound: f64): void {
  pad<T>(x, n, <T>-Infinity);
  const most = v128.splat<T>(<T>max);
  const least = v128.splat<T>(<T>bound);
  const factor = factorOf(temperature);
  const lowest = f32x4.splat(-126); // where 2^y is 0, and y may be -Infinity
  let sum = f64x2.splat(0);
  let product = f64x2.splat(0);
  for (let i = 0; i < n; i += 8) {
    const place = at<T>(x, i);
    const next = at<T>(x, i + 4);
    const y = exponentsAt<T>(place, most, factor);
    const z = exponentsAt<T>(next, most, factor);
    const e = v128.and(exp2(y), isBelow<T>(place, least));
    const f = v128.and(exp2(z), isBelow<T>(next, least));
    const both = f32x4.add(e, f);
    const products = f32x4.add(
      f32x4.mul(e, f32x4.pmax(lowest, y)),
      f32x4.mul(f, f32x4.pmax(lowest, z)),
    );
    sum = f64x2.add(sum, f64x2.promote_low_f32x4(both));
    sum = f64x2.add(sum, f64x2.promote_low_f32x4(v128.shuffle<f32>(both, both, 2, 3, 2, 3)));
    product = f64x2.add(product, f64x2.promote_low_f32x4(products));
    product = f64x2.add(product, f64x2.promote_low_f32x4(v128.shuffle<f32>(products, products, 2, 3, 2, 3)));
  }
  rest = f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
  error = errorOf(rest, n);
  restMoment = (f64x2.extract_lane(product, 0) + f64x2.extract_lane(product, 1)) * 0.6931471805599453;
  // As errorOf(), with x's own roundings and the product's.
  momentError = restMoment * (-33.0 / 8388608.0) + <f64>n * 4e-11;
}

/** Values whose sum is kept together by drawRoughly(). */
const BLOCK: i32 = 256;

export function drawRoughly(source: i32, n: i32, max: f64, temperature: f64, u: f64): i32 {
  return source == Source.LOGITS
    ? drawOf<f32>(logits, n, max, temperature, u)
    : drawOf<f64>(wide(source), n, max, temperature, u);
}

function drawOf<T>(x: usize, n: i32, max: f64, temperature: f64, u: f64): i32 {
  pad<T>(x, n, <T>-Infinity);
  const most = v128.splat<T>(<T>max);
  const factor = factorOf(temperature);
  let sum: f64 = 0;
  for (let i = 0; i < n; i += BLOCK) {
    sum += sumFrom<T>(x, i, min(i + BLOCK, n), most, factor);
    store<f64>(at<f64>(weights, i / BLOCK), sum);
  }
  const target = u * sum;
  const margin = 2 * errorOf(sum, n);
  let block = 0;
  while (block * BLOCK < n && !(load<f64>(at<f64>(weights, block)) > target)) block++;
  sum = block == 0 ? 0 : load<f64>(at<f64>(weights, block - 1));
  const end = min((block + 1) * BLOCK, n);
  for (let i = block * BLOCK; i < end; i += 4) {
    v128.store(exponents, expAt<T>(at<T>(x, i), most, factor));
    for (let j = 0; j < 4; j++) {
      const before = sum;
      sum += <f64>load<f32>(at<f32>(exponents, j));
      if (sum > target) return before <= target - margin && sum > target + margin ? i + j : -1;
    }
  }
  return -1;
}
