import type { Tensor } from "@tensorflow/tfjs-core";
import type { Tf } from "./backend.js";

/**
 * The product of two matrices, or of their transposes. On tfjs's WebAssembly backend they are transposed first:
 * 640 x 256, transposed, by 256 x 160 took matMul itself 55 ms, and this less than 6 (4.22).
 * [..., n, k] [..., k, m] -> [..., n, m]
 */
export function product<T extends Tensor>(tf: Tf, a: T, b: T, transposeA: boolean, transposeB: boolean): T {
  if (tf.getBackend() !== "wasm") return tf.matMul(a, b, transposeA, transposeB);
  const turned = (x: T): T => {
    const axes = x.shape.map((_, axis) => axis);
    return tf.transpose(x, [...axes.slice(0, -2), x.rank - 1, x.rank - 2]); // [..., n, m] -> [..., m, n]
  };
  return tf.matMul(transposeA ? turned(a) : a, transposeB ? turned(b) : b);
}
