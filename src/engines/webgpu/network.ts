import { architectureOf, attentionScale, type Hparams } from "../../model/hparams.js";
import { type Device, type Dispatch, USAGE } from "./device.js";
import type { Cache } from "./kv-cache.js";
import type { Order } from "./order.js";
import { attentionShader } from "./shaders/attention.js";
import { embedShader } from "./shaders/embed.js";
import { LARGEST_WORDS, largestShader } from "./shaders/largest.js";
import { type LinearKind, linearShader } from "./shaders/linear.js";
import { PAGE, PASS_HEAD, PASS_ROW, type Storage } from "./shaders/wgsl.js";
import type { Linear, Orders, Weights } from "./weights.js";

/** Sizes that differ between real GPUs and software. */
export interface Tuning {
  /** Threads that share a product's sum. */
  readonly slices: number;
  /** Threads per head in attention, a multiple of 8. */
  readonly attentionThreads: number;
  /** Rows in one pass. */
  readonly rows: number;
  /** The most rows of a product in one workgroup. */
  readonly rowsTogether: number;
  /** Parts in which a pass is submitted, so that the GPU starts while the rest is being recorded. */
  readonly parts: number;
}

/** A GPU has thousands of threads; in software, every thread is extra work. */
export const GPU_TUNING: Tuning = {
  slices: 256,
  attentionThreads: 128,
  rows: 256,
  rowsTogether: 8,
  parts: 4,
};
/** Software adapters, such as SwiftShader and lavapipe. */
export const SOFTWARE_TUNING: Tuning = {
  slices: 8,
  attentionThreads: 16,
  rows: 128,
  rowsTogether: 8,
  parts: 1,
};

/** The most scores that attention keeps in shared memory: 4096 would fill the least that adapters have. */
const MOST_SCORES = 2048;

/** A pass's shape, which alone decides the programs to run. */
export interface PassShape {
  readonly rows: number;
  /** Rows whose logits are wanted. */
  readonly n_last: number;
  /** Whether only the largest logits are wanted. */
  readonly isLargest: boolean;
}

/** Whether two passes run the same programs. */
export const isSame = (a: PassShape, b: PassShape): boolean =>
  a.rows === b.rows && a.n_last === b.n_last && a.isLargest === b.isLargest;

/** A pass's results: for each row of logits, an array. */
export interface Output {
  readonly buffer: GPUBuffer;
  /** Words per row. */
  readonly words: number;
}

/** GPT-2 as a list of programs on buffers. Knows rows and pages, not sequences. */
export class Network {
  /** The pass's description: PASS_HEAD words, PASS_ROW words per row, then lists of pages. */
  readonly about: GPUBuffer;
  readonly aboutWords: number;
  private readonly pipelines = new Map<string, GPUComputePipeline>();
  private readonly groups = new Map<string, GPUBindGroup>();
  private generation = 0;
  /** The list for the last shape, which the next token usually shares. */
  private last: (PassShape & { readonly list: readonly Dispatch[] }) | undefined;
  private readonly x: GPUBuffer;
  private readonly q: GPUBuffer;
  private readonly attended: GPUBuffer;
  private readonly hidden: GPUBuffer;
  private logits: GPUBuffer;
  private largest: GPUBuffer;
  private logitsRows = 1;

  constructor(
    private readonly device: Device,
    readonly hparams: Hparams,
    private readonly weights: Weights,
    private readonly cache: Cache,
    private readonly orders: Orders,
    private readonly storage: Storage,
    readonly tuning: Tuning,
  ) {
    const { n_ctx, n_embd, n_vocab } = hparams;
    const { rows } = tuning;
    this.aboutWords = PASS_HEAD + rows * (PASS_ROW + Math.ceil(n_ctx / PAGE));
    this.about = device.createBuffer(4 * this.aboutWords, USAGE.storage | USAGE.copyTo, "the pass");
    const words = (n: number, what: string): GPUBuffer =>
      device.createBuffer(4 * n, USAGE.storage | USAGE.copyFrom, what);
    this.x = words(rows * orders.embd.size, "x");
    this.q = words(rows * n_embd, "queries");
    this.attended = words(rows * orders.embd.size, "attention");
    this.hidden = words(rows * orders.hidden.size, "hidden");
    this.logits = words(n_vocab, "logits");
    this.largest = words(LARGEST_WORDS, "the largest logits");
  }

  /** The buffer for results of n_last rows. Valid until more rows are requested. */
  output({ n_last, isLargest }: Omit<PassShape, "rows">): Output {
    if (n_last > this.logitsRows) {
      this.logits = this.enlarge(this.logits, n_last * this.hparams.n_vocab);
      this.largest = this.enlarge(this.largest, n_last * LARGEST_WORDS);
      this.logitsRows = n_last;
      this.forget();
    }
    return isLargest
      ? { buffer: this.largest, words: LARGEST_WORDS }
      : { buffer: this.logits, words: this.hparams.n_vocab };
  }

  private enlarge(buffer: GPUBuffer, words: number): GPUBuffer {
    const larger = this.device.createBuffer(4 * words, buffer.usage, buffer.label);
    this.device.destroyBuffer(buffer);
    return larger;
  }

  /** The programs of a pass, in order. */
  dispatches(shape: PassShape): readonly Dispatch[] {
    if (this.generation !== this.cache.generation) this.forget(); // drops bindings to old buffers
    this.generation = this.cache.generation;
    if (this.last && isSame(this.last, shape)) return this.last.list;
    const list = this.list(shape);
    this.last = { ...shape, list };
    return list;
  }

  private forget(): void {
    this.groups.clear();
    this.last = undefined;
  }

  private list(shape: PassShape): Dispatch[] {
    const { rows, n_last, isLargest } = shape;
    const { embd, hidden } = this.orders;
    const { layers, logits } = this.weights;
    const list = [...this.embed(rows)];
    for (const [i, layer] of layers.entries()) {
      const cache = this.cache.layers[i];
      list.push(...this.linear("attention-in", layer.c_attn, rows, this.x, [this.q, cache]));
      list.push(this.attention(i, rows));
      list.push(...this.linear("residual", layer.c_proj, rows, this.attended, [this.x], embd));
      list.push(...this.linear("hidden", layer.c_fc, rows, this.x, [this.hidden], hidden));
      list.push(...this.linear("residual", layer.c_proj_mlp, rows, this.hidden, [this.x], embd));
    }
    if (n_last === 0) return list;
    this.output(shape); // enlarges the buffer bound below
    list.push(...this.linear("logits", logits, n_last, this.x, [this.logits]));
    if (isLargest) list.push(this.findLargest(n_last));
    return list;
  }

  private embed(rows: number): Dispatch[] {
    const { weights, storage, orders } = this;
    return weights.wte.slices.map(({ buffer, first, columns }) => {
      const shape = { storage, order: orders.embd, first, columns, threads: Math.min(64, this.threads) };
      const key = `embed ${first}`;
      const pipeline = this.pipeline(key, () => embedShader(shape));
      const group = this.group(key, pipeline, [this.about, buffer, weights.wpe, this.x]);
      return { pipeline, group, x: rows, y: 1 };
    });
  }

  private attention(layer: number, rows: number): Dispatch {
    const { n_ctx, n_embd, n_head } = this.hparams;
    const block = Math.min(MOST_SCORES, Math.ceil(n_ctx / PAGE) * PAGE);
    const scale = attentionScale(this.hparams, layer);
    const shape = { n_head, d: n_embd / n_head, scale, block, threads: this.threads, to: this.orders.embd };
    const pipeline = this.pipeline(`attention ${scale}`, () => attentionShader(shape));
    const buffers = [this.about, this.q, this.cache.layers[layer], this.attended];
    return { pipeline, group: this.group(`attention ${layer}`, pipeline, buffers), x: n_head, y: rows };
  }

  private findLargest(n_last: number): Dispatch {
    const shape = { n_vocab: this.hparams.n_vocab, threads: this.tuning.attentionThreads };
    const pipeline = this.pipeline("largest", () => largestShader(shape));
    const group = this.group("largest", pipeline, [this.about, this.logits, this.largest]);
    return { pipeline, group, x: n_last, y: 1 };
  }

  private get threads(): number {
    return this.tuning.attentionThreads;
  }

  /** A matmul for this many rows: one dispatch per slice of its matrix. */
  private linear(
    kind: LinearKind,
    { matrix, vectors }: Linear,
    rows: number,
    input: GPUBuffer,
    outputs: readonly GPUBuffer[],
    to?: Order,
  ): Dispatch[] {
    const { order, n_out } = matrix;
    const together = [1, 2, 4, 8].find((n) => n >= rows || n >= this.tuning.rowsTogether) ?? 1;
    return matrix.slices.map(({ buffer, first, columns }) => {
      const shape = {
        kind,
        storage: this.storage,
        order,
        columns,
        first,
        n_out,
        rows: together,
        to,
        n_head: this.hparams.n_head,
        ...architectureOf(this.hparams),
        shared: this.device.limits.maxComputeWorkgroupStorageSize,
      };
      const key = `${kind} ${order.n} ${first} ${together}`;
      const pipeline = this.pipeline(key, () => linearShader(shape));
      const group = this.group(`${key} ${buffer.label}`, pipeline, [
        this.about,
        buffer,
        vectors,
        input,
        ...outputs,
      ]);
      return { pipeline, group, x: Math.ceil(columns / 8), y: Math.ceil(rows / together) };
    });
  }

  private pipeline(key: string, code: () => string): GPUComputePipeline {
    const known = this.pipelines.get(key);
    if (known) return known;
    const made = this.device.pipeline(code(), key);
    this.pipelines.set(key, made);
    return made;
  }

  private group(key: string, pipeline: GPUComputePipeline, buffers: readonly GPUBuffer[]): GPUBindGroup {
    const known = this.groups.get(key);
    if (known) return known;
    const made = this.device.bind(pipeline, buffers);
    this.groups.set(key, made);
    return made;
  }
}
