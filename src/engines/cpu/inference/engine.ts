import { setImmediate } from "node:timers/promises";
import { BLOCK_ROWS, InferenceJob } from "../../../../assembly/abi.js";
import type { Engine, LogitsWanted, Sequence, Step } from "../../../model/engine.js";
import type { Hparams } from "../../../model/hparams.js";
import type { WeightSource } from "../../../model/weight-source.js";
import { option, UserError } from "../../../system/errors.js";
import type { CachedSequence } from "../../paged-cache.js";
import { checkLength, checkSteps, cutIntoPasses, type Span } from "../../steps.js";
import { modeOf } from "../runtime/architecture.js";
import { type Heap, LIMIT_PAGES } from "../runtime/heap.js";
import type { Pool } from "../runtime/pool.js";
import { BLOCK, MODEL, write } from "../runtime/records.js";
import { type StartOptions, startProgram } from "../runtime/start.js";
import { fillAttentionWeights } from "./attention-weights.js";
import { allocateBuffers, type InferenceExports, type PassBuffers } from "./buffers.js";
import { Cache } from "./kv-cache.js";
import { type Precision, roundUp, WeightLoader, weightBytes } from "./weights.js";

/** How the CPU engine is set up. */
export interface CpuOptions extends StartOptions {
  /** Default: "float32". */
  readonly precision?: Precision;
}

/** A buffer of logits up to this size is kept from call to call. */
const KEPT_LOGITS = 4 << 20;

/** Whether a model fits in one WebAssembly memory and leaves enough for a context. */
function fitsWasm(hparams: Hparams, precision: Precision): boolean {
  const { n_ctx, n_embd, n_layer } = hparams;
  return weightBytes(hparams, precision) + 2 * n_ctx * n_embd * n_layer * 4 + 2 ** 26 < LIMIT_PAGES * 65536;
}

/**
 * Loads a model into the CPU engine: float32, float16 or int8 weights, one or more threads over one WebAssembly
 * memory. Every sum is taken in one fixed order with fused multiply-add, so the logits' bits do not depend on the number
 * of threads, the rest of the batch, how the prompt was cut, the kernels or the machine.
 * @throws UserError when a tensor cannot be read, the model is too large, or there is no memory or thread for it
 */
export async function createCpuEngine(
  hparams: Hparams,
  source: WeightSource,
  options: CpuOptions = {},
): Promise<Engine> {
  const { native = false, precision: wanted = "float32" } = options;
  const precision = wanted === "float16" && !native ? "float32" : wanted; // the same values, widened
  if (!fitsWasm(hparams, precision)) {
    const gigabytes = (weightBytes(hparams, precision) / 2 ** 30).toFixed(1);
    const hint = precision === "int8" ? "use a smaller model" : `use ${option("precision", "int8")}`;
    throw new UserError(
      `the model takes ${gigabytes} GiB in ${precision}, too much for one WebAssembly memory`,
      { next: hint },
    );
  }
  const { heap, pool, threads } = await startProgram<InferenceExports>("gpt2", options);
  try {
    const buffers = allocateBuffers(heap, pool, hparams, threads, precision, native);
    const loader = new WeightLoader(heap, pool, hparams, source, { ...options, precision, ...buffers });
    const weights = await loader.load();
    const cache = new Cache(heap, hparams);
    const { rows, tables, ...addresses } = buffers;
    const { n_embd, n_head, n_layer } = hparams;
    const model = heap.allocate(MODEL.bytes);
    write(heap.memory, model, MODEL, {
      n_embd,
      n_head,
      n_layer,
      ...weights,
      ...addresses,
      page_layer: cache.layerBytes,
      activation: modeOf(hparams),
      resume_at: 0,
    });
    return new CpuEngine(native ? "native" : "wasm", hparams, precision, heap, pool, cache, {
      model,
      passRows: rows,
      tables,
      ...addresses,
    });
  } catch (error) {
    await pool.stop();
    throw error;
  }
}

class CpuEngine implements Engine {
  private logits = { at: 0, bytes: 0 };
  private words: Uint32Array = new Uint32Array(0);
  private busy = false;
  private disposed = false;

  constructor(
    readonly name: "native" | "wasm",
    readonly hparams: Hparams,
    readonly precision: Precision,
    private readonly heap: Heap,
    private readonly pool: Pool,
    private readonly cache: Cache,
    private readonly buffers: PassBuffers,
  ) {}

  createSequence(): Sequence {
    return this.cache.create();
  }

  fork(sequence: Sequence, length = sequence.length): Sequence {
    return this.cache.fork(this.cache.check(sequence), checkLength(sequence, length));
  }

  free(sequence: Sequence): void {
    this.cache.free(this.cache.check(sequence));
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    await this.pool.stop();
  }

  async forward(steps: readonly Step[], wanted: LogitsWanted = "last"): Promise<Float32Array[]> {
    this.checkIdle();
    const checked = checkSteps(this.hparams, steps, (sequence) => this.cache.check(sequence));
    this.busy = true;
    try {
      for (const { sequence, ids } of checked) this.cache.reserve(sequence, sequence.length + ids.length);
      const stride = roundUp(this.hparams.n_vocab, 8);
      const counts = checked.map(({ ids }) => (wanted === "all" ? ids.length : wanted === "last" ? 1 : 0));
      const at = this.roomForLogits(counts.reduce((sum, n) => sum + n, 0) * stride * 4);
      let computed = 0;
      for (const spans of cutIntoPasses(checked, this.buffers.passRows)) {
        if (computed > 0 || spans[0].begin > 0) await setImmediate(); // gives signals and timers a turn
        if (this.disposed) throw new UserError("the engine was disposed of while it was at work");
        computed += this.pass(spans, wanted, at + computed * stride * 4);
      }
      for (const { sequence, ids } of checked) sequence.length += ids.length;
      return this.collect(at, counts, stride);
    } finally {
      this.busy = false;
    }
  }

  /**
   * All layers share one buffer of queries, keys and values, so each pass is stopped where a layer has filled it and
   * resumed from there.
   */
  async attention(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array> {
    this.checkIdle();
    const sequence = this.cache.check(this.cache.create());
    try {
      const steps = checkSteps(this.hparams, [{ sequence, ids }], () => sequence);
      this.busy = true;
      this.cache.reserve(sequence, ids.length);
      const { n_embd, n_head, n_layer } = this.hparams;
      const [n, width] = [ids.length, 3 * n_embd];
      const kept = Array.from({ length: n_layer }, () => new Float32Array(n * width)); // [n, 3 n_embd] each
      for (const spans of cutIntoPasses(steps, this.buffers.passRows)) {
        for (const [layer, qkv] of kept.entries()) {
          await setImmediate(); // gives signals and timers a turn
          signal?.throwIfAborted();
          if (this.disposed) throw new UserError("the engine was disposed of while it was at work");
          this.setLayers(layer, layer + 1);
          this.pass(spans, "none", 0);
          const [{ begin, end }] = spans;
          for (let row = begin; row < end; row++) qkv.set(this.rowOfQkv(row - begin, width), row * width);
        }
      }
      const weights = new Float32Array(n_layer * n_head * n * n);
      const size = n_head * n * n;
      for (const [layer, qkv] of kept.entries()) {
        const heads = weights.subarray(layer * size, (layer + 1) * size); // [n_head, n, n]
        fillAttentionWeights(this.hparams, layer, qkv, heads);
      }
      return weights;
    } finally {
      this.setLayers(0, this.hparams.n_layer);
      this.busy = false;
      this.cache.free(sequence);
    }
  }

  /** Which layers a pass runs, [resume_at, n_layer): the last one only for rows whose logits are wanted. */
  private setLayers(resume_at: number, n_layer: number): void {
    write(this.heap.memory, this.buffers.model, MODEL, { resume_at, n_layer });
  }

  private rowOfQkv(row: number, width: number): Float32Array {
    const { qkv, qkv_stride } = this.buffers;
    return new Float32Array(this.heap.memory.buffer, qkv + row * qkv_stride * 4, width);
  }

  private checkIdle(): void {
    if (this.disposed) throw new RangeError("the engine has been disposed of");
    if (this.busy) throw new RangeError("the engine is still at work: one call at a time");
  }

  /** One pass of at most passRows rows. @returns how many rows have logits */
  private pass(spans: readonly Span<CachedSequence>[], wanted: LogitsWanted, logits: number): number {
    const { memory } = this.heap;
    const { model, ids, positions, row_pages, blocks, last_blocks, tables } = this.buffers;
    const words = this.allWords();
    let row = 0;
    let table = tables >>> 2;
    let n_blocks = 0;
    let n_last_blocks = 0;
    let n_last = 0;
    const block = (at: number, index: number, ...values: number[]): void =>
      words.set(values, (at + index * BLOCK.bytes) >>> 2);
    for (const { sequence, ids: tokens, begin, end } of spans) {
      const pages = table * 4;
      words.set(sequence.pages, table);
      table += sequence.pages.length;
      for (let i = begin; i < end; i += BLOCK_ROWS) {
        const count = Math.min(BLOCK_ROWS, end - i);
        const values = [row + i - begin, count, sequence.length + i, pages];
        block(blocks, n_blocks++, ...values, row + i - begin);
        if (wanted === "all") {
          block(last_blocks, n_last_blocks++, ...values, n_last);
          n_last += count;
        }
      }
      for (let i = begin; i < end; i++, row++) {
        words[(ids >>> 2) + row] = tokens[i];
        words[(positions >>> 2) + row] = sequence.length + i;
        words[(row_pages >>> 2) + row] = pages;
      }
      if (wanted === "last" && end === tokens.length) {
        block(last_blocks, n_last_blocks++, row - 1, 1, sequence.length + end - 1, pages, n_last++);
      }
    }
    write(memory, model, MODEL, { rows: row, n_blocks, n_last_blocks, n_last, logits });
    this.pool.run(InferenceJob.FORWARD, model);
    return n_last;
  }

  /** The memory as words; a new view after it has grown. */
  private allWords(): Uint32Array {
    const { memory } = this.heap;
    if (this.words.byteLength !== memory.buffer.byteLength) this.words = new Uint32Array(memory.buffer);
    return this.words;
  }

  private roomForLogits(bytes: number): number {
    const { at, bytes: room } = this.logits;
    if (bytes > room || (room > KEPT_LOGITS && bytes <= KEPT_LOGITS)) {
      if (room > 0) this.heap.release(at);
      this.logits = { at: 0, bytes: 0 };
      if (bytes > 0) this.logits = { at: this.heap.allocate(bytes), bytes };
    }
    return this.logits.at;
  }

  /** One array per step: rows lie `stride` apart and are moved together. */
  private collect(at: number, counts: readonly number[], stride: number): Float32Array[] {
    const { n_vocab } = this.hparams;
    let row = 0;
    return counts.map((count) => {
      const rows = new Float32Array(this.heap.memory.buffer, at + row * stride * 4, count * stride);
      for (let i = 1; i < count && stride > n_vocab; i++)
        rows.copyWithin(i * n_vocab, i * stride, i * stride + n_vocab);
      row += count;
      return rows.subarray(0, count * n_vocab);
    });
  }
}
