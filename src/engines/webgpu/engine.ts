import { setImmediate } from "node:timers/promises";
import type { Engine, LogitsWanted, Sequence, Step } from "../../model/engine.js";
import { architectureOf, type Hparams } from "../../model/hparams.js";
import type { WeightSource } from "../../model/weight-source.js";
import { messageOf, UserError } from "../../system/errors.js";
import type { CachedSequence } from "../paged-cache.js";
import { type CheckedStep, checkLength, checkSteps, cutIntoPasses, type Span } from "../steps.js";
import { findGpu } from "./adapter.js";
import { Device, type DeviceCounts, MAP_READ, USAGE } from "./device.js";
import { Cache } from "./kv-cache.js";
import { GPU_TUNING, Network, type PassShape, SOFTWARE_TUNING, type Tuning } from "./network.js";
import { orderOf } from "./order.js";
import { PASS_HEAD, PASS_ROW, type Storage } from "./shaders/wgsl.js";
import { WeightLoader } from "./weights.js";

export interface WebgpuOptions {
  /** Part of the adapter's name; default: the fastest real GPU. */
  readonly gpu?: string;
  /** How weights are stored; the arithmetic is float32 either way. Default: "float32". */
  readonly precision?: Storage;
  /** Called with the number of parameters read so far. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
  /** For tests: sizes other than those that suit this GPU, and smaller weight buffers than it allows. */
  readonly tuning?: Partial<Tuning>;
  readonly largestBuffer?: number;
}

/** An engine that reports what it asked of the GPU. */
export interface WebgpuEngine extends Engine {
  readonly counts: Readonly<DeviceCounts>;
  /** Whether the GPU is software on the processor. */
  readonly isSoftware: boolean;
  /** The adapter's name. */
  readonly gpu: string;
}

/**
 * Loads a model into a GPU's memory through WebGPU: our own programs, a paged cache, one small read per token.
 * @throws UserError when there is no GPU, it has too little memory, or a tensor cannot be read
 */
export async function createWebgpuEngine(
  hparams: Hparams,
  source: WeightSource,
  options: WebgpuOptions = {},
): Promise<WebgpuEngine> {
  const device = await Device.open(await findGpu(options.gpu));
  try {
    const { precision: storage = "float32" } = options;
    const tuning = { ...(device.isSoftware ? SOFTWARE_TUNING : GPU_TUNING), ...options.tuning };
    const orders = {
      embd: orderOf(hparams.n_embd, tuning.slices),
      hidden: orderOf(architectureOf(hparams).n_inner, tuning.slices),
    };
    const loader = new WeightLoader(device, hparams, source, { ...options, storage, orders });
    const weights = await loader.load();
    const [cache, network] = await device.withMemory("the activations", () => {
      const made = new Cache(device, hparams);
      return [made, new Network(device, hparams, weights, made, orders, storage, tuning)] as const;
    });
    await device.finish();
    return new GpuEngine(hparams, storage, device, cache, network);
  } catch (error) {
    device.close();
    throw error;
  }
}

/** A recorded pass. It depends on the pass's shape alone, so the next one is recorded ahead. */
interface Prepared extends PassShape {
  readonly commands: readonly GPUCommandBuffer[];
  readonly generation: number;
  readonly dispatches: number;
}

class GpuEngine implements WebgpuEngine {
  readonly name = "webgpu";
  private readonly about: Uint32Array;
  /** Where logits are read from, and how many rows fit. */
  private staging: { buffer: GPUBuffer; rows: number } | undefined;
  private prepared: Prepared | undefined;
  private busy = false;
  private disposed = false;

  constructor(
    readonly hparams: Hparams,
    readonly precision: Storage,
    private readonly device: Device,
    private readonly cache: Cache,
    private readonly network: Network,
  ) {
    this.about = new Uint32Array(network.aboutWords);
  }

  get counts(): Readonly<DeviceCounts> {
    return this.device.counts;
  }

  get isSoftware(): boolean {
    return this.device.isSoftware;
  }

  get gpu(): string {
    return this.device.name;
  }

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
    this.device.close();
  }

  async forward(steps: readonly Step[], wanted: LogitsWanted = "last"): Promise<Float32Array[]> {
    if (this.disposed) throw new RangeError("the engine has been disposed of");
    if (this.busy) throw new RangeError("forward() is still running: one call at a time");
    const checked = checkSteps(this.hparams, steps, (sequence) => this.cache.check(sequence));
    this.busy = true;
    try {
      this.device.check();
      await this.reserve(checked);
      const { n_vocab } = this.hparams;
      const results = checked.map(({ ids }) => {
        const rows = wanted === "all" ? ids.length : wanted === "last" ? 1 : 0;
        return { logits: new Float32Array(rows * n_vocab), filled: 0 };
      });
      let isFirst = true;
      for (const spans of cutIntoPasses(checked, this.network.tuning.rows)) {
        if (!isFirst) await setImmediate(); // gives signals and timers a turn
        isFirst = false;
        if (this.disposed) throw new UserError("the engine was disposed of while it was at work");
        await this.pass(spans, wanted, results);
      }
      for (const { sequence, ids } of checked) sequence.length += ids.length;
      return results.map(({ logits }) => logits);
    } finally {
      this.busy = false;
    }
  }

  /** Reserves pages for what will be read. */
  private async reserve(steps: readonly CheckedStep<CachedSequence>[]): Promise<void> {
    const wanted = steps.map(({ sequence, ids }) => ({ sequence, length: sequence.length + ids.length }));
    const reserve = (): void => {
      for (const { sequence, length } of wanted) this.cache.reserve(sequence, length);
    };
    if (this.cache.hasRoom(wanted)) reserve();
    else await this.device.withMemory("the keys and values", reserve);
  }

  /** One pass of at most tuning.rows rows; its logits go where those of their step are collected. */
  private async pass(
    spans: readonly Span<CachedSequence>[],
    wanted: LogitsWanted,
    results: { logits: Float32Array; filled: number }[],
  ): Promise<void> {
    const { device, about } = this;
    const { queue } = device.gpuDevice;
    let row = 0;
    let n_last = 0;
    const rows = spans.reduce((sum, { begin, end }) => sum + end - begin, 0);
    let table = PASS_HEAD + PASS_ROW * rows;
    const owners: number[] = []; // of each row of logits
    for (const { sequence, ids, index, begin, end } of spans) {
      about.set(sequence.pages, table);
      for (let i = begin; i < end; i++, row++) {
        const at = PASS_HEAD + PASS_ROW * row;
        about[at] = ids[i];
        about[at + 1] = sequence.length + i;
        about[at + 2] = table;
        if (wanted === "all" || (wanted === "last" && i === ids.length - 1)) {
          about[PASS_HEAD + PASS_ROW * n_last++ + 3] = row;
          owners.push(index);
        }
      }
      table += sequence.pages.length;
    }
    about[0] = rows;
    about[1] = n_last;
    queue.writeBuffer(this.network.about, 0, about.buffer, 0, 4 * table);
    const now = this.takePrepared(rows, n_last);
    for (const command of now.commands) queue.submit([command]);
    device.counts.dispatches += now.dispatches;
    // While the GPU works: usually the next pass has the same shape.
    this.prepared = this.prepare(rows, n_last);
    if (n_last === 0) return device.finish();
    await this.collect(n_last, owners, results);
  }

  private async collect(
    n_last: number,
    owners: readonly number[],
    results: { logits: Float32Array; filled: number }[],
  ): Promise<void> {
    const { device } = this;
    const { n_vocab } = this.hparams;
    const { buffer } = this.staging!;
    const bytes = 4 * n_last * n_vocab;
    device.counts.copied += bytes;
    try {
      await buffer.mapAsync(MAP_READ, 0, bytes);
    } catch (error) {
      if (this.disposed) throw new UserError("the engine was disposed of while it was at work");
      await setImmediate(); // its cause may be reported only after it failed
      device.check();
      throw new UserError(`the GPU ${device.name} gave no result (${messageOf(error)})`, { cause: error });
    }
    device.check();
    const values = new Float32Array(buffer.getMappedRange(0, bytes));
    for (const [row, owner] of owners.entries()) {
      const result = results[owner];
      result.logits.set(values.subarray(row * n_vocab, (row + 1) * n_vocab), result.filled);
      result.filled += n_vocab;
    }
    buffer.unmap();
  }

  private takePrepared(rows: number, n_last: number): Prepared {
    const { prepared } = this;
    this.prepared = undefined;
    const fits =
      prepared?.rows === rows && prepared.n_last === n_last && prepared.generation === this.cache.generation;
    return fits ? prepared : this.prepare(rows, n_last);
  }

  /** Records a pass. */
  private prepare(rows: number, n_last: number): Prepared {
    const { device, network } = this;
    this.roomFor(n_last);
    const list = network.dispatches({ rows, n_last });
    const commands: GPUCommandBuffer[] = [];
    const size = Math.ceil(list.length / network.tuning.parts);
    for (let start = 0; start < list.length; start += size) {
      const encoder = device.gpuDevice.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const { pipeline, group, x, y } of list.slice(start, start + size)) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(x, y);
      }
      pass.end();
      if (start + size >= list.length && n_last > 0) {
        const bytes = 4 * n_last * this.hparams.n_vocab;
        encoder.copyBufferToBuffer(network.logitsFor(n_last), 0, this.staging!.buffer, 0, bytes);
      }
      commands.push(encoder.finish());
    }
    return { rows, n_last, commands, generation: this.cache.generation, dispatches: list.length };
  }

  /** A buffer to read this many rows of logits. */
  private roomFor(rows: number): void {
    if (rows <= (this.staging?.rows ?? 0)) return;
    const bytes = 4 * rows * this.hparams.n_vocab;
    const buffer = this.device.createBuffer(bytes, USAGE.mapRead | USAGE.copyTo, "the logits");
    if (this.staging) this.device.destroyBuffer(this.staging.buffer);
    this.staging = { buffer, rows };
  }
}
