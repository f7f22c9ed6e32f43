import { type Hparams, parameterShapes, sizeOf, type WeightSource } from "../../../model/hparams.js";
import type { Heap } from "../runtime/heap.js";
import { JOB, type Pool } from "../runtime/pool.js";
import { bytesOf, LAYER, LINEAR, NORM, PACK, read, write } from "../runtime/records.js";

export type Precision = "float32" | "int8";

/** Where a model's weights stand. */
export interface LoadedWeights {
  /** Address of n_layer records. */
  readonly layers: number;
  readonly wte: number;
  readonly wpe: number;
  readonly ln_f: number;
}

export interface LoadOptions {
  readonly precision: Precision;
  /** Each thread's own memory. */
  readonly own: number;
  readonly own_bytes: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

const roundUp = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** Bytes that a matrix takes: panels of 8 outputs; int8 in pairs of inputs, with a scale an output. */
function matrixBytes(n_in: number, n_out: number, precision: Precision): number {
  const outputs = roundUp(n_out, 8);
  return precision === "int8" ? outputs * (roundUp(n_in, 2) + 4) : outputs * n_in * 4;
}

/** Bytes that a model's weights take in memory. */
export function weightBytes(hparams: Hparams, precision: Precision): number {
  let bytes = 0;
  for (const [name, shape] of parameterShapes(hparams)) {
    const [n_in, n_out] = name === "model/wte" ? [shape[1], shape[0]] : shape.slice(-2);
    const matrix = name === "model/wte" || name.endsWith("/w");
    bytes += matrix ? matrixBytes(n_in, n_out, precision) : sizeOf(shape) * 4;
  }
  return bytes;
}

/** One tensor on its way: where it is read to, and what happens to it there. */
interface Arrival {
  readonly name: string;
  readonly at: number;
  readonly settle?: () => void;
}

/**
 * Reads a model's weights into a memory and brings them into the order of the kernels. Never holds more beside
 * them than two matrices of a layer (int8: or the token embedding), whose room is used again later.
 * @throws UserError when a tensor cannot be read or there is no room
 */
export class WeightLoader {
  private readonly shapes: Map<string, readonly number[]>;
  private readonly pack: number;
  private done = 0;

  constructor(
    private readonly heap: Heap,
    private readonly pool: Pool,
    private readonly hparams: Hparams,
    private readonly source: WeightSource,
    private readonly options: LoadOptions,
  ) {
    this.shapes = parameterShapes(hparams);
    this.pack = heap.allocate(bytesOf(PACK));
  }

  async load(): Promise<LoadedWeights> {
    const { n_embd, n_layer } = this.hparams;
    const wte = await this.tokenEmbedding();
    const arrivals: Arrival[] = [];
    const stages = [0, 1].map(() => this.heap.allocate(4 * n_embd * n_embd * 4));
    let turn = 0;
    const vector = (name: string): number => {
      const size = sizeOf(this.shapes.get(name)!);
      const at = this.heap.allocate(roundUp(size, 8) * 4);
      arrivals.push({ name, at });
      return at;
    };
    const norm = (name: string): number =>
      this.record(NORM, { g: vector(`${name}/g`), b: vector(`${name}/b`) });
    const linear = (name: string): number => {
      const [, n_in, n_out] = this.shapes.get(`${name}/w`)!;
      const at = stages[turn++ % 2];
      const record = this.matrix(n_in, n_out, vector(`${name}/b`));
      const kind = this.options.precision === "int8" ? JOB.quantizeLinear : JOB.packLinear;
      arrivals.push({ name: `${name}/w`, at, settle: () => this.settle(kind, record, at, n_out) });
      return record;
    };
    const wpe = vector("model/wpe");
    const layers = this.heap.allocate(n_layer * bytesOf(LAYER));
    for (let layer = 0; layer < n_layer; layer++) {
      const h = `model/h${layer}`;
      write(this.heap.memory, layers + layer * bytesOf(LAYER), LAYER, {
        ln_1: norm(`${h}/ln_1`),
        c_attn: linear(`${h}/attn/c_attn`),
        c_proj: linear(`${h}/attn/c_proj`),
        ln_2: norm(`${h}/ln_2`),
        c_fc: linear(`${h}/mlp/c_fc`),
        c_proj_mlp: linear(`${h}/mlp/c_proj`),
      });
    }
    const ln_f = norm("model/ln_f");
    await this.receive(arrivals);
    for (const stage of stages) this.heap.release(stage);
    this.heap.release(this.pack);
    return { layers, wte, wpe, ln_f };
  }

  /** wte [n_vocab, n_embd], the input's rows and the output's matrix in one. */
  private async tokenEmbedding(): Promise<number> {
    const { n_embd, n_vocab } = this.hparams;
    const record = this.matrix(n_embd, n_vocab, 0);
    if (this.options.precision === "float32") {
      // Eight rows take as much room as the panel they become: read into place, turned around there.
      const at = read(this.heap.memory, record, LINEAR, "w");
      const settle = (): void => this.settle(JOB.packRows, record, at, n_vocab);
      await this.receive([{ name: "model/wte", at, settle }]);
    } else {
      const at = this.heap.allocate(n_vocab * n_embd * 4);
      const settle = (): void => this.settle(JOB.quantizeRows, record, at, n_vocab);
      await this.receive([{ name: "model/wte", at, settle }]);
      this.heap.release(at);
    }
    return record;
  }

  /** While one tensor is brought into order, the next is being read. */
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
          next.catch(() => undefined); // it is waited for below, or no longer of interest
        }
        arrivals[i].settle?.();
        this.done += sizeOf(this.shapes.get(arrivals[i].name)!);
        onProgress?.(this.done, total);
      }
    } finally {
      await next?.catch(() => undefined); // it writes to our memory: let it come to its end
    }
  }

  private fetch({ name, at }: Arrival): Promise<void> {
    const target = new Float32Array(this.heap.memory.buffer, at, sizeOf(this.shapes.get(name)!));
    return this.source.read(name, target);
  }

  private matrix(n_in: number, n_out: number, b: number): number {
    const outputs = roundUp(n_out, 8);
    const int8 = this.options.precision === "int8";
    const w = this.heap.allocate(int8 ? outputs * roundUp(n_in, 2) : outputs * n_in * 4);
    const scale = int8 ? this.heap.allocate(outputs * 4) : 0;
    return this.record(LINEAR, { n_in, n_out: outputs, w, b, scale, limit: 0 });
  }

  /** Brings a matrix that has been read into its panels. */
  private settle(kind: number, linear: number, from: number, n_out: number): void {
    const { memory } = this.heap;
    const { own, own_bytes } = this.options;
    const n_in = read(memory, linear, LINEAR, "n_in");
    const to = read(memory, linear, LINEAR, "w");
    const scale = read(memory, linear, LINEAR, "scale");
    write(memory, this.pack, PACK, { from, to, scale, n_in, n_out, most: 1, own, own_bytes });
    this.pool.run(kind, this.pack);
    // The largest activation with which no sum of products can leave an int32.
    const most = read(memory, this.pack, PACK, "most");
    const limit = Math.min(32767, Math.floor((2 ** 31 - 1) / most));
    write(memory, linear, LINEAR, { limit });
  }

  private record<Fields extends readonly string[]>(
    fields: Fields,
    values: Record<Fields[number], number>,
  ): number {
    const at = this.heap.allocate(bytesOf(fields));
    write(this.heap.memory, at, fields, values);
    return at;
  }
}
