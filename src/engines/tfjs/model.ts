import type { Tensor, Tensor2D, Tensor4D } from "@tensorflow/tfjs-core";
import type { Hparams } from "../../model/hparams.js";
import { LM_HEAD, parameterShapes, sizeOf } from "../../model/parameters.js";
import type { WeightSource } from "../../model/weight-source.js";
import type { Tf } from "./backend.js";
import { Layers, MASKED } from "./layers.js";

/** Options for loading. */
export interface Loading {
  readonly onProgress?: (done: number, total: number) => void;
  /** Aborts loading; the signal's reason is thrown. */
  readonly signal?: AbortSignal;
}

/** Keys or values of the positions read so far, one tensor per layer: [n_batch, n_head, n_past, n_embd / n_head]. */
export interface Past {
  readonly k: readonly Tensor4D[];
  readonly v: readonly Tensor4D[];
}

/**
 * Reads all parameters into tensors, which the caller disposes. The token embedding, usually the output matrix too,
 * and an output matrix of its own are transposed, [n_embd, n_vocab]: multiplying by a transposed matrix is three times
 * slower on the WebAssembly backend, and gathering a few columns costs nothing.
 */
export async function loadParameters(
  tf: Tf,
  hparams: Hparams,
  source: WeightSource,
  { onProgress, signal }: Loading = {},
): Promise<Map<string, Tensor>> {
  const shapes = parameterShapes(hparams);
  const parameters = new Map<string, Tensor>();
  try {
    for (const [name, shape] of shapes) {
      signal?.throwIfAborted();
      const values = new Float32Array(sizeOf(shape));
      await source.read(name, values);
      const tensor = tf.tensor(values, shape.length === 3 ? [shape[1], shape[2]] : [...shape]); // [1, n_in, n_out] -> [n_in, n_out]
      parameters.set(name, tensor);
      if (name === "model/wte" || name === LM_HEAD) {
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

/** GPT-2 for reading and continuing texts. Readability first: the fast engine is tested against it. */
export class Network extends Layers {
  /**
   * Reads the same number of new tokens for each sequence of a batch. Sequences of different lengths share one past,
   * aligned to its right end: `pads` says how many of its first positions are not theirs.
   * All results are new tensors that the caller disposes. Call it outside of any tidy: it disposes intermediate ones.
   * @param ids [n_batch * n_new], sequence after sequence
   * @param past n_past positions, or undefined at the start of a text
   * @param pads one number per sequence, at most n_past
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
      const wpe = tf.gather(this.get<Tensor2D>("model/wpe"), tf.tensor1d(positions, "int32")); // [n_ctx, n_embd] -> [n, n_embd]
      let h = tf.add<Tensor2D>(wte, wpe); // [n_batch * n_new, n_embd]
      const mask = this.mask(n_new, n_past, pads);
      for (let layer = 0; layer < hparams.n_layer; layer++) {
        const before = past && { k: past.k[layer], v: past.v[layer] };
        const [nextH, nextK, nextV] = tf.tidy(() => this.layer(h, layer, n_batch, mask, before));
        k.push(tf.keep(nextK));
        v.push(tf.keep(nextV));
        h = nextH;
      }
      return h;
    });
    return { x, past: { k, v } };
  }

  /** Added to the scores: [n_batch, 1, n_new, n_past + n_new]; undefined if every position counts. */
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

  /** The logits of each row: [n, n_embd] -> [n, n_vocab]. Disposes only its own intermediate tensors. */
  logits(x: Tensor2D): Tensor2D {
    return this.tf.tidy(() => {
      const normal = this.layerNorm(x, "model/ln_f");
      return this.tf.matMul(normal, this.get<Tensor2D>(this.output)); // [n, n_embd] [n_embd, n_vocab] -> [n, n_vocab]
    });
  }
}
