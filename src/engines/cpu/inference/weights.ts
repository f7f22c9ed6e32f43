import { InferenceJob, PANEL, WeightType } from "../../../../assembly/abi.js";
import { architectureOf, type Hparams } from "../../../model/hparams.js";
import { LM_HEAD, parameterShapes, sizeOf } from "../../../model/parameters.js";
import type { WeightSource } from "../../../model/weight-source.js";
import { attentionScaleFloat32 } from "../runtime/architecture.js";
import type { Heap } from "../runtime/heap.js";
import type { Pool } from "../runtime/pool.js";
import {
  type FieldValues,
  LAYER,
  LINEAR,
  NORM,
  PACK,
  type RecordType,
  read,
  write,
} from "../runtime/records.js";

/** How weights are held. float16 weights give what float32 gives with the same values. */
export type Precision = "float32" | "float16" | "int8";

/** What each precision means for the kernels: its type, bytes per weight, and how matrices are packed into panels. */
const STORED = {
  float32: {
    type: WeightType.FLOAT32,
    bytes: 4,
    linear: InferenceJob.PACK_LINEAR,
    rows: InferenceJob.PACK_ROWS,
  },
  float16: {
    type: WeightType.FLOAT16,
    bytes: 2,
    linear: InferenceJob.PACK_LINEAR_FLOAT16,
    rows: InferenceJob.PACK_ROWS_FLOAT16,
  },
  int8: {
    type: WeightType.INT8,
    bytes: 1,
    linear: InferenceJob.QUANTIZE_LINEAR,
    rows: InferenceJob.QUANTIZE_ROWS,
  },
} as const;

/** Where a model's weights are. */
export interface LoadedWeights {
  /** Address of n_layer records. */
  readonly layers: number;
  readonly wte: number;
  readonly wpe: number;
  readonly ln_f: number;
  readonly lm_head: number;
}

/** How weights are loaded. */
export interface LoadOptions {
  readonly precision: Precision;
  /** Each thread's scratch memory. */
  readonly own: number;
  readonly own_bytes: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** n rounded up to a multiple of unit. */
export const roundUp = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** Bytes of a matrix's weights: panels of 8 outputs; int8 in pairs of inputs. */
function panelBytes(n_in: number, n_out: number, precision: Precision): number {
  const inputs = precision === "int8" ? roundUp(n_in, 2) : n_in;
  return roundUp(n_out, PANEL) * inputs * STORED[precision].bytes;
}

/** Bytes of a matrix, with its scales. */
function matrixBytes(n_in: number, n_out: number, precision: Precision): number {
  return panelBytes(n_in, n_out, precision) + (precision === "int8" ? roundUp(n_out, PANEL) * 4 : 0);
}

/** Bytes of a model's weights. */
export function weightBytes(hparams: Hparams, precision: Precision): number {
  let bytes = 0;
  for (const [name, shape] of parameterShapes(hparams)) {
    const isTokens = name === "model/wte" || name === LM_HEAD; // [n_vocab, n_embd]
    const [n_in, n_out] = isTokens ? [shape[1], shape[0]] : shape.slice(-2);
    const matrix = isTokens || name.endsWith("/w");
    bytes += matrix ? matrixBytes(n_in, n_out, precision) : sizeOf(shape) * 4;
  }
  return bytes;
}

/** A tensor being loaded: where it is read to, and what happens to it there. */
interface Arrival {
  readonly name: string;
  readonly at: number;
  readonly settle?: () => void;
}

/**
 * Reads a model's weights into a memory and packs them for the kernels. Besides them it never holds more than two
 * matrices of a layer (int8, float16: or the token embedding), in memory that is used again later.
 * @throws UserError when a tensor cannot be read or memory runs out
 */
export class WeightLoader {
  private readonly shapes: Map<string, readonly number[]>;
  private readonly pack: number;
  private done = 0;
  private readonly stored: (typeof STORED)[Precision];

  constructor(
    private readonly heap: Heap,
    private readonly pool: Pool,
    private readonly hparams: Hparams,
    private readonly source: WeightSource,
    private readonly options: LoadOptions,
  ) {
    this.shapes = parameterShapes(hparams);
    this.stored = STORED[options.precision];
    this.pack = heap.allocate(PACK.bytes);
  }

  /** Loads all of them. @throws UserError as above; the signal's reason on an abort */
  async load(): Promise<LoadedWeights> {
    const { n_embd, n_layer } = this.hparams;
    const { layer_norm_epsilon, n_inner, tie_word_embeddings } = architectureOf(this.hparams);
    const wte = await this.tokens("model/wte");
    const lm_head = tie_word_embeddings ? wte : await this.tokens(LM_HEAD);
    const arrivals: Arrival[] = [];
    const stages = [0, 1].map(() => this.heap.allocate(Math.max(3 * n_embd, n_inner) * n_embd * 4));
    let turn = 0;
    const vector = (name: string): number => {
      const size = sizeOf(this.shapes.get(name)!);
      const at = this.heap.allocate(roundUp(size, 8) * 4);
      arrivals.push({ name, at });
      return at;
    };
    const norm = (name: string): number =>
      this.record(NORM, {
        g: vector(`${name}/g`),
        b: vector(`${name}/b`),
        epsilon: layer_norm_epsilon,
      });
    const linear = (name: string): number => {
      const [, n_in, n_out] = this.shapes.get(`${name}/w`)!;
      const at = stages[turn++ % 2];
      const record = this.matrix(n_in, n_out, vector(`${name}/b`));
      arrivals.push({
        name: `${name}/w`,
        at,
        settle: () => this.settle(this.stored.linear, record, at, n_out),
      });
      return record;
    };
    const wpe = vector("model/wpe");
    const layers = this.heap.allocate(n_layer * LAYER.bytes);
    for (let layer = 0; layer < n_layer; layer++) {
      const h = `model/h${layer}`;
      write(this.heap.memory, layers + layer * LAYER.bytes, LAYER, {
        ln_1: norm(`${h}/ln_1`),
        c_attn: linear(`${h}/attn/c_attn`),
        c_proj: linear(`${h}/attn/c_proj`),
        ln_2: norm(`${h}/ln_2`),
        c_fc: linear(`${h}/mlp/c_fc`),
        c_proj_mlp: linear(`${h}/mlp/c_proj`),
        attention_scale: attentionScaleFloat32(this.hparams, layer),
      });
    }
    const ln_f = norm("model/ln_f");
    await this.receive(arrivals);
    for (const stage of stages) this.heap.release(stage);
    this.heap.release(this.pack);
    return { layers, wte, wpe, ln_f, lm_head };
  }

  /** A matrix [n_vocab, n_embd]: wte, usually both the input's rows and the output matrix, or lm_head. */
  private async tokens(name: string): Promise<number> {
    const { n_embd, n_vocab } = this.hparams;
    const record = this.matrix(n_embd, n_vocab, 0);
    if (this.options.precision === "float32") {
      // Eight rows are exactly as large as the panel they become: read into place, transposed there.
      const at = read(this.heap.memory, record, LINEAR, "w");
      const settle = (): void => this.settle(this.stored.rows, record, at, n_vocab);
      await this.receive([{ name, at, settle }]);
    } else {
      const at = this.heap.allocate(n_vocab * n_embd * 4);
      const settle = (): void => this.settle(this.stored.rows, record, at, n_vocab);
      await this.receive([{ name, at, settle }]);
      this.heap.release(at);
    }
    return record;
  }

  /** While one tensor is packed, the next is read. */
  private async receive(arrivals: readonly Arrival[]): Promise<void> {
    const { onProgress, signal } = this.options;
    const total = [...this.shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
    let next: Promise<void> | undefined;
    try {
      for (let i = 0; i < arrivals.length; i++) {
        await (next ?? this.fetch(arrivals[i]));
        next = undefined;
        signal?.throwIfAborted();
        if (i + 1 < arrivals.length) {
          next = this.fetch(arrivals[i + 1]);
          next.catch(() => undefined); // awaited below, unless it no longer matters
        }
        arrivals[i].settle?.();
        this.done += sizeOf(this.shapes.get(arrivals[i].name)!);
        onProgress?.(this.done, total);
      }
    } finally {
      await next?.catch(() => undefined); // it writes to our memory: let it finish
    }
  }

  private fetch({ name, at }: Arrival): Promise<void> {
    const target = new Float32Array(this.heap.memory.buffer, at, sizeOf(this.shapes.get(name)!));
    return this.source.read(name, target);
  }

  private matrix(n_in: number, n_out: number, b: number): number {
    const outputs = roundUp(n_out, PANEL);
    const w = this.heap.allocate(panelBytes(n_in, n_out, this.options.precision));
    const scale = this.options.precision === "int8" ? this.heap.allocate(outputs * 4) : 0;
    return this.record(LINEAR, { n_in, n_out: outputs, w, b, scale, limit: 0, type: this.stored.type });
  }

  /** Packs a matrix that has been read into its panels. */
  private settle(kind: number, linear: number, from: number, n_out: number): void {
    const { memory } = this.heap;
    const { own, own_bytes } = this.options;
    const n_in = read(memory, linear, LINEAR, "n_in");
    const to = read(memory, linear, LINEAR, "w");
    const scale = read(memory, linear, LINEAR, "scale");
    write(memory, this.pack, PACK, { from, to, scale, n_in, n_out, most: 1, own, own_bytes });
    this.pool.run(kind, this.pack);
    // The largest activation with which no sum of products can overflow an int32.
    const most = read(memory, this.pack, PACK, "most");
    const limit = Math.min(32767, Math.floor((2 ** 31 - 1) / most));
    write(memory, linear, LINEAR, { limit });
  }

  private record<T extends RecordType>(
    type: T,
    values: T extends RecordType<infer F> ? FieldValues<F> : never,
  ): number {
    const at = this.heap.allocate(type.bytes);
    write(this.heap.memory, at, type, values);
    return at;
  }
}
