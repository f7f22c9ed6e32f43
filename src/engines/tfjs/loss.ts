import type { Scalar, Tensor, Tensor1D, Tensor2D, Tensor4D } from "@tensorflow/tfjs-core";
import { LORA_SCALE } from "../../model/trainer.js";
import { Layers, MASKED } from "./layers.js";
import { product } from "./product.js";

/** Equally long rows of tokens, one after another. */
export interface Batch {
  readonly n_batch: number;
  /** The tokens to read: [n_batch * n_time] */
  readonly ids: Int32Array;
  /** The token that follows each of them: [n_batch * n_time] */
  readonly targets: Int32Array;
}

/** The two matrices that LoRA adds to a linear layer's w. */
export const loraNames = (w: string): readonly [a: string, b: string] => [`lora/a/${w}`, `lora/b/${w}`];

/**
 * GPT-2 for training: whole rows, no cache, and the gradient of the mean cross-entropy by TensorFlow.js's autodiff.
 * Here the token embedding is as in the checkpoint, [n_vocab, n_embd].
 */
export class TrainingLayers extends Layers {
  /** [n, n_in] -> [n, n_out]; LoRA's x (w + 2 a b) is computed as x w + 2 (x a) b */
  protected override linear(x: Tensor2D, name: string): Tensor2D {
    const { tf } = this;
    const w = `${name}/w`;
    // Not fused: the gradient of a fused multiplication would be computed for frozen weights too.
    const y = tf.add<Tensor2D>(tf.matMul(x, this.get<Tensor2D>(w)), this.get<Tensor1D>(`${name}/b`));
    const [a, b] = loraNames(w).map((part) => this.parameters.get(part) as Tensor2D | undefined);
    if (!a || !b) return y;
    return tf.add(y, tf.mul(tf.matMul(tf.matMul(x, a), b), LORA_SCALE)); // [n, n_in] -> [n, rank] -> [n, n_out]
  }

  protected override timesTransposed<T extends Tensor>(a: T, b: T): T {
    return product(this.tf, a, b, false, true);
  }

  /**
   * The rows of a table. Its gradient is our own: TensorFlow.js computes that of a gather as a segment sum, which its
   * WebAssembly backend lacks. [n_rows, n] -> [ids.length, n]
   */
  private lookup(table: Tensor2D, ids: Int32Array): Tensor2D {
    const { tf } = this;
    return tf.customGrad<Tensor2D>(() => ({
      value: tf.gather(table, tf.tensor1d(ids, "int32")), // [n_rows, n] -> [ids.length, n]
      // [ids.length, n] -> [n_rows, n]: rows looked up more than once are summed
      gradFunc: (dy) => tf.scatterND(tf.tensor2d(ids, [ids.length, 1], "int32"), dy, table.shape),
    }))(table);
  }

  /** -> [n_batch * n_time, n_embd] */
  private embed({ ids, n_batch }: Batch): Tensor2D {
    const { tf } = this;
    const { n_embd } = this.hparams;
    const n_time = ids.length / n_batch;
    const wte = this.lookup(this.get<Tensor2D>("model/wte"), ids); // [n_vocab, n_embd] -> [n_batch * n_time, n_embd]
    const wpe = tf.slice(this.get<Tensor2D>("model/wpe"), [0, 0], [n_time, n_embd]); // [n_ctx, n_embd] -> [n_time, n_embd]
    const sum = tf.add(tf.reshape(wte, [n_batch, n_time, n_embd]), wpe); // -> [n_batch, n_time, n_embd]
    return tf.reshape(sum, [ids.length, n_embd]); // -> [n_batch * n_time, n_embd]
  }

  /** Added to the scores, so that no token sees a later one: [1, 1, n_time, n_time] */
  private mask({ ids, n_batch }: Batch): Tensor4D {
    const n_time = ids.length / n_batch;
    const values = new Float32Array(n_time * n_time);
    for (let t = 0; t < n_time; t++) values.fill(MASKED, t * n_time + t + 1, (t + 1) * n_time);
    return this.tf.tensor4d(values, [1, 1, n_time, n_time]);
  }

  /** One layer, freeing its intermediate tensors. [n, n_embd] -> [n, n_embd] */
  private through(h: Tensor2D, layer: number, n_batch: number, mask: Tensor4D): Tensor2D {
    return this.tf.tidy(() => this.layer(h, layer, n_batch, mask)[0]);
  }

  /**
   * The mean of -log softmax(logits)[target]. Its gradient is our own, (softmax - one-hot) / n: half as many tensors of
   * this size, the largest of all, as autodiff would hold. [n, n_vocab] -> []
   */
  private crossEntropy(logits: Tensor2D, targets: Int32Array): Scalar {
    const { tf } = this;
    const [n, n_vocab] = logits.shape;
    const places = new Int32Array(2 * n);
    for (let i = 0; i < n; i++) places.set([i, targets[i]], 2 * i);
    return tf.customGrad<Scalar>((_, save) => {
      (save as (tensors: Tensor[]) => void)([logits]);
      const chosen = tf.gatherND(logits, tf.tensor2d(places, [n, 2], "int32")); // [n, n_vocab] -> [n]
      return {
        value: tf.mean(tf.sub(tf.logSumExp(logits, -1), chosen)), // [n] -> []
        gradFunc: (dy, [saved]) => {
          // Not tf.oneHot: its float32 is wrong on the WebAssembly backend (4.22), which stores 1 as an int32.
          const ones = tf.scatterND(tf.tensor2d(places, [n, 2], "int32"), tf.ones([n]), [n, n_vocab]); // [n] -> [n, n_vocab]
          return tf.mul(tf.sub(tf.softmax(saved), ones), tf.div(dy, n));
        },
      };
    })(logits);
  }

  /** From the last layer's output to the loss. [n, n_embd] -> [] */
  private head(h: Tensor2D, { targets }: Batch): Scalar {
    const normal = this.layerNorm(h, "model/ln_f");
    const logits = this.timesTransposed<Tensor2D>(normal, this.get(this.output)); // [n, n_embd] -> [n, n_vocab]
    return this.crossEntropy(logits, targets);
  }

  /** The mean cross-entropy of a batch, in nats. The caller disposes it. */
  loss(batch: Batch): Scalar {
    return this.tf.tidy(() => {
      const mask = this.mask(batch);
      let h = this.embed(batch);
      for (let layer = 0; layer < this.hparams.n_layer; layer++) {
        h = this.through(h, layer, batch.n_batch, mask);
      }
      return this.head(h, batch);
    });
  }

  /**
   * The mean cross-entropy of a batch, and its gradient with respect to some parameters.
   * @param names of the parameters; all layers must hold some, or none
   * @param recompute keeps only each layer's input on the forward pass, and runs the layer again on the backward pass to
   *   get its gradient
   * @param add takes each gradient, twice for a parameter used in two places; it owns the tensor
   * @returns the loss, which the caller disposes
   */
  gradients(
    batch: Batch,
    names: readonly string[],
    recompute: boolean,
    add: (name: string, gradient: Tensor) => void,
  ): Scalar {
    const { tf } = this;
    /** f's value, and its gradients: add() gets those of parameters; that of its input h is returned. */
    const back = <T extends Tensor>(
      f: () => T,
      used: readonly string[],
      h?: Tensor2D,
      dy?: T,
    ): { value: T; dh: Tensor2D } => {
      const inputs = used.map((name) => this.get(name));
      const { value, grads } = tf.valueAndGrads(f)(h ? [h, ...inputs] : inputs, dy);
      const dh = (h && grads.shift()) as Tensor2D;
      for (const [i, name] of used.entries()) add(name, grads[i]);
      return { value, dh };
    };
    if (!recompute) return back(() => this.loss(batch), names).value;
    return tf.tidy(() => {
      const { n_layer } = this.hparams;
      const mask = this.mask(batch);
      const hs = [tf.tidy(() => this.embed(batch))];
      for (let layer = 0; layer < n_layer; layer++) {
        hs.push(this.through(hs[layer], layer, batch.n_batch, mask));
      }
      const among = (own: readonly string[]): string[] => own.filter((name) => names.includes(name));
      const last = hs[n_layer];
      const ends = among(["model/ln_f/g", "model/ln_f/b", this.output]);
      const { value, dh } = back(() => this.head(last, batch), ends, last);
      last.dispose();
      let dy = dh; // of the loss with respect to the layer's output
      for (let layer = n_layer - 1; layer >= 0; layer--) {
        const h = hs[layer];
        const own = names.filter((name) => name.includes(`/h${layer}/`));
        const result = back(() => this.through(h, layer, batch.n_batch, mask), own, h, dy);
        for (const used of [h, dy, result.value]) used.dispose();
        dy = result.dh;
      }
      const starts = among(["model/wte", "model/wpe"]);
      if (starts.length > 0) back(() => this.embed(batch), starts, undefined, dy);
      return value;
    });
  }
}
