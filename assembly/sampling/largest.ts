/** Finding the largest values, and keeping them. */
import { Source, adjusted, at, heap, ids, kept, logits, pad, places, wide } from "./memory";

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
