import { setImmediate } from "node:timers/promises";
import type { Engine, LogitsWanted, Sequence, SomeLogits, Step } from "../../model/engine.js";
import { architectureOf, type Hparams } from "../../model/hparams.js";
import type { WeightSource } from "../../model/weight-source.js";
import { messageOf, UserError } from "../../system/errors.js";
import type { CachedSequence } from "../paged-cache.js";
import { type CheckedStep, checkLength, checkSteps, cutIntoPasses, type Span } from "../steps.js";
import { findGpu } from "./adapter.js";
import { Device, type DeviceCounts, MAP_READ, USAGE } from "./device.js";
import { Cache } from "./kv-cache.js";
import { GPU_TUNING, isSame, Network, type PassShape, SOFTWARE_TUNING, type Tuning } from "./network.js";
import { orderOf } from "./order.js";
import { MOST_LARGEST, readLargest } from "./shaders/largest.js";
import { PASS_HEAD, PASS_LARGEST, PASS_ROW, type Storage } from "./shaders/wgsl.js";
import { WeightLoader } from "./weights.js";

/** How the GPU engine is set up. */
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

/** An engine that reports its use of the GPU. */
export interface WebgpuEngine extends Engine {
  readonly counts: Readonly<DeviceCounts>;
  /** Whether the GPU is software on the processor. */
  readonly isSoftware: boolean;
  /** The adapter's name. */
  readonly gpu: string;
}

/**
 * Loads a model into a GPU's memory through WebGPU, with our own programs, a paged cache and one small read per token.
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

/** A recorded pass. It depends only on the pass's shape, so the next one is recorded ahead. */
interface Prepared extends PassShape {
  readonly commands: readonly GPUCommandBuffer[];
  readonly generation: number;
  readonly dispatches: number;
}

/** Receives rows of results; `index` is the step's. Arguments are valid only during the call. */
interface Taker {
  readonly all: (index: number, logits: Float32Array) => void;
  /** @returns whether the largest logits, as largest.ts stores them, are enough */
  readonly largest?: (index: number, words: Float32Array) => boolean;
}

class GpuEngine implements WebgpuEngine {
  readonly name = "webgpu";
  private readonly about: Uint32Array;
  /** The buffer that results are read from. */
  private staging: GPUBuffer | undefined;
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
    const { n_vocab } = this.hparams;
    const results = steps.map(({ ids }) => {
      const rows = wanted === "all" ? ids.length : wanted === "last" ? 1 : 0;
      return { logits: new Float32Array(rows * n_vocab), filled: 0 };
    });
    await this.compute(steps, wanted, 0, {
      all: (index, logits) => {
        const result = results[index];
        result.logits.set(logits, result.filled);
        result.filled += n_vocab;
      },
    });
    return results.map(({ logits }) => logits);
  }

  async forwardLargest(steps: readonly Step[], k: number): Promise<(Float32Array | SomeLogits)[]> {
    if (k > MOST_LARGEST) return this.forward(steps);
    const results: (Float32Array | SomeLogits)[] = [];
    await this.compute(steps, "last", k, {
      all: (index, logits) => {
        results[index] = logits.slice();
      },
      largest: (index, words) => {
        const found = readLargest(words);
        if (found) results[index] = found;
        return found !== undefined;
      },
    });
    return results;
  }

  /** Reads ids. @param k how many of the largest logits are needed, for a taker of those */
  private async compute(
    steps: readonly Step[],
    wanted: LogitsWanted,
    k: number,
    taker: Taker,
  ): Promise<void> {
    if (this.disposed) throw new RangeError("the engine has been disposed of");
    if (this.busy) throw new RangeError("forward() is still running: one call at a time");
    const checked = checkSteps(this.hparams, steps, (sequence) => this.cache.check(sequence));
    this.busy = true;
    try {
      this.device.check();
      await this.reserve(checked);
      this.about[PASS_LARGEST] = k;
      let isFirst = true;
      for (const spans of cutIntoPasses(checked, this.network.tuning.rows)) {
        if (!isFirst) await setImmediate(); // gives signals and timers a turn
        isFirst = false;
        if (this.disposed) throw new UserError("the engine was disposed of while it was at work");
        await this.pass(spans, wanted, taker);
      }
      for (const { sequence, ids } of checked) sequence.length += ids.length;
    } finally {
      this.busy = false;
    }
  }

  /** Reserves pages for the tokens to read. */
  private async reserve(steps: readonly CheckedStep<CachedSequence>[]): Promise<void> {
    const wanted = steps.map(({ sequence, ids }) => ({ sequence, length: sequence.length + ids.length }));
    const reserve = (): void => {
      for (const { sequence, length } of wanted) this.cache.reserve(sequence, length);
    };
    if (this.cache.hasRoom(wanted)) reserve();
    else await this.device.withMemory("the keys and values", reserve);
  }

  /** One pass of at most tuning.rows rows. */
  private async pass(
    spans: readonly Span<CachedSequence>[],
    wanted: LogitsWanted,
    taker: Taker,
  ): Promise<void> {
    const { device, about } = this;
    const { queue } = device.gpuDevice;
    let row = 0;
    let n_last = 0;
    const rows = spans.reduce((sum, { begin, end }) => sum + end - begin, 0);
    let table = PASS_HEAD + PASS_ROW * rows;
    const owners: number[] = []; // the step of each row of logits
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
    const shape = { rows, n_last, isLargest: taker.largest !== undefined };
    const now = this.takePrepared(shape);
    for (const command of now.commands) queue.submit([command]);
    device.counts.dispatches += now.dispatches;
    // While the GPU works, prepare for a pass of the same shape, which the next usually has.
    this.prepared = this.prepare(shape);
    if (n_last === 0) return device.finish();
    await this.collect(shape, owners, taker);
  }

  private async collect(shape: PassShape, owners: readonly number[], taker: Taker): Promise<void> {
    const { words } = this.network.output(shape);
    const again: number[] = [];
    await this.read(4 * words * owners.length, (values) => {
      for (const [row, index] of owners.entries()) {
        const own = values.subarray(row * words, (row + 1) * words); // [words]
        if (!taker.largest) taker.all(index, own);
        else if (!taker.largest(index, own)) again.push(row);
      }
    });
    for (const row of again) await this.readRow(row, (logits) => taker.all(owners[row], logits));
  }

  /** Reads all logits of one row of the last pass. */
  private async readRow(row: number, take: (logits: Float32Array) => void): Promise<void> {
    const { device, network } = this;
    const { buffer, words } = network.output({ n_last: 0, isLargest: false });
    const bytes = 4 * words;
    const staging = this.roomFor(bytes);
    const encoder = device.gpuDevice.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, row * bytes, staging, 0, bytes);
    device.gpuDevice.queue.submit([encoder.finish()]);
    await this.read(bytes, take);
  }

  /** Waits for the GPU's copy to the staging buffer, and reads it. */
  private async read(bytes: number, take: (values: Float32Array) => void): Promise<void> {
    const { device } = this;
    const buffer = this.roomFor(bytes);
    device.counts.copied += bytes;
    try {
      await buffer.mapAsync(MAP_READ, 0, bytes);
    } catch (error) {
      if (this.disposed) throw new UserError("the engine was disposed of while it was at work");
      await setImmediate(); // the cause may be reported only after the failure
      device.check();
      throw new UserError(`the GPU ${device.name} gave no result (${messageOf(error)})`, { cause: error });
    }
    device.check();
    take(new Float32Array(buffer.getMappedRange(0, bytes)));
    buffer.unmap();
  }

  private takePrepared(shape: PassShape): Prepared {
    const { prepared } = this;
    this.prepared = undefined;
    const fits = prepared && isSame(prepared, shape) && prepared.generation === this.cache.generation;
    return fits ? prepared : this.prepare(shape);
  }

  /** Records a pass. */
  private prepare(shape: PassShape): Prepared {
    const { device, network } = this;
    const list = network.dispatches(shape);
    const { buffer, words } = network.output(shape);
    const bytes = 4 * words * shape.n_last;
    const staging = this.roomFor(bytes);
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
      if (start + size >= list.length && bytes > 0) encoder.copyBufferToBuffer(buffer, 0, staging, 0, bytes);
      commands.push(encoder.finish());
    }
    return { ...shape, commands, generation: this.cache.generation, dispatches: list.length };
  }

  /** The staging buffer, enlarged to at least this many bytes. */
  private roomFor(bytes: number): GPUBuffer {
    if (this.staging && bytes <= this.staging.size) return this.staging;
    const buffer = this.device.createBuffer(bytes, USAGE.mapRead | USAGE.copyTo, "the logits");
    if (this.staging) this.device.destroyBuffer(this.staging);
    this.prepared = undefined; // it would copy to the old buffer
    this.staging = buffer;
    return buffer;
  }
}
