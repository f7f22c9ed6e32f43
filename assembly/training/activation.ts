/** An activation of many values, and its gradient. Arrays are padded to a multiple of 8. */
import { Mode } from "../abi";
import { activate, activateBackward, geluNew } from "../activation";
import { first, next } from "../threads";
import { Values } from "./elementwise";

/** Values per unit: 16 KiB. */
const UNIT: u32 = 4096;

/** y = activation(x). x, y [n]. This thread's share; a barrier must follow, here and below. */
export function activation_forward(p: Values): void {
  const mode = p.activation;
  for (let unit = first((p.n + UNIT - 1) / UNIT); unit >= 0; unit = next()) {
    const last = <usize>min(<u32>unit * UNIT + UNIT, p.n) << 2;
    for (let i = <usize>unit * UNIT << 2; i < last; i += 16) {
      const x = v128.load(p.x + i);
      v128.store(p.y + i, mode == Mode.GELU_NEW ? geluNew(x) : activate(x, mode));
    }
  }
}

/** z = z activation'(x), y = activation(x). x, y, z [n] */
export function activation_backward(p: Values): void {
  for (let unit = first((p.n + UNIT - 1) / UNIT); unit >= 0; unit = next()) {
    const last = <usize>min(<u32>unit * UNIT + UNIT, p.n) << 2;
    for (let i = <usize>unit * UNIT << 2; i < last; i += 16)
      activateBackward(v128.load(p.x + i), p.y + i, p.z + i, p.activation);
  }
}
