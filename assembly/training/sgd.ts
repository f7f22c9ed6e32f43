/** One step of plain gradient descent, which then zeroes the gradients. */
import { first, next } from "../threads";
import { nmadd } from "../vector";
import { Update } from "./adam";

const UNIT: u32 = 8192;

/** p -= rate g. This thread's share; a barrier must follow. */
export function sgd(p: Update): void {
  const zero = f32x4.splat(0);
  const rate = f32x4.splat(p.rate * p.mean);
  for (let unit = first((p.n + UNIT - 1) / UNIT); unit >= 0; unit = next()) {
    const end = <usize>min(<u32>unit * UNIT + UNIT, p.n) << 2;
    for (let i = <usize>unit * UNIT << 2; i < end; i += 16) {
      v128.store(p.values + i, nmadd(v128.load(p.gradients + i), rate, v128.load(p.values + i)));
      v128.store(p.gradients + i, zero);
    }
  }
}
