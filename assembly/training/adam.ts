/** One step of Adam, which then zeroes the gradients. Arrays are padded to a multiple of 4. */
import { first, next } from "../threads";
import { madd } from "../vector";

/** An optimizer's step over n values. */
@unmanaged
export class Update {
  n: u32;
  /** [n] each; m and v for Adam only */
  values: usize;
  gradients: usize;
  m: usize;
  v: usize;
  /** 1 / the number of gradients added up */
  mean: f32;
  /** Learning rate; for Adam, divided by 1 - beta1^t */
  rate: f32;
  /** 1 / sqrt(1 - beta2^t) */
  correction: f32;
}

const UNIT: u32 = 8192;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f32 = 1e-8;

/**
 * Kingma and Ba, "Adam", arXiv 1412.6980, algorithm 1, as in PyTorch:
 * p -= rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + 1e-8)
 * This thread's share; a barrier must follow.
 */
export function adam(p: Update): void {
  const zero = f32x4.splat(0);
  const mean = f32x4.splat(p.mean);
  const rate = f32x4.splat(p.rate);
  const correction = f32x4.splat(p.correction);
  const keep1 = f32x4.splat(<f32>BETA1);
  const take1 = f32x4.splat(<f32>(1 - BETA1));
  const keep2 = f32x4.splat(<f32>BETA2);
  const take2 = f32x4.splat(<f32>(1 - BETA2));
  const epsilon = f32x4.splat(EPSILON);
  for (let unit = first((p.n + UNIT - 1) / UNIT); unit >= 0; unit = next()) {
    const end = <usize>min(<u32>unit * UNIT + UNIT, p.n) << 2;
    for (let i = <usize>unit * UNIT << 2; i < end; i += 16) {
      const g = f32x4.mul(v128.load(p.gradients + i), mean);
      const m = madd(v128.load(p.m + i), keep1, f32x4.mul(g, take1));
      const v = madd(v128.load(p.v + i), keep2, f32x4.mul(f32x4.mul(g, g), take2));
      const size = madd(f32x4.sqrt(v), correction, epsilon);
      v128.store(p.m + i, m);
      v128.store(p.v + i, v);
      v128.store(p.values + i, f32x4.sub(v128.load(p.values + i), f32x4.div(f32x4.mul(m, rate), size)));
      v128.store(p.gradients + i, zero);
    }
  }
}
