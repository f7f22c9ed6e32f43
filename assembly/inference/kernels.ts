/**
 * The kernels of the inference program. Its imports are these, or native ones over the same memory (native/). Every
 * function does this thread's share; none waits for another thread.
 */
import { Mode, PANEL } from "../abi";
import { attentionBytes } from "./attention";
import { Linear, Pack } from "./model";

export { join } from "../threads";
export { isFused } from "../vector";
export { attention, remember } from "./attention";
export { embed, prepare } from "./layernorm";
export { linear_float32 } from "./linear";
export { linear_int8 } from "./linear_int8";
export { pack_linear, pack_rows } from "./pack";
export { quantize_linear, quantize_rows } from "./quantize";

/**
 * Bytes of scratch memory each thread needs: for attention's scores, or for packing a panel of the widest matrix.
 * @param widest the most inputs of any matrix
 */
export function inference_own_bytes(n_ctx: u32, widest: u32): u32 {
  return max<u32>(attentionBytes(n_ctx), PANEL * (widest + 8) * 4 + 64);
}

// Only native kernels keep float16 weights: here they become float32 on loading, and these are never called.
export function linear_float16(l: Linear, rows: u32, x: usize, xs: u32, y: usize, ys: u32, mode: Mode): void {
  unreachable();
}

export function pack_linear_float16(p: Pack): void {
  unreachable();
}

export function pack_rows_float16(p: Pack): void {
  unreachable();
}
