import type { Mode } from "../../../../assembly/abi.js";
import { architectureOf, type Hparams } from "../../../model/hparams.js";
import { LM_HEAD } from "../../../model/parameters.js";
import { LORA_SCALE } from "../../../model/trainer.js";
import { attentionScaleFloat32, modeOf } from "../runtime/architecture.js";
import type { Heap } from "../runtime/heap.js";
import type { BufferRoom, Buffers, LayerBuffers } from "./buffers.js";
import type { Factor, Operations } from "./operations.js";
import type { Tensors } from "./tensors.js";

/** Rows that go through the network together, if the batch has this many. */
const GROUP_ROWS = 1024;

/** What is trained, and where its gradients go. */
export interface TrainingTensors {
  readonly weights: Tensors;
  /** Of the trained tensors: weights, or LoRA's matrices. */
  readonly gradients: Tensors;
  /** LoRA's matrices. */
  readonly lora?: { readonly tensors: Tensors; readonly rank: number };
}

/** Sequences of one length that go through the network together. */
interface Group {
  readonly n: number;
  readonly t: number;
  readonly rows: number;
}

/** Loss and gradients of GPT-2 (openai/gpt-2 src/model.py), written out operation by operation. */
export class TrainingNetwork {
  private readonly activation: Mode;
  private readonly n_inner: number;
  private readonly epsilon: number;
  /** The name of the output matrix. */
  private readonly output: string;

  constructor(
    private readonly hparams: Hparams,
    private readonly heap: Heap,
    private readonly operations: Operations,
    private readonly room: BufferRoom,
    private readonly parameters: TrainingTensors,
    private readonly recompute: boolean,
  ) {
    const { n_inner, layer_norm_epsilon, tie_word_embeddings } = architectureOf(hparams);
    this.activation = modeOf(hparams);
    this.n_inner = n_inner;
    this.epsilon = layer_norm_epsilon;
    this.output = tie_word_embeddings ? "model/wte" : LM_HEAD;
  }

  /**
   * The mean cross-entropy of a batch. A large batch goes through in groups of sequences, which takes more time but not
   * more memory.
   * @param batch sequences of T + 1 ids each
   * @param learn whether to add the mean's gradient to the gradients
   */
  async loss(batch: readonly ArrayLike<number>[], learn: boolean): Promise<number> {
    const t = batch[0].length - 1;
    const most = Math.min(batch.length, Math.max(1, Math.floor(GROUP_ROWS / t)));
    const buffers = this.room.reserve(most * t, t);
    let sum = 0;
    for (let i = 0; i < batch.length; i += most) {
      const sequences = batch.slice(i, i + most); // [at most `most`, T + 1]
      const group = { n: sequences.length, t, rows: sequences.length * t };
      this.place(sequences, group, buffers);
      await this.forward(group, buffers);
      await this.head(group, buffers, learn ? 1 / (batch.length * t) : 0);
      if (learn) await this.backward(group, buffers);
      for (const loss of new Float64Array(this.heap.memory.buffer, buffers.losses, group.rows)) sum += loss;
    }
    return sum / (batch.length * t);
  }

  private place(sequences: readonly ArrayLike<number>[], { t, rows }: Group, buffers: Buffers): void {
    const ids = new Uint32Array(this.heap.memory.buffer, buffers.ids, rows);
    const targets = new Uint32Array(this.heap.memory.buffer, buffers.targets, rows);
    for (const [n, sequence] of sequences.entries()) {
      for (let i = 0; i < t; i++) {
        ids[n * t + i] = sequence[i];
        targets[n * t + i] = sequence[i + 1];
      }
    }
  }

  private async forward(group: Group, buffers: Buffers): Promise<void> {
    const { rows, t } = group;
    const { weights } = this.parameters;
    const { ids, layers } = buffers;
    await this.operations.embeddingForward({
      rows,
      t,
      n: this.hparams.n_embd,
      ids,
      wte: weights.address("model/wte"),
      wpe: weights.address("model/wpe"),
      x: layers[0].x,
    });
    for (const [i, layer] of layers.entries()) {
      await this.layerUpToHidden(i, layer, group, buffers);
      const y = layers[i + 1]?.x ?? buffers.last;
      const { n_embd } = this.hparams;
      await this.operations.activationForward(
        this.activation,
        rows * this.n_inner,
        layer.hidden,
        buffers.activated,
      );
      await this.linear(`model/h${i}/mlp/c_proj`, rows, buffers.activated, y);
      await this.operations.residual(rows * n_embd, layer.middle, y);
    }
  }

  /** A layer except for its last step: all that the backward pass needs. */
  private async layerUpToHidden(
    i: number,
    layer: LayerBuffers,
    { n, t, rows }: Group,
    { normed }: Buffers,
  ): Promise<void> {
    const { n_embd, n_head } = this.hparams;
    const h = `model/h${i}`;
    const { x, qkv, a, middle, hidden } = layer;
    await this.norm(`${h}/ln_1`, rows, x, normed);
    await this.linear(`${h}/attn/c_attn`, rows, normed, qkv); // [rows, n_embd] -> [rows, 3 n_embd]
    const scale = attentionScaleFloat32(this.hparams, i);
    await this.operations.attentionForward({ n, t, n_head, n_embd, qkv, a, rows: layer.rows, scale });
    await this.linear(`${h}/attn/c_proj`, rows, a, middle);
    await this.operations.residual(rows * n_embd, x, middle);
    await this.norm(`${h}/ln_2`, rows, middle, normed);
    await this.linear(`${h}/mlp/c_fc`, rows, normed, hidden); // [rows, n_embd] -> [rows, n_inner]
  }

  /** Losses of all rows; with a factor, also dx, the gradient of ln_f's input, and those of the output matrix and ln_f. */
  private async head({ rows }: Group, buffers: Buffers, factor: number): Promise<void> {
    const { n_embd, n_vocab } = this.hparams;
    const { operations } = this;
    const { logits, logits_row, normed, dy, chunk } = buffers;
    const w = { at: this.parameters.weights.address(this.output), row: n_embd }; // [n_vocab, n_embd]
    const dw = this.gradient(this.output);
    await this.norm("model/ln_f", rows, buffers.last, normed);
    for (let row = 0; row < rows; row += chunk) {
      const count = Math.min(chunk, rows - row);
      const x = { at: normed + row * n_embd * 4, row: n_embd };
      // [count, n_embd] [n_embd, n_vocab] -> [count, n_vocab]
      await operations.matmul([count, n_embd, n_vocab], x, { ...w, transposed: true }, logits, {
        c_row: logits_row,
      });
      await operations.crossentropy({
        rows: count,
        n_vocab,
        row: logits_row,
        logits,
        targets: buffers.targets + row * 4,
        losses: buffers.losses + row * 8,
        scale: factor,
      });
      if (factor === 0) continue;
      const dlogits = { at: logits, row: logits_row };
      await operations.matmul([count, n_vocab, n_embd], dlogits, w, dy + row * n_embd * 4);
      if (dw)
        await operations.matmul([n_vocab, count, n_embd], { ...dlogits, transposed: true }, x, dw, {
          add: true,
        });
    }
    if (factor === 0) return;
    await operations.clear(rows * n_embd, buffers.dx);
    await this.normBackward("model/ln_f", rows, buffers.last, buffers);
  }

  /** From dx, the gradient of the last layer's output, back to the embedding. */
  private async backward(group: Group, buffers: Buffers): Promise<void> {
    const { rows, t } = group;
    for (let i = this.hparams.n_layer - 1; i >= 0; i--) await this.layerBackward(i, group, buffers);
    const wte = this.gradient("model/wte");
    if (!wte) return;
    const wpe = this.gradient("model/wpe");
    await this.operations.embeddingBackward({
      rows,
      t,
      n: this.hparams.n_embd,
      ids: buffers.ids,
      wte,
      wpe,
      x: buffers.dx,
    });
  }

  private async layerBackward(i: number, group: Group, buffers: Buffers): Promise<void> {
    const { n_embd, n_head } = this.hparams;
    const { operations } = this;
    const { n, t, rows } = group;
    const { normed, dx, dy, activated, mlp } = buffers;
    const layer = buffers.layers[i];
    const { x, qkv, a, middle, hidden } = layer;
    const h = `model/h${i}`;
    if (this.recompute) await this.layerUpToHidden(i, layer, group, buffers);

    await this.linearInputBackward(`${h}/mlp/c_proj`, rows, dx, mlp); // -> [rows, n_inner]
    await operations.activationBackward(this.activation, rows * this.n_inner, hidden, activated, mlp);
    await this.linearBackward(`${h}/mlp/c_proj`, rows, activated, dx, buffers);
    await this.linearInputBackward(`${h}/mlp/c_fc`, rows, mlp, dy); // -> [rows, n_embd]
    if (!this.recompute) await this.norm(`${h}/ln_2`, rows, middle, normed); // else it still holds this
    await this.linearBackward(`${h}/mlp/c_fc`, rows, normed, mlp, buffers);
    await this.normBackward(`${h}/ln_2`, rows, middle, buffers);

    await this.linearInputBackward(`${h}/attn/c_proj`, rows, dx, dy);
    await this.linearBackward(`${h}/attn/c_proj`, rows, a, dx, buffers);
    await operations.attentionBackward({
      ...{ n, t, n_head, n_embd, qkv, a, rows: layer.rows },
      ...{ da: dy, dqkv: mlp, scale: attentionScaleFloat32(this.hparams, i) },
    });
    await this.norm(`${h}/ln_1`, rows, x, normed);
    await this.linearBackward(`${h}/attn/c_attn`, rows, normed, mlp, buffers);
    if (i === 0 && !this.gradient("model/wte") && !this.gradient(`${h}/ln_1/g`)) return;
    await this.linearInputBackward(`${h}/attn/c_attn`, rows, mlp, dy); // [rows, 3 n_embd] -> [rows, n_embd]
    await this.normBackward(`${h}/ln_1`, rows, x, buffers);
  }

  /** Where a tensor's gradient goes, or 0 if it is not trained. */
  private gradient(name: string): number {
    const { gradients } = this.parameters;
    return gradients.layout.has(name) ? gradients.address(name) : 0;
  }

  private async norm(name: string, rows: number, x: number, y: number): Promise<void> {
    const { weights } = this.parameters;
    const g = weights.address(`${name}/g`);
    const b = weights.address(`${name}/b`);
    await this.operations.layernormForward({
      rows,
      n: this.hparams.n_embd,
      g,
      b,
      x,
      y,
      epsilon: this.epsilon,
    });
  }

  /** dx += the gradient of LayerNorm's input x, from that of its output in dy. */
  private async normBackward(
    name: string,
    rows: number,
    x: number,
    { dx, dy, moments }: Buffers,
  ): Promise<void> {
    const g = this.parameters.weights.address(`${name}/g`);
    const [dg, db] = [this.gradient(`${name}/g`), this.gradient(`${name}/b`)];
    await this.operations.layernormBackward({
      rows,
      n: this.hparams.n_embd,
      g,
      x,
      y: dy,
      dx,
      dg,
      db,
      moments,
      epsilon: this.epsilon,
    });
  }

  private matrix(name: string): Factor & { n_in: number; n_out: number } {
    const { weights } = this.parameters;
    const [, n_in, n_out] = weights.layout.shapes.get(`${name}/w`)!;
    return { at: weights.address(`${name}/w`), row: n_out, n_in, n_out };
  }

  /** y = x w + b */
  private async linear(name: string, rows: number, x: number, y: number): Promise<void> {
    const w = this.matrix(name);
    const bias = this.parameters.weights.address(`${name}/b`);
    await this.operations.matmul([rows, w.n_in, w.n_out], { at: x, row: w.n_in }, w, y, { bias });
  }

  /** dx = dy w^T */
  private async linearInputBackward(name: string, rows: number, dy: number, dx: number): Promise<void> {
    const w = this.matrix(name);
    const factor = { at: dy, row: w.n_out };
    await this.operations.matmul([rows, w.n_out, w.n_in], factor, { ...w, transposed: true }, dx);
  }

  /** dw += x^T dy and db += the sum of dy's rows, or LoRA's da and db. */
  private async linearBackward(
    name: string,
    rows: number,
    x: number,
    dy: number,
    { thin, thin_w }: Buffers,
  ): Promise<void> {
    const { operations } = this;
    const { n_in, n_out } = this.matrix(name);
    const turned = { at: x, row: n_in, transposed: true };
    const right = { at: dy, row: n_out };
    const { lora } = this.parameters;
    if (!lora) {
      const dw = this.gradient(`${name}/w`);
      await operations.matmul([n_in, rows, n_out], turned, right, dw, { add: true });
      await operations.biasBackward(rows, n_out, dy, this.gradient(`${name}/b`));
      return;
    }
    const { tensors, rank } = lora;
    const [a, b] = [`lora/a/${name}/w`, `lora/b/${name}/w`];
    const factor = { at: thin, row: rank };
    // dw = x^T dy, w = 2 a b: da = 2 x^T (dy b^T), db = (2 x a)^T dy
    const bTransposed = { at: tensors.address(b), row: n_out, transposed: true };
    await operations.matmul([rows, n_out, rank], right, bTransposed, thin);
    await operations.scale(rows * rank, thin, LORA_SCALE);
    await operations.matmul([n_in, rows, rank], turned, factor, this.gradient(a), { add: true });
    await this.scaledA(`${name}/w`, n_in, thin_w);
    await operations.matmul([rows, n_in, rank], { at: x, row: n_in }, { at: thin_w, row: rank }, thin);
    await operations.matmul([rank, rows, n_out], { ...factor, transposed: true }, right, this.gradient(b), {
      add: true,
    });
  }

  /** w = base + 2 a b, for each matrix with LoRA. */
  async mergeLora(base: Tensors): Promise<void> {
    const { weights, lora } = this.parameters;
    if (!lora) return;
    const { operations } = this;
    const { tensors, rank } = lora;
    const { thin_w } = this.room.reserve(1, 1);
    for (const [name, [, n_in, n_out]] of base.layout.shapes) {
      const w = weights.address(name);
      const b = { at: tensors.address(`lora/b/${name}`), row: n_out };
      await this.scaledA(name, n_in, thin_w);
      await operations.copy(n_in * n_out, base.address(name), w);
      await operations.matmul([n_in, rank, n_out], { at: thin_w, row: rank }, b, w, { add: true });
    }
  }

  /** 2 a, for the matrix of this name. */
  private async scaledA(name: string, n_in: number, to: number): Promise<void> {
    const { tensors, rank } = this.parameters.lora!;
    await this.operations.copy(n_in * rank, tensors.address(`lora/a/${name}`), to);
    await this.operations.scale(n_in * rank, to, LORA_SCALE);
  }
}
