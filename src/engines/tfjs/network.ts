import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from "@tensorflow/tfjs-core";
import { type Hparams, parameterShapes, sizeOf, type WeightSource } from "../../model.js";
import type { Tf } from "./backend.js";

/**
 * Parameters by OpenAI's names; linear weights as [n_in, n_out]. The token embedding, which is also the output
 * matrix, lies transposed, [n_embd, n_vocab]: multiplying by a transposed matrix is three times slower on the
 * WebAssembly backend, and taking a few columns costs nothing.
 */
export type Parameters = ReadonlyMap<string, Tensor>;

/** Keys or values of the positions read so far, one tensor a layer: [n_batch, n_head, n_past, n_embd / n_head]. */
export interface Past {
  readonly k: readonly Tensor4D[];
  readonly v: readonly Tensor4D[];
}

/** Added to the attention scores that must not count: far enough below all others that exp() gives 0. */
const MASKED = -1e10;

/** Reads all parameters into tensors. The caller disposes them. */
export async function loadParameters(
  tf: Tf,
  hparams: Hparams,
  source: WeightSource,
  onProgress?: (done: number, total: number) => void,
): Promise<Map<string, Tensor>> {
  const shapes = parameterShapes(hparams);
  const parameters = new Map<string, Tensor>();
  try {
    for (const [name, shape] of shapes) {
      const values = new Float32Array(sizeOf(shape));
      await source.read(name, values);
      const tensor = tf.tensor(values, shape.length === 3 ? [shape[1], shape[2]] : [...shape]); // [1, n_in, n_out] -> [n_in, n_out]
      parameters.set(name, tensor);
      if (name === "model/wte") {
        parameters.set(name, tf.transpose(tensor)); // [n_vocab, n_embd] -> [n_embd, n_vocab]
        tensor.dispose();
      }
      onProgress?.(parameters.size, shapes.size);
    }
  } catch (error) {
    for (const tensor of parameters.values()) tensor.dispose();
    throw error;
  }
  return parameters;
}

/**
 * GPT-2 in operations of TensorFlow.js. Readable first: what the fast engine is tested against.
 * Source: Radford et al. 2019; openai/gpt-2 src/model.py.
 */
export class Network {
  constructor(
    private readonly tf: Tf,
    readonly hparams: Hparams,
    private readonly parameters: Parameters,
  ) {}

  private get<T extends Tensor>(name: string): T {
    return this.parameters.get(name) as T;
  }

  /** Normalises each row to mean 0 and variance 1 (biased), then gain and bias. [n, n_embd] -> [n, n_embd] */
  private layerNorm(x: Tensor2D, name: string): Tensor2D {
    const { tf } = this;
    const { mean, variance } = tf.moments(x, -1, true); // [n, n_embd] -> [n, 1] each
    const normal = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5)));
    return tf.add(tf.mul(normal, this.get(`${name}/g`)), this.get(`${name}/b`));
  }

  /** [n, n_in] -> [n, n_out] */
  private linear(x: Tensor2D, name: string): Tensor2D {
    return this.tf.fused.matMul({
      a: x,
      b: this.get<Tensor2D>(`${name}/w`),
      bias: this.get<Tensor1D>(`${name}/b`),
    }) as Tensor2D;
  }

  /** The tanh approximation of the Gaussian error linear unit (Hendrycks and Gimpel 2016). */
  private gelu(x: Tensor2D): Tensor2D {
    const { tf } = this;
    const cubed = tf.mul(tf.mul(x, x), x);
    const inner = tf.mul(tf.add(x, tf.mul(cubed, 0.044715)), Math.sqrt(2 / Math.PI));
    return tf.mul<Tensor2D>(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
  }

  /** [n_batch * n_new, n_embd] -> [n_batch, n_head, n_new, n_embd / n_head] */
  private splitHeads(x: Tensor2D, n_batch: number, n_new: number): Tensor4D {
    const { n_head, n_embd } = this.hparams;
    const heads = this.tf.reshape(x, [n_batch, n_new, n_head, n_embd / n_head]);
    return this.tf.transpose(heads, [0, 2, 1, 3]) as Tensor4D;
  }

  /**
   * Reads the same number of new tokens for each sequence of a batch. Sequences of different lengths share one
   * past by standing at its right end: `pads` tells how many of its first positions are not theirs.
   * All results are new tensors that the caller disposes; call within no tidy, intermediate ones are disposed here.
   * @param ids [n_batch * n_new], sequence after sequence
   * @param past n_past positions, or undefined at the start of a text
   * @param pads one number a sequence, at most n_past
   * @returns x [n_batch * n_new, n_embd] before the last LayerNorm, and the past with the new positions added
   */
  forward(
    ids: Int32Array,
    n_new: number,
    past: Past | undefined,
    pads: readonly number[],
  ): { x: Tensor2D; past: Past } {
    const { tf, hparams } = this;
    const n_batch = pads.length;
    const n_past = past ? past.k[0].shape[2] : 0;
    const k: Tensor4D[] = [];
    const v: Tensor4D[] = [];
    const x = tf.tidy(() => {
      const positions = new Int32Array(n_batch * n_new);
      for (let b = 0; b < n_batch; b++) {
        for (let t = 0; t < n_new; t++) positions[b * n_new + t] = n_past - pads[b] + t;
      }
      const wte = tf.transpose(tf.gather(this.get<Tensor2D>("model/wte"), tf.tensor1d(ids, "int32"), 1)); // [n_embd, n] -> [n, n_embd]
      const wpe = tf.gather(this.get<Tensor2D>("model/wpe"), tf.tensor1d(positions, "int32"));
      let h = tf.add<Tensor2D>(wte, wpe); // [n_batch * n_new, n_embd]
      const mask = this.mask(n_new, n_past, pads);
      for (let layer = 0; layer < hparams.n_layer; layer++) {
        const name = `model/h${layer}`;
        const qkv = this.linear(this.layerNorm(h, `${name}/ln_1`), `${name}/attn/c_attn`); // [n, n_embd] -> [n, 3 * n_embd]
        const [q, newK, newV] = tf
          .split(qkv, 3, 1)
          .map((part) => this.splitHeads(part as Tensor2D, n_batch, n_new));
        const allK = past ? tf.concat([past.k[layer], newK], 2) : newK; // n_past -> n_past + n_new positions
        const allV = past ? tf.concat([past.v[layer], newV], 2) : newV;
        k.push(tf.keep(allK));
        v.push(tf.keep(allV));
        h = tf.add(h, this.linear(this.attention(q, allK, allV, mask), `${name}/attn/c_proj`));
        const inner = this.gelu(this.linear(this.layerNorm(h, `${name}/ln_2`), `${name}/mlp/c_fc`)); // [n, n_embd] -> [n, 4 * n_embd]
        h = tf.add(h, this.linear(inner, `${name}/mlp/c_proj`)); // [n, 4 * n_embd] -> [n, n_embd]
      }
      return h;
    });
    return { x, past: { k, v } };
  }

  /** What is added to the scores: [n_batch, 1, n_new, n_past + n_new], undefined where every position counts. */
  private mask(n_new: number, n_past: number, pads: readonly number[]): Tensor4D | undefined {
    if (n_new === 1 && pads.every((pad) => pad === 0)) return undefined;
    const n_all = n_past + n_new;
    const values = new Float32Array(pads.length * n_new * n_all);
    for (const [b, pad] of pads.entries()) {
      for (let t = 0; t < n_new; t++) {
        const row = (b * n_new + t) * n_all;
        values.fill(MASKED, row, row + pad);
        values.fill(MASKED, row + n_past + t + 1, row + n_all);
      }
    }
    return this.tf.tensor4d(values, [pads.length, 1, n_new, n_all]);
  }

  /** q [n_batch, n_head, n_new, d], k and v [n_batch, n_head, n_all, d] -> [n_batch * n_new, n_embd] */
  private attention(q: Tensor4D, k: Tensor4D, v: Tensor4D, mask: Tensor4D | undefined): Tensor2D {
    const { tf } = this;
    const [n_batch, , n_new, d] = q.shape;
    const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(d)); // [n_batch, n_head, n_new, n_all]
    const weights = tf.softmax(mask ? tf.add(scores, mask) : scores);
    const heads = tf.matMul(weights, v); // [n_batch, n_head, n_new, d]
    return tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [n_batch * n_new, this.hparams.n_embd]); // -> [n_batch, n_new, n_head, d] -> [n_batch * n_new, n_embd]
  }

  /** The logits of each row: [n, n_embd] -> [n, n_vocab]. Disposes nothing but its own intermediate tensors. */
  logits(x: Tensor2D): Tensor2D {
    return this.tf.tidy(() => {
      const normal = this.layerNorm(x, "model/ln_f");
      return this.tf.matMul(normal, this.get<Tensor2D>("model/wte"));
    });
  }
}
