/** The readable reference of single operations: the tfjs engine's own layers, in float32. */
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-cpu";
import { Layers } from "../../dist/src/engines/tfjs/layers.js";
import type { Activation } from "../../dist/src/model/hparams.js";

/** A matrix product as a layer has it, with what comes before and behind. */
export interface Product {
  readonly kind: "attention-in" | "hidden" | "residual" | "logits";
  readonly n: number;
  readonly n_out: number;
  /** [n_rows, n] */
  readonly x: Float32Array;
  /** [n, n_out] */
  readonly w: Float32Array;
  /** [n] the norm's gain and bias */
  readonly g: Float32Array;
  readonly b: Float32Array;
  /** [n_out] */
  readonly bias: Float32Array;
  /** [n_rows, n_out] what "residual" is added to */
  readonly before: Float32Array;
  readonly activation_function: Activation;
  readonly layer_norm_epsilon: number;
}

class Operations extends Layers {
  product(x: tf.Tensor2D, kind: Product["kind"], before: tf.Tensor2D): tf.Tensor2D {
    switch (kind) {
      case "attention-in":
        return this.linear(this.layerNorm(x, "ln"), "c");
      case "hidden":
        return this.activation(this.linear(this.layerNorm(x, "ln"), "c"));
      case "residual":
        return this.tf.add(before, this.linear(x, "c"));
      case "logits":
        return this.tf.matMul(this.layerNorm(x, "ln"), this.get<tf.Tensor2D>("c/w"));
    }
  }

  attend(...[q, k, v, scale]: [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, number]): tf.Tensor2D {
    return this.attention(q, k, v, undefined, scale);
  }
}

const hparams = (n_embd: number, n_head: number) => ({ n_vocab: 1, n_ctx: 1, n_layer: 1, n_embd, n_head });

/** [n_rows, n_out] */
export async function tfjsProduct(given: Product): Promise<Float32Array> {
  await tf.setBackend("cpu");
  const { kind, n, n_out, x, w, g, b, bias, before, activation_function, layer_norm_epsilon } = given;
  return tf.tidy(() => {
    const parameters = new Map<string, tf.Tensor>([
      ["ln/g", tf.tensor1d(g)],
      ["ln/b", tf.tensor1d(b)],
      ["c/w", tf.tensor2d(w, [n, n_out])],
      ["c/b", tf.tensor1d(bias)],
    ]);
    const about = { ...hparams(n, 1), activation_function, layer_norm_epsilon };
    const rows = tf.tensor2d(x, [x.length / n, n]);
    const result = new Operations(tf, about, parameters).product(
      rows,
      kind,
      tf.tensor2d(before, [x.length / n, n_out]),
    );
    return result.dataSync() as Float32Array;
  });
}

/** Attention of one query [n_head d] over keys and values [n_positions, n_head d]; -> [n_head d] */
export async function tfjsAttention(
  { n_head, d, scale }: { readonly n_head: number; readonly d: number; readonly scale: number },
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
): Promise<Float32Array> {
  await tf.setBackend("cpu");
  return tf.tidy(() => {
    const heads = (rows: Float32Array): tf.Tensor4D =>
      tf.transpose(tf.tensor4d(rows, [1, rows.length / (n_head * d), n_head, d]), [0, 2, 1, 3]); // [1, n, n_head, d] -> [1, n_head, n, d]
    const operations = new Operations(tf, hparams(n_head * d, n_head), new Map());
    return operations.attend(heads(q), heads(k), heads(v), scale).dataSync() as Float32Array;
  });
}
