/** GELU of many values, and its gradient. Arrays have room up to the next multiple of 8. */
import { first, next } from "../threads";
import { gelu, geluConstant, geluExp, madd, one } from "../vector";
import { Values } from "./elementwise";

/** Values of a unit: 16 KiB. */
const UNIT: u32 = 4096;

/** y = gelu(x). x, y [n]. This thread's part; a barrier must follow, here and below. */
export function gelu_forward(p: Values): void {
  for (let unit = first((p.n + UNIT - 1) / UNIT); unit >= 0; unit = next()) {
    const last = <usize>min(<u32>unit * UNIT + UNIT, p.n) << 2;
    for (let i = <usize>unit * UNIT << 2; i < last; i += 32) {
      v128.store(p.y + i, gelu(v128.load(p.x + i)));
      v128.store(p.y + i, gelu(v128.load(p.x + i, 16)), 16);
    }
  }
}

/** z = z gelu'(x), y = gelu(x). x, y, z [n] */
export function gelu_backward(p: Values): void {
  for (let unit = first((p.n + UNIT - 1) / UNIT); unit >= 0; unit = next()) {
    const last = <usize>min(<u32>unit * UNIT + UNIT, p.n) << 2;
    for (let i = <usize>unit * UNIT << 2; i < last; i += 16) {
      const x = v128.load(p.x + i);
      const s = f32x4.div(one(), f32x4.add(one(), geluExp(x))); // gelu(x) = x s
      const y = f32x4.mul(x, s);
      v128.store(p.y + i, y);
      v128.store(p.z + i, f32x4.mul(v128.load(p.z + i), derivative(x, s, y)));
    }
  }
}

/** gelu'(x) = s + x s (1 - s) 2u', 2u' = 2 sqrt(2 / pi) (1 + 3 0.044715 x^2) */
// @ts-ignore: decorator
@inline
function derivative(x: v128, s: v128, y: v128): v128 {
  const u2 = f32x4.mul(madd(f32x4.mul(x, x), geluConstant(2), one()), geluConstant(3));
  return madd(f32x4.mul(y, f32x4.sub(one(), s)), u2, s);
}
