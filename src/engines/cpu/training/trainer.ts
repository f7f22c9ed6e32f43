import type { Hparams } from "../../../model/hparams.js";
import { loraStart, loraTargets } from "../../../model/initial.js";
import { parameterShapes, sizeOf } from "../../../model/parameters.js";
import { ADAM, type Trainer, type TrainerOptions } from "../../../model/trainer.js";
import { checkRows, checkState } from "../../../model/trainer-checks.js";
import type { WeightSource } from "../../../model/weight-source.js";
import { option } from "../../../system/errors.js";
import { power } from "../../../system/exact-math.js";
import type { Heap } from "../runtime/heap.js";
import type { Pool } from "../runtime/pool.js";
import { type StartOptions, startProgram } from "../runtime/start.js";
import { BufferRoom } from "./buffers.js";
import { TrainingNetwork } from "./network.js";
import { Operations } from "./operations.js";
import { Layout, type Readable, sourceOf, Tensors } from "./tensors.js";

/** How the CPU trainer is set up. */
export interface CpuTrainerOptions extends TrainerOptions, StartOptions {}

/** Values that the optimizer updates before the event loop gets a turn. */
const STEP_VALUES = 1 << 24;

/** Everything in memory. */
interface Memory {
  readonly weights: Tensors;
  readonly trained: Tensors;
  readonly gradients: Tensors;
  readonly m?: Tensors;
  readonly v?: Tensors;
  readonly lora?: { readonly tensors: Tensors; readonly base: Tensors; readonly rank: number };
}

/**
 * Loads a model into the CPU trainer: float32, one or more threads over one WebAssembly memory. Every sum is
 * taken in one fixed order with fused multiply-add: the weights' bits do not depend on the number of threads, the
 * kernels or the machine.
 * @param source holds the parameters that hparams describes (checkParameters)
 * @param options signal: aborts loading; its reason is thrown
 * @throws UserError when a tensor cannot be read, or there is no memory or thread for it; RangeError for a lora_rank
 *   that is not a positive whole number
 */
export async function createCpuTrainer(
  hparams: Hparams,
  source: WeightSource,
  options: CpuTrainerOptions = {},
): Promise<Trainer> {
  const { native = false, lora_rank } = options;
  if (lora_rank !== undefined && (!Number.isInteger(lora_rank) || lora_rank < 1))
    throw new RangeError(`lora_rank ${lora_rank} is not a positive whole number`);
  const { heap, pool, threads } = await startProgram("train", options, adviceFor(options));
  try {
    const operations = new Operations(heap, pool);
    const tensors = allocate(heap, hparams, options);
    const trainer = new CpuTrainer(
      native ? "native" : "wasm",
      hparams,
      heap,
      pool,
      operations,
      tensors,
      threads,
      options,
    );
    await trainer.load(source, options);
    return trainer;
  } catch (error) {
    await pool.stop();
    throw error;
  }
}

/** Options that would make the training smaller and are not in use yet. */
function adviceFor({ recompute, only_train_transformer_layers, lora_rank }: TrainerOptions): string {
  const ways = [
    ...(recompute ? [] : [option("recompute", true)]),
    ...(only_train_transformer_layers || lora_rank ? [] : [option("only_train_transformer_layers", true)]),
    ...(lora_rank ? [] : [option("lora_rank", 8)]),
    `a shorter ${option("context_length")}`,
  ];
  return `try ${ways.slice(0, -1).join(", ")}${ways.length > 1 ? " or " : ""}${ways.at(-1)}`;
}

function allocate(heap: Heap, hparams: Hparams, options: TrainerOptions): Memory {
  const { lora_rank: rank, optimizer, only_train_transformer_layers } = options;
  const shapes = parameterShapes(hparams);
  const weights = Tensors.allocate(heap, new Layout(shapes));
  let trained = weights;
  let lora: Memory["lora"];
  if (rank !== undefined) {
    const matrices = loraTargets(hparams);
    const thin = matrices.flatMap((name): [string, number[]][] => {
      const [, n_in, n_out] = shapes.get(name)!;
      return [
        [`lora/a/${name}`, [n_in, rank]],
        [`lora/b/${name}`, [rank, n_out]],
      ];
    });
    trained = Tensors.allocate(heap, new Layout(new Map(thin)));
    const below = new Map(matrices.map((name) => [name, shapes.get(name)!]));
    lora = { tensors: trained, base: Tensors.allocate(heap, new Layout(below)), rank };
  } else if (only_train_transformer_layers) {
    // They are contiguous in memory, in the order of the parameters.
    const layers = [...shapes].filter(([name]) => /\/h\d+\//.test(name));
    trained = new Tensors(heap, new Layout(new Map(layers)), weights.address(layers[0][0]));
  }
  const gradients = Tensors.allocate(heap, trained.layout);
  if (optimizer === "sgd") return { weights, trained, gradients, lora };
  const [m, v] = [Tensors.allocate(heap, trained.layout), Tensors.allocate(heap, trained.layout)];
  return { weights, trained, gradients, m, v, lora };
}

class CpuTrainer implements Trainer {
  readonly n_trained: number;
  readonly weights: WeightSource;
  readonly state: WeightSource;
  updates = 0;
  private readonly network: TrainingNetwork;
  /** How many gradients have been added up. */
  private n_accumulated = 0;
  private busy = false;

  constructor(
    readonly name: "native" | "wasm",
    readonly hparams: Hparams,
    heap: Heap,
    private readonly pool: Pool,
    private readonly operations: Operations,
    private readonly memory: Memory,
    threads: number,
    options: TrainerOptions,
  ) {
    const { weights, trained, lora, m, v } = memory;
    const { recompute = false } = options;
    const room = new BufferRoom(heap, hparams, pool.kernels, operations, {
      threads,
      recompute,
      rank: lora?.rank ?? 0,
    });
    this.network = new TrainingNetwork(hparams, heap, operations, room, memory, recompute);
    this.n_trained = trained.layout.size;
    const all = (prefix: string, tensors: Tensors | undefined): Readable[] =>
      tensors ? [...tensors.layout.shapes.keys()].map((name) => [prefix + name, tensors, name]) : [];
    this.weights = sourceOf("the model in training", all("", weights));
    this.state = sourceOf("the state of the training", [
      ...all("adam/m/", m),
      ...all("adam/v/", v),
      ...all("", lora?.tensors),
      ...all("lora/base/", lora?.base),
    ]);
  }

  /** Reads the parameters and resets everything else. */
  async load(
    source: WeightSource,
    { seed = 0, onProgress, signal }: Pick<CpuTrainerOptions, "seed" | "onProgress" | "signal">,
  ): Promise<void> {
    const { weights, trained, lora, gradients, m, v } = this.memory;
    await this.clear(weights); // also the gaps between tensors
    const total = weights.layout.size;
    let done = 0;
    for (const [name, shape] of weights.layout.shapes) {
      signal?.throwIfAborted();
      await source.read(name, weights.view(name));
      done += sizeOf(shape);
      onProgress?.(done, total);
    }
    for (const tensors of [gradients, m, v]) if (tensors) await this.clear(tensors);
    if (!lora) return;
    await this.clear(trained);
    for (const [name, [, n_in]] of lora.base.layout.shapes) {
      lora.base.view(name).set(weights.view(name));
      trained.view(`lora/a/${name}`).set(loraStart(name, n_in, lora.rank, seed));
    }
  }

  accumulate(rows: readonly ArrayLike<number>[]): Promise<number> {
    checkRows(this.hparams, rows);
    return this.alone(async () => {
      const loss = await this.network.loss(rows, true);
      this.n_accumulated++;
      return loss;
    });
  }

  evaluate(rows: readonly ArrayLike<number>[]): Promise<number> {
    checkRows(this.hparams, rows);
    return this.alone(() => this.network.loss(rows, false));
  }

  update(learning_rate: number): Promise<void> {
    return this.alone(async () => {
      if (this.n_accumulated === 0) throw new RangeError("there is no gradient to update with");
      const { trained, gradients, m, v } = this.memory;
      const t = this.updates + 1;
      const rate = m ? learning_rate / (1 - power(ADAM.beta1, t)) : learning_rate;
      const correction = 1 / Math.sqrt(1 - power(ADAM.beta2, t));
      const { length } = trained.layout;
      for (let done = 0; done < length; done += STEP_VALUES) {
        const place = ({ at }: Tensors): number => at + done * 4;
        const update = {
          n: Math.min(STEP_VALUES, length - done),
          values: place(trained),
          gradients: place(gradients),
          mean: 1 / this.n_accumulated,
          rate,
        };
        if (m && v) await this.operations.adam({ ...update, m: place(m), v: place(v), correction });
        else await this.operations.sgd(update);
      }
      this.updates = t;
      this.n_accumulated = 0;
      if (this.memory.lora) await this.network.mergeLora(this.memory.lora.base);
    });
  }

  restore(updates: number, state: WeightSource): Promise<void> {
    return this.alone(async () => {
      checkState(state, this.state);
      const { gradients, m, v, lora } = this.memory;
      const read = async (prefix: string, tensors: Tensors | undefined): Promise<void> => {
        if (!tensors) return;
        for (const name of tensors.layout.shapes.keys()) await state.read(prefix + name, tensors.view(name));
      };
      await read("adam/m/", m);
      await read("adam/v/", v);
      await read("", lora?.tensors);
      await read("lora/base/", lora?.base);
      await this.clear(gradients);
      if (this.memory.lora) await this.network.mergeLora(this.memory.lora.base);
      this.updates = updates;
      this.n_accumulated = 0;
    });
  }

  async gradient(name: string, target: Float32Array): Promise<void> {
    const { gradients } = this.memory;
    if (!gradients.layout.has(name)) throw new RangeError(`${name} is not trained`);
    const values = gradients.view(name);
    if (target.length !== values.length)
      throw new RangeError(`${name} has ${values.length} values, not ${target.length}`);
    target.set(values);
  }

  async dispose(): Promise<void> {
    await this.pool.stop();
  }

  /** One call at a time. */
  private async alone<T>(work: () => Promise<T>): Promise<T> {
    if (this.busy) throw new RangeError("the trainer is still at work: one call at a time");
    this.busy = true;
    try {
      return await work();
    } finally {
      this.busy = false;
    }
  }

  private clear({ at, layout }: Tensors): Promise<void> {
    return this.operations.clear(layout.length, at);
  }
}
