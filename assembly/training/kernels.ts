/**
 * The kernels of the training program. Its imports are these, or native ones over the same memory (native/). Every
 * function does this thread's share; none waits for another thread.
 */
import { attentionBytes } from "./attention";
import { backwardBytes } from "./attention_backward";
import { matmulBytes } from "./matmul";

export { join } from "../threads";
export { isFused } from "../vector";
export { adam } from "./adam";
export { attention_forward } from "./attention";
export { attention_backward } from "./attention_backward";
export { crossentropy } from "./crossentropy";
export { activation_backward, activation_forward } from "./activation";
export { layernorm_backward_columns, layernorm_backward_rows, layernorm_forward } from "./layernorm";
export { matmul_block, matmul_blocks, matmul_pack, training_shared_bytes } from "./matmul";

/**
 * Bytes of scratch memory each thread needs, for products and attention.
 * @param longest the longest side of any product @param t positions @param n_state width of a head
 */
export function training_own_bytes(longest: u32, t: u32, n_state: u32): u32 {
  return max(matmulBytes(longest), max(attentionBytes(t, n_state), backwardBytes(t, n_state)));
}
