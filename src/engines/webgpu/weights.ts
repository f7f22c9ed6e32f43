import { architectureOf, type Hparams } from "../../model/hparams.js";
import { LM_HEAD, parameterShapes, sizeOf } from "../../model/parameters.js";
import type { WeightSource } from "../../model/weight-source.js";
import { type Device, USAGE } from "./device.js";
import { type Order, ordered } from "./order.js";
import { packShader } from "./shaders/pack.js";
import { PANEL, type Storage } from "./shaders/wgsl.js";

/** Columns of a matrix, as many as fit in one buffer of this GPU. */
export interface Slice {
  readonly buffer: GPUBuffer;
  readonly first: number;
  readonly columns: number;
}

/** A matrix in panels. */
export interface Matrix {
  readonly order: Order;
  readonly n_out: number;
  readonly slices: readonly Slice[];
}

/** A product and its vectors in one buffer: [LayerNorm's gain and bias,] the product's bias. */
export interface Linear {
  readonly matrix: Matrix;
  readonly vectors: GPUBuffer;
}

/** One layer's matrices. */
export interface Layer {
  readonly c_attn: Linear;
  readonly c_proj: Linear;
  readonly c_fc: Linear;
  readonly c_proj_mlp: Linear;
}

/** A model on the GPU. */
export interface Weights {
  readonly layers: readonly Layer[];
  readonly wte: Matrix;
  readonly logits: Linear;
  readonly wpe: GPUBuffer;
}

/** The orders of products' inputs. */
export interface Orders {
  readonly embd: Order;
  readonly hidden: Order;
}

/** How weights are stored on the GPU. */
export interface LoadOptions {
  readonly storage: Storage;
  readonly orders: Orders;
  /** The most bytes in a buffer of weights; default: what the GPU allows. */
  readonly largestBuffer?: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Bytes of a tensor uploaded at a time. */
const STAGE_BYTES = 32 << 20;
/** The most workgroups in one dimension. Source: W3C WebGPU, the default of maxComputeWorkgroupsPerDimension. */
const MOST_GROUPS = 65535;

/** Divides a matrix's columns into slices that fit in buffers. */
export function cutColumns(
  n_out: number,
  order: Order,
  storage: Storage,
  largestBuffer: number,
): { first: number; columns: number }[] {
  const panelBytes = order.size * PANEL * (storage === "float16" ? 2 : 4);
  const panels = Math.min(MOST_GROUPS, Math.max(1, Math.floor(largestBuffer / panelBytes)));
  const most = panels * PANEL;
  return Array.from({ length: Math.ceil(n_out / most) }, (_, i) => ({
    first: i * most,
    columns: Math.min(most, n_out - i * most),
  }));
}

/**
 * Reads a model's weights and packs them on the GPU. Besides the weights, holds one tensor in the machine's memory and
 * 32 MB on the GPU.
 */
export class WeightLoader {
  private readonly shapes: ReadonlyMap<string, readonly number[]>;
  private readonly packs = new Map<string, GPUComputePipeline>();
  private readonly stage: GPUBuffer;
  private readonly piece: GPUBuffer;
  private readonly stageBytes: number;
  private done = 0;

  constructor(
    private readonly device: Device,
    private readonly hparams: Hparams,
    private readonly source: WeightSource,
    private readonly options: LoadOptions,
  ) {
    this.shapes = parameterShapes(hparams);
    this.stageBytes = Math.min(STAGE_BYTES, device.largestBuffer);
    this.stage = device.createBuffer(this.stageBytes, USAGE.storage | USAGE.copyTo, "weights on their way");
    this.piece = device.createBuffer(32, USAGE.uniform | USAGE.copyTo, "what is on its way");
  }

  /** @throws UserError when a tensor cannot be read, or the GPU has no memory for it */
  async load(): Promise<Weights> {
    const { embd, hidden } = this.options.orders;
    const layers: Layer[] = [];
    const wte = await this.matrix("model/wte", embd, true);
    const wpe = await this.positions();
    for (let layer = 0; layer < this.hparams.n_layer; layer++) {
      const h = `model/h${layer}`;
      layers.push({
        c_attn: await this.linear(`${h}/attn/c_attn`, embd, `${h}/ln_1`),
        c_proj: await this.linear(`${h}/attn/c_proj`, embd),
        c_fc: await this.linear(`${h}/mlp/c_fc`, embd, `${h}/ln_2`),
        c_proj_mlp: await this.linear(`${h}/mlp/c_proj`, hidden),
      });
    }
    const isTied = architectureOf(this.hparams).tie_word_embeddings;
    const matrix = isTied ? wte : await this.matrix(LM_HEAD, embd, true);
    const logits = { matrix, vectors: await this.vectors("model/ln_f", embd) };
    await this.device.finish();
    this.device.destroyBuffer(this.stage);
    this.device.destroyBuffer(this.piece);
    return { layers, wte, logits, wpe };
  }

  private async read(name: string): Promise<Float32Array> {
    const { signal, onProgress } = this.options;
    signal?.throwIfAborted();
    const values = new Float32Array(sizeOf(this.shapes.get(name)!));
    await this.source.read(name, values);
    this.device.check();
    this.done++;
    onProgress?.(this.done, this.shapes.size);
    return values;
  }

  private async linear(name: string, order: Order, norm?: string): Promise<Linear> {
    const matrix = await this.matrix(`${name}/w`, order, false);
    return { matrix, vectors: await this.vectors(norm, order, `${name}/b`) };
  }

  /** One buffer with LayerNorm's gain and bias in the order of the inputs, then a product's bias in its own. */
  private async vectors(norm: string | undefined, order: Order, bias?: string): Promise<GPUBuffer> {
    const parts: Float32Array[] = [];
    if (norm) {
      parts.push(ordered(await this.read(`${norm}/g`), order), ordered(await this.read(`${norm}/b`), order));
    }
    if (bias) parts.push(await this.read(bias));
    const values = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      values.set(part, at);
      at += part.length;
    }
    return this.upload(values, norm ?? bias!);
  }

  /** wpe [n_ctx, E], each row in the order of E. */
  private async positions(): Promise<GPUBuffer> {
    const { n_ctx, n_embd } = this.hparams;
    const { embd } = this.options.orders;
    const wpe = await this.read("model/wpe");
    const values = new Float32Array(n_ctx * embd.size);
    for (let position = 0; position < n_ctx; position++) {
      const row = wpe.subarray(position * n_embd, (position + 1) * n_embd); // [n_embd]
      values.set(ordered(row, embd), position * embd.size); // [n_embd] -> [embd.size]
    }
    return this.upload(values, "model/wpe");
  }

  private async upload(values: Float32Array, what: string): Promise<GPUBuffer> {
    const buffer = await this.allocate(values.byteLength, what);
    this.device.gpuDevice.queue.writeBuffer(buffer, 0, values.buffer, values.byteOffset, values.byteLength);
    return buffer;
  }

  private allocate(bytes: number, what: string): Promise<GPUBuffer> {
    return this.device.withMemory("the weights", () =>
      this.device.createBuffer(bytes, USAGE.storage | USAGE.copyTo, what),
    );
  }

  /** A matrix [n_in, n_out] or, if isTransposed, [n_out, n_in]. */
  private async matrix(name: string, order: Order, isTransposed: boolean): Promise<Matrix> {
    const { storage, largestBuffer = this.device.largestBuffer } = this.options;
    const values = await this.read(name);
    const n_out = values.length / order.n;
    const slices: Slice[] = [];
    for (const { first, columns } of cutColumns(n_out, order, storage, largestBuffer)) {
      const panels = Math.ceil(columns / PANEL);
      const buffer = await this.allocate(panels * PANEL * order.size * (storage === "float16" ? 2 : 4), name);
      slices.push({ buffer, first, columns });
      this.pack(values, { buffer, first, columns }, order, n_out, isTransposed);
      await this.device.finish();
    }
    return { order, n_out, slices };
  }

  /** Uploads a slice's values in pieces, and packs each into the slice's panels. */
  private pack(values: Float32Array, slice: Slice, order: Order, n_out: number, isTransposed: boolean): void {
    const { storage } = this.options;
    const { gpuDevice } = this.device;
    const key = `${order.n} ${n_out} ${isTransposed}`;
    const pipeline =
      this.packs.get(key) ??
      this.device.pipeline(packShader({ storage, order, n_out, isTransposed }), `pack ${key}`);
    this.packs.set(key, pipeline);
    const group = this.device.bind(pipeline, [this.piece, this.stage, slice.buffer]);
    // Rows of the stored tensor: inputs, or outputs in whole panels.
    const width = isTransposed ? order.n : n_out;
    const unit = isTransposed ? PANEL : 1;
    const most = Math.max(unit, Math.floor(this.stageBytes / (4 * width * unit)) * unit);
    const begin = isTransposed ? slice.first : 0;
    const end = isTransposed ? slice.first + slice.columns : order.n;
    for (let start = begin; start < end; start += most) {
      const count = Math.min(most, end - start);
      const part = values.subarray(start * width, (start + count) * width); // [count, width]
      gpuDevice.queue.writeBuffer(this.stage, 0, part.buffer, part.byteOffset, part.byteLength);
      const firstPanel = isTransposed ? (start - slice.first) / PANEL : 0;
      const about = Uint32Array.of(start, count, slice.first, slice.columns, firstPanel);
      gpuDevice.queue.writeBuffer(this.piece, 0, about);
      const encoder = gpuDevice.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      const panels = Math.ceil((isTransposed ? count : slice.columns) / PANEL);
      pass.dispatchWorkgroups(Math.ceil((isTransposed ? order.n : count) / 64), panels);
      pass.end();
      gpuDevice.queue.submit([encoder.finish()]);
    }
  }
}
