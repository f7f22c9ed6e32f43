/** Weights from logits, and what is kept of them. */
import { exp, whole } from "./exp";
import { Source, at, bins, exponents, ids, logits, pad, places, weights, wide } from "./memory";

/** The sum of the weights, in order. */
export let total: f64 = 0;
/** The sum of the weights, each times its exponent, in order. */
export let moment: f64 = 0;
/** The least exponent whose weight is above 0. */
export let lowest: f64 = 0;
export function weigh(
  source: i32,
  count: i32,
  max: f64,
  temperature: f64,
  isMeasured: bool,
): void {
  if (source == Source.LOGITS) weighAll<f32>(logits, count, max, temperature, isMeasured);
  else weighAll<f64>(wide(source), count, max, temperature, isMeasured);
}

// @ts-ignore: decorator
@inline
function weighAll<T>(x: usize, count: i32, max: f64, temperature: f64, isMeasured: bool): void {
  pad<T>(x, count, <T>-Infinity); // whose weight is 0
  const most = f64x2.splat(max);
  const divisor = f64x2.splat(temperature);
  let sum: f64 = 0;
  let product: f64 = 0;
  let least: f64 = 0;
  for (let i: usize = 0; i < <usize>count; i += 2) {
    const value =
      sizeof<T>() == 4
        ? f64x2.promote_low_f32x4(v128.load64_zero(x + (i << 2)))
        : v128.load(x + (i << 3));
    let exponent = f64x2.sub(value, most);
    if (temperature != 1) exponent = f64x2.div(exponent, divisor);
    const weight = exp(exponent);
    v128.store(weights + (i << 3), weight);
    const first = f64x2.extract_lane(weight, 0);
    const second = f64x2.extract_lane(weight, 1);
    sum += first;
    sum += second;
    if (!isMeasured) continue;
    v128.store(exponents + (i << 3), exponent);
    const e = f64x2.extract_lane(exponent, 0);
    const f = f64x2.extract_lane(exponent, 1);
    if (first > 0) {
      product += first * e;
      least = min(least, e);
    }
    if (second > 0) {
      product += second * f;
      least = min(least, f);
    }
  }
  total = sum;
  moment = product;
  lowest = least;
}

export function findHeavy(count: i32, least: f64): i32 {
  const bound = f64x2.splat(least);
  pad<f64>(weights, count, -1);
  let found = 0;
  for (let i = 0; i < count; i += 2) {
    const mask = i64x2.bitmask(f64x2.ge(v128.load(at<f64>(weights, i)), bound));
    if (mask == 0) continue;
    if (mask & 1) store<u32>(at<u32>(places, found++), i);
    if (mask & 2 && i + 1 < count) store<u32>(at<u32>(places, found++), i + 1);
  }
  return found;
}

/** Takes the id and the weight at a place to an earlier one. */
// @ts-ignore: decorator
@inline
function move(from: i32, to: i32): f64 {
  const weight = load<f64>(at<f64>(weights, from));
  store<u32>(at<u32>(ids, to), load<u32>(at<u32>(ids, from)));
  store<f64>(at<f64>(weights, to), weight);
  return weight;
}

export function keepPlaces(count: i32): void {
  let sum: f64 = 0;
  for (let i = 0; i < count; i++) sum += move(load<u32>(at<u32>(places, i)), i);
  total = sum;
}

export function measure(count: i32, mean: f64, scale: f64, n_bins: i32): void {
  memory.fill(bins, 0, <usize>n_bins << 3);
  const middle = f64x2.splat(mean);
  const factor = f64x2.splat(scale);
  pad<f64>(weights, count, 0);
  for (let i: usize = 0; i < <usize>count; i += 2) {
    const distance = f64x2.abs(f64x2.sub(v128.load(exponents + (i << 3)), middle));
    v128.store(exponents + (i << 3), distance);
    const bin = f64x2.add(f64x2.mul(distance, factor), whole());
    add(i32x4.extract_lane(bin, 0), n_bins, load<f64>(weights + (i << 3)));
    add(i32x4.extract_lane(bin, 2), n_bins, load<f64>(weights + (i << 3), 8));
  }
}

/** Adds a weight to its bin, if it has one: what weighs nothing may be anywhere. */
// @ts-ignore: decorator
@inline
function add(bin: i32, n_bins: i32, weight: f64): void {
  if (<u32>bin >= <u32>n_bins) return;
  const mass = at<f64>(bins, bin);
  store<f64>(mass, load<f64>(mass) + weight);
}

export function findBin(count: i32, bin: i32, scale: f64): i32 {
  const factor = f64x2.splat(scale);
  const wanted = f64x2.splat(<f64>bin);
  let found = 0;
  for (let i = 0; i < count; i += 2) {
    const own = f64x2.add(f64x2.mul(v128.load(at<f64>(exponents, i)), factor), whole());
    const mask = i64x2.bitmask(f64x2.eq(f64x2.sub(own, whole()), wanted));
    if (mask == 0) continue;
    for (let j = i; j < min(i + 2, count); j++) {
      if ((mask >> (j - i)) & 1 && load<f64>(at<f64>(weights, j)) > 0)
        store<u32>(at<u32>(places, found++), j);
    }
  }
  return found;
}

export function countNear(count: i32, limit: f64): i32 {
  const bound = f64x2.splat(limit);
  pad<f64>(exponents, count, Infinity);
  let both = i64x2.splat(0);
  for (let i = 0; i < count; i += 2)
    both = i64x2.sub(both, f64x2.le(v128.load(at<f64>(exponents, i)), bound)); // true is -1
  return <i32>(i64x2.extract_lane(both, 0) + i64x2.extract_lane(both, 1));
}

export function keepNear(count: i32, limit: f64): i32 {
  const bound = f64x2.splat(limit);
  let near = 0;
  let sum: f64 = 0;
  for (let i = 0; i < count; i += 2) {
    const mask = i64x2.bitmask(f64x2.le(v128.load(at<f64>(exponents, i)), bound));
    if (mask == 0) continue;
    for (let j = i; j < min(i + 2, count); j++) {
      if (!((mask >> (j - i)) & 1) || load<f64>(at<f64>(weights, j)) == 0) continue;
      sum += move(j, near++);
    }
  }
  total = sum;
  return near;
}

export function walk(count: i32, target: f64): i32 {
  let cumulative: f64 = 0;
  for (let i = 0; i < count; i++) {
    cumulative += load<f64>(at<f64>(weights, i));
    if (cumulative > target) return i;
  }
  return count;
}
