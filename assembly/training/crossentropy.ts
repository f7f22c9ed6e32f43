/** Softmax cross-entropy of a few rows of logits, with its gradient in their place. */
import { first, next } from "../threads";
import { exp, largest, sum16 } from "../vector";

/** Rows of logits, and the ids to predict. */
@unmanaged
export class CrossEntropy {
  rows: u32;
  n_vocab: u32;
  /** Values from row to row of the logits: n_vocab rounded up to a multiple of 8. */
  row: u32;
  logits: usize;
  /** [rows]: the ids to predict */
  targets: usize;
  /** [rows] float64, written here: -log of the target's probability */
  losses: usize;
  /** What each row's gradient is multiplied by; 0: no gradient is wanted. */
  scale: f32;
}

/** This thread's share of the rows; a barrier must follow. */
export function crossentropy(p: CrossEntropy): void {
  for (let unit = first(p.rows); unit >= 0; unit = next()) {
    const row = <usize>unit;
    const target = load<u32>(p.targets + (row << 2));
    store<f64>(p.losses + (row << 3), rowLoss(p.logits + row * (<usize>p.row << 2), p.n_vocab, p.row, target, p.scale));
  }
}

/** 512 values, in bytes: their exponentials are added in 16 float32 sums before the total is added up in float64. */
const STRETCH: usize = 4 * 512;

function rowLoss(x: usize, n: u32, row: u32, target: u32, scale: f32): f64 {
  const end = x + (<usize>row << 2);
  const at = x + (<usize>target << 2);
  const wanted = <f64>load<f32>(at);
  for (let i = x + (<usize>n << 2); i < end; i += 4) store<f32>(i, -Infinity);
  let top = v128.load(x);
  for (let i = x + 16; i < end; i += 16) top = f32x4.max(top, v128.load(i));
  const most = largest(top);
  const mosts = f32x4.splat(most);
  let total: f64 = 0;
  for (let i = x; i < end; i += STRETCH) total += exponentials(i, min(i + STRETCH, end), mosts);
  if (scale != 0) {
    const factor = f32x4.splat(<f32>(<f64>scale / total));
    for (let i = x; i < end; i += 32) {
      const y0 = v128.load(i);
      const y1 = v128.load(i, 16);
      v128.store(i, f32x4.mul(y0, factor));
      v128.store(i, f32x4.mul(y1, factor), 16);
    }
    store<f32>(at, load<f32>(at) - scale);
  }
  return log(total) + <f64>most - wanted;
}

/** x = e^(x - most), a multiple of 8 values. @returns their sum */
function exponentials(x: usize, end: usize, most: v128): f32 {
  const zero = f32x4.splat(0);
  let a = zero, b = zero, c = zero, d = zero;
  for (; x + 64 <= end; x += 64) {
    const e0 = exp(f32x4.sub(v128.load(x), most));
    v128.store(x, e0);
    a = f32x4.add(a, e0);
    const e1 = exp(f32x4.sub(v128.load(x, 16), most));
    v128.store(x, e1, 16);
    b = f32x4.add(b, e1);
    const e2 = exp(f32x4.sub(v128.load(x, 32), most));
    v128.store(x, e2, 32);
    c = f32x4.add(c, e2);
    const e3 = exp(f32x4.sub(v128.load(x, 48), most));
    v128.store(x, e3, 48);
    d = f32x4.add(d, e3);
  }
  if (x < end) {
    const e0 = exp(f32x4.sub(v128.load(x), most));
    v128.store(x, e0);
    a = f32x4.add(a, e0);
    const e1 = exp(f32x4.sub(v128.load(x, 16), most));
    v128.store(x, e1, 16);
    b = f32x4.add(b, e1);
  }
  return sum16(a, b, c, d);
}

/**
 * The natural logarithm of a positive, finite, normal number, to about 1e-15; NaN stays NaN.
 * x = 2^e m with m between sqrt(1/2) and sqrt(2); log m = 2 artanh s, s = (m - 1) / (m + 1), by its series.
 */
function log(x: f64): f64 {
  if (!(x < Infinity)) return x;
  let bits = reinterpret<u64>(x);
  let e = <i32>(bits >> 52) - 1023;
  let m = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    e += 1;
  }
  const s = (m - 1) / (m + 1);
  const square = s * s;
  let series: f64 = 0;
  for (let k = 23; k > 0; k -= 2) series = series * square + 1.0 / <f64>k;
  return <f64>e * 0.6931471805599453 + 2 * s * series;
}
