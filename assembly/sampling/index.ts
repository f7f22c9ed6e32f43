/**
 * What drawing a token does to every token of a vocabulary, two or four at a time, for src/sampling/kernels/kernels.ts, where
 * each function is explained. Every operation is rounded by itself and every sum has one order: the bits are those of
 * src/sampling/kernels/plain.ts.
 */
import { exp, exp2, log2e, whole } from "./exp";
import { PAD, constantsEnd } from "./memory";

export { CONSTANTS } from "./memory";

/** Where the arrays begin, each with room for n_vocab values and PAD more. */
export let logits: usize = 0; // float32
export let adjusted: usize = 0; // float64
export let weights: usize = 0; // float64
export let exponents: usize = 0; // float64
export let ids: usize = 0; // uint32
export let places: usize = 0; // uint32
export let bins: usize = 0; // float64 [n_bins]
export let kept: usize = 0; // float64
let heap: usize = 0; // float64

/** The sum of the weights, in order. */
export let total: f64 = 0;
/** The sum of the weights, each times its exponent, in order. */
export let moment: f64 = 0;
/** The least exponent whose weight is above 0. */
export let lowest: f64 = 0;
/** After sumOfRest(): the sum, the sum of each times its exponent, and the most that they may be wrong by. */
export let rest: f64 = 0;
export let error: f64 = 0;
export let restMoment: f64 = 0;
export let momentError: f64 = 0;

/** Where values are read, as Source of src/sampling/kernels/kernels.ts. */
namespace Source {
  export const LOGITS: i32 = 0;
  export const ADJUSTED: i32 = 1;
}

function room(from: usize, length: usize): usize {
  return (from + length + 15) & ~15;
}

/** Lays the arrays out, once. */
export function reserve(n_vocab: i32, n_bins: i32): void {
  const length = <usize>n_vocab + PAD;
  logits = constantsEnd();
  adjusted = room(logits, length << 2);
  weights = room(adjusted, length << 3);
  exponents = room(weights, length << 3);
  kept = room(exponents, length << 3);
  heap = room(kept, length << 3);
  ids = room(heap, length << 3);
  places = room(ids, length << 2);
  bins = room(places, length << 2);
  const end = room(bins, <usize>n_bins << 3);
  const pages = <i32>((end + 0xffff) >>> 16) - memory.size();
  if (pages > 0 && memory.grow(pages) < 0) unreachable();
}

/** Where the i-th value of an array lies. */
// @ts-ignore: decorator
@inline
function at<T>(array: usize, i: i32): usize {
  return array + <usize>i * sizeof<T>();
}

/** Puts a value behind n others, as often as a vector may reach beyond them. */
// @ts-ignore: decorator
@inline
function pad<T>(x: usize, n: i32, value: T): void {
  for (let i = 0; i < <i32>PAD; i++) store<T>(at<T>(x, n + i), value);
}

/** The float64 values of a source that is not LOGITS. */
function wide(source: i32): usize {
  return source == Source.ADJUSTED ? adjusted : kept;
}

export function argmax(source: i32, n: i32): i32 {
  return source == Source.LOGITS ? argmaxOf<f32>(logits, n) : argmaxOf<f64>(wide(source), n);
}

function argmaxOf<T>(x: usize, n: i32): i32 {
  pad<T>(x, n, <T>-Infinity);
  const end = x + <usize>n * sizeof<T>();
  let most = v128.splat<T>(<T>-Infinity);
  let other = most;
  let isNaN = i32x4.splat(0);
  for (let from = x; from < end; from += 32) {
    const values = v128.load(from);
    const others = v128.load(from, 16);
    most = v128.pmax<T>(values, most); // one instruction, unlike max, but NaN is lost
    other = v128.pmax<T>(others, other);
    isNaN = v128.or(isNaN, v128.or(v128.ne<T>(values, values), v128.ne<T>(others, others)));
  }
  most = v128.pmax<T>(most, other);
  let largest: T = max<T>(v128.extract_lane<T>(most, 0), v128.extract_lane<T>(most, 1));
  if (sizeof<T>() == 4) {
    largest = max<T>(
      largest,
      <T>max<f32>(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3)),
    );
  }
  if (v128.any_true(isNaN) || largest == <T>Infinity || largest == <T>-Infinity) return -1;
  const wanted = v128.splat<T>(largest);
  let found = x;
  while (!v128.any_true(v128.eq<T>(v128.load(found), wanted))) found += 16;
  while (load<T>(found) != largest) found += sizeof<T>();
  return <i32>((found - x) / sizeof<T>());
}

export function widen(n: i32): void {
  for (let i: usize = 0; i < <usize>n; i += 2)
    v128.store(adjusted + (i << 3), f64x2.promote_low_f32x4(v128.load64_zero(logits + (i << 2))));
}

export function keepAll(n: i32): void {
  let next = i32x4(0, 1, 2, 3);
  for (let i: usize = 0; i < <usize>n; i += 4) {
    v128.store(ids + (i << 2), next);
    next = i32x4.add(next, i32x4.splat(4));
  }
}

export function keepLargest(source: i32, n: i32, k: i32): i32 {
  return source == Source.LOGITS
    ? keepLargestOf<f32>(logits, n, k)
    : keepLargestOf<f64>(wide(source), n, k);
}

/** Lets the value at a place of the heap of k, the least of them first, sink to where it belongs. */
function sink(start: i32, k: i32): void {
  const value = load<f64>(at<f64>(heap, start));
  let i = start;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= k) break;
    let least = load<f64>(at<f64>(heap, child));
    if (child + 1 < k) {
      const other = load<f64>(at<f64>(heap, child), 8);
      if (other < least) {
        least = other;
        child++;
      }
    }
    if (least >= value) break;
    store<f64>(at<f64>(heap, i), least);
    i = child;
  }
  store<f64>(at<f64>(heap, i), value);
}

function keepLargestOf<T>(x: usize, n: i32, k: i32): i32 {
  for (let i = 0; i < k; i++) {
    store<f64>(at<f64>(heap, i), <f64>load<T>(at<T>(x, i)));
    store<u32>(at<u32>(places, i), i);
  }
  for (let i = (k >> 1) - 1; i >= 0; i--) sink(i, k);
  pad<T>(x, n, <T>-Infinity);
  const lanes = <i32>(16 / sizeof<T>());
  let least = <T>load<f64>(heap);
  let found = k;
  // Every value that is among the k largest so far: few are, once k have been seen.
  for (let i = k; i < n; i += lanes) {
    if (!v128.any_true(v128.ge<T>(v128.load(at<T>(x, i)), v128.splat<T>(least)))) continue;
    const end = min(i + lanes, n);
    for (let j = i; j < end; j++) {
      const value = load<T>(at<T>(x, j));
      if (value < least) continue;
      store<u32>(at<u32>(places, found++), j);
      if (value == least) continue;
      store<f64>(heap, <f64>value);
      sink(0, k);
      least = <T>load<f64>(heap);
    }
  }
  let count = 0;
  for (let i = 0; i < found; i++) {
    const place = load<u32>(at<u32>(places, i));
    const value = load<T>(at<T>(x, place));
    if (value >= least) keep(count++, place, <f64>value);
  }
  return count;
}

// @ts-ignore: decorator
@inline
function keep(count: i32, id: i32, value: f64): void {
  store<u32>(at<u32>(ids, count), id);
  store<f64>(at<f64>(kept, count), value);
}

export function keepAbove(source: i32, n: i32, bound: f64): i32 {
  return source == Source.LOGITS
    ? keepAboveOf<f32>(logits, n, <f32>bound)
    : keepAboveOf<f64>(wide(source), n, bound);
}

function keepAboveOf<T>(x: usize, n: i32, bound: T): i32 {
  pad<T>(x, n, <T>-Infinity);
  const lanes = <i32>(16 / sizeof<T>());
  const least = v128.splat<T>(bound);
  let count = 0;
  for (let i = 0; i < n; i += lanes) {
    if (!v128.any_true(v128.ge<T>(v128.load(at<T>(x, i)), least))) continue;
    const end = min(i + lanes, n);
    for (let j = i; j < end; j++) {
      const value = load<T>(at<T>(x, j));
      if (value >= bound) keep(count++, j, <f64>value);
    }
  }
  return count;
}

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
 * are wrong by less than n e^-16 144 2^-23 together. The roundings of exact sums, n 2^-53 each, find room in the rest.
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

export function rankOf(n: i32, id: i32): i32 {
  pad<f32>(logits, n, -Infinity);
  const own = load<f32>(at<f32>(logits, id));
  const bound = f32x4.splat(own);
  let above = i32x4.splat(0);
  let equal = 0;
  for (let i = 0; i < n; i += 4) {
    const value = v128.load(at<f32>(logits, i));
    above = i32x4.sub(above, f32x4.gt(value, bound)); // true is -1
    if (i >= id || !v128.any_true(f32x4.eq(value, bound))) continue;
    for (let j = i; j < min(i + 4, id); j++) if (load<f32>(at<f32>(logits, j)) == own) equal++;
  }
  const two = i32x4.add(above, v128.shuffle<i32>(above, above, 2, 3, 0, 1));
  return 1 + equal + i32x4.extract_lane(two, 0) + i32x4.extract_lane(two, 1);
}
