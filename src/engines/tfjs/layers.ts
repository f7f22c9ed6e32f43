import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from "@tensorflow/tfjs-core";
import { type Architecture, architectureOf, attentionScale, type Hparams } from "../../model/hparams.js";
import { LM_HEAD } from "../../model/parameters.js";
import type { Tf } from "./backend.js";

/** Parameters by OpenAI's names; linear weights as [n_in, n_out]. */
export type Parameters = ReadonlyMap<string, Tensor>;

/** Added to the attention scores that must not count: so far below all others that exp() gives 0. */
export const MASKED = -1e10;

/** Keys or values of one layer: [n_batch, n_head, n_positions, n_embd / n_head]. */
export interface KeysAndValues {
  readonly k: Tensor4D;
  readonly v: Tensor4D;
}

/**
 * The building blocks of GPT-2 in TensorFlow.js operations, both for running and for training it.
 * Source: Radford et al. 2019; openai/gpt-2 src/model.py.
 */
export class Layers {
  private readonly architecture: Architecture;
  /** The output matrix's name. */
  protected readonly output: string;

  constructor(
    protected readonly tf: Tf,
    readonly hparams: Hparams,
    protected readonly parameters: Parameters,
  ) {
    this.architecture = architectureOf(hparams);
    this.output = this.architecture.tie_word_embeddings ? "model/wte" : LM_HEAD;
  }

  /** A parameter by its name, unchecked: all have been read. */
  protected get<T extends Tensor>(name: string): T {
    return this.parameters.get(name) as T;
  }

  /** Normalises each row to mean 0 and variance 1 (biased), then gain and bias. [n, n_embd] -> [n, n_embd] */
  protected layerNorm(x: Tensor2D, name: string): Tensor2D {
    const { tf } = this;
    const { mean, variance } = tf.moments(x, -1, true); // [n, n_embd] -> [n, 1] each
    const normal = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, this.architecture.layer_norm_epsilon)));
    return tf.add(tf.mul(normal, this.get(`${name}/g`)), this.get(`${name}/b`));
  }

  /** [n, n_in] -> [n, n_out] */
  protected linear(x: Tensor2D, name: string): Tensor2D {
    return this.tf.fused.matMul({
      a: x,
      b: this.get<Tensor2D>(`${name}/w`),
      bias: this.get<Tensor1D>(`${name}/b`),
    }) as Tensor2D;
  }

  /** Source of all but OpenAI's: transformers' activations.py. */
  protected activation(x: Tensor2D): Tensor2D {
    const { tf } = this;
    switch (this.architecture.activation_function) {
      case "gelu_new":
        return this.geluNew(x);
      case "gelu":
        return tf.mul<Tensor2D>(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
      case "relu":
        return tf.relu(x);
      case "silu":
        return tf.mul(x, tf.sigmoid(x));
      case "quick_gelu":
        return tf.mul(x, tf.sigmoid(tf.mul(x, 1.702)));
    }
  }

  /** The tanh approximation of the Gaussian error linear unit (Hendrycks and Gimpel 2016). */
  private geluNew(x: Tensor2D): Tensor2D {
    const { tf } = this;
    const cubed = tf.mul(tf.mul(x, x), x);
    const inner = tf.mul(tf.add(x, tf.mul(cubed, 0.044715)), Math.sqrt(2 / Math.PI));
    return tf.mul<Tensor2D>(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
  }

  /** [n_batch * n_new, n_embd] -> [n_batch, n_head, n_new, n_embd / n_head] */
  private splitHeads(x: Tensor2D, n_batch: number): Tensor4D {
    const { n_head, n_embd } = this.hparams;
    const heads = this.tf.reshape(x, [n_batch, x.shape[0] / n_batch, n_head, n_embd / n_head]); // -> [n_batch, n_new, n_head, d]
    return this.tf.transpose(heads, [0, 2, 1, 3]) as Tensor4D; // -> [n_batch, n_head, n_new, d]
  }

  /** [..., n, k] [..., m, k] -> [..., n, m] */
  protected timesTransposed<T extends Tensor>(a: T, b: T): T {
    return this.tf.matMul(a, b, false, true);
  }

  /** q [n_batch, n_head, n_new, d], k and v [n_batch, n_head, n_all, d] -> [n_batch * n_new, n_embd] */
  protected attention(
    q: Tensor4D,
    k: Tensor4D,
    v: Tensor4D,
    mask: Tensor4D | undefined,
    scale: number,
  ): Tensor2D {
    const { tf } = this;
    const [n_batch, , n_new] = q.shape;
    const scores = tf.mul(this.timesTransposed(q, k), scale); // [n_batch, n_head, n_new, n_all]
    const weights = tf.softmax(mask ? tf.add(scores, mask) : scores);
    const heads = tf.matMul(weights, v); // [n_batch, n_head, n_new, d]
    const rows = tf.transpose(heads, [0, 2, 1, 3]); // -> [n_batch, n_new, n_head, d]
    return tf.reshape(rows, [n_batch * n_new, this.hparams.n_embd]); // -> [n_batch * n_new, n_embd]
  }

  /**
   * One layer, all of whose rows are new positions.
   * @param h [n_batch * n_new, n_embd]
   * @param mask added to the scores: [n_batch or 1, 1, n_new, n_past + n_new]
   * @param past n_past positions read before
   * @returns h of the same shape; keys and values of all positions, the past ones first
   */
  protected layer(
    h: Tensor2D,
    layer: number,
    n_batch: number,
    mask: Tensor4D | undefined,
    past?: KeysAndValues,
  ): [h: Tensor2D, k: Tensor4D, v: Tensor4D] {
    const { tf } = this;
    const name = `model/h${layer}`;
    const qkv = this.linear(this.layerNorm(h, `${name}/ln_1`), `${name}/attn/c_attn`); // [n, n_embd] -> [n, 3 * n_embd]
    const [q, newK, newV] = tf.split(qkv, 3, 1).map((part) => this.splitHeads(part as Tensor2D, n_batch)); // [n, 3 * n_embd] -> 3 x [n_batch, n_head, n_new, d]
    const k = past ? tf.concat([past.k, newK], 2) : newK; // n_past -> n_past + n_new positions
    const v = past ? tf.concat([past.v, newV], 2) : newV;
    const attended = this.attention(q, k, v, mask, attentionScale(this.hparams, layer));
    const middle = tf.add<Tensor2D>(h, this.linear(attended, `${name}/attn/c_proj`));
    const inner = this.activation(this.linear(this.layerNorm(middle, `${name}/ln_2`), `${name}/mlp/c_fc`)); // [n, n_embd] -> [n, n_inner]
    return [tf.add(middle, this.linear(inner, `${name}/mlp/c_proj`)), k, v]; // [n, n_inner] -> [n, n_embd]
  }
}
