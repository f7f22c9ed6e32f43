import type { Scalar, Tensor, Tensor2D, Variable } from "@tensorflow/tfjs-core";
import type { Hparams } from "../../model/hparams.js";
import { loraStart, loraTargets } from "../../model/initial.js";
import { parameterShapes, sizeOf } from "../../model/parameters.js";
import { LORA_SCALE, type Trainer, type TrainerOptions } from "../../model/trainer.js";
import { checkRows, checkState } from "../../model/trainer-checks.js";
import type { WeightSource } from "../../model/weight-source.js";
import type { TfjsBackend } from "../backends.js";
import { loadTf, type Tf } from "./backend.js";
import { registerGradients } from "./gradients.js";
import { type Batch, loraNames, TrainingLayers } from "./loss.js";
import { createAdam, createSgd, type Optimizer } from "./optimizer.js";

/** A tensor that others may read: its shape in files, and how to get a copy. */
interface Readable {
  readonly shape: readonly number[];
  /** A new tensor, which the reader disposes. */
  readonly copy: () => Tensor;
}

/** Lets others read tensors as they are at that moment. */
function readableSource(path: string, entries: ReadonlyMap<string, Readable>): WeightSource {
  return {
    path,
    tensors: new Map([...entries].map(([name, { shape }]) => [name, { shape, dtype: "float32" }])),
    read: async (name, target) => {
      const entry = entries.get(name);
      if (!entry) throw new RangeError(`no tensor ${name} in ${path}`);
      await readInto(name, entry.copy(), target);
    },
    close: async () => undefined,
  };
}

/** Copies a tensor's values, and disposes it. */
async function readInto(name: string, tensor: Tensor, target: Float32Array): Promise<void> {
  try {
    if (target.length !== tensor.size)
      throw new RangeError(`${name} has ${tensor.size} values, not ${target.length}`);
    target.set((await tensor.data()) as Float32Array);
  } finally {
    tensor.dispose();
  }
}

/** [1, n_in, n_out] -> [n_in, n_out]; other shapes stay. */
const inner = (shape: readonly number[]): number[] => (shape.length === 3 ? shape.slice(1) : [...shape]);

/** Trains GPT-2 with TensorFlow.js's autodiff. On a GPU the last bits may differ from run to run. */
class TfjsTrainer implements Trainer {
  readonly n_trained: number;
  readonly weights: WeightSource;
  readonly state: WeightSource;
  updates = 0;
  /** The gradients' sums over the batches since the last update. */
  private readonly sums = new Map<string, Tensor>();
  private n_accumulated = 0;
  private readonly network: TrainingLayers;
  private readonly optimizer: Optimizer;
  /** The tensors of `state`. */
  private readonly saved: ReadonlyMap<string, Variable>;

  /**
   * @param variables parameters and LoRA's matrices, by name
   * @param trained those that are updated
   */
  constructor(
    readonly name: string,
    readonly hparams: Hparams,
    private readonly tf: Tf,
    private readonly variables: ReadonlyMap<string, Variable>,
    private readonly trained: ReadonlyMap<string, Variable>,
    private readonly options: TrainerOptions,
  ) {
    this.n_trained = [...trained.values()].reduce((sum, { size }) => sum + size, 0);
    this.network = new TrainingLayers(tf, hparams, variables);
    this.optimizer = options.optimizer === "sgd" ? createSgd(tf) : createAdam(tf, trained);
    const shapes = parameterShapes(hparams);
    const weights = new Map<string, Readable>();
    for (const [name, shape] of shapes) weights.set(name, { shape, copy: () => this.merged(name) });
    this.weights = readableSource("the model in training", weights);

    const saved = new Map(this.optimizer.moments);
    if (options.lora_rank !== undefined) {
      for (const w of loraTargets(hparams)) {
        for (const part of loraNames(w)) saved.set(part, variables.get(part)!);
        saved.set(`lora/base/${w}`, variables.get(w)!);
      }
    }
    this.saved = saved;
    const readable = [...saved].map(([name, variable]): [string, Readable] => {
      const shape = shapes.get(name.replace(/^(adam\/[mv]|lora\/base)\//, "")) ?? variable.shape;
      return [name, { shape, copy: () => variable.clone() }];
    });
    this.state = readableSource("the state of the training", new Map(readable));
  }

  async accumulate(rows: readonly ArrayLike<number>[]): Promise<number> {
    const { tf, network, sums, options } = this;
    const batch = this.batch(rows);
    const add = (name: string, gradient: Tensor): void => {
      const before = sums.get(name);
      sums.set(name, tf.keep(before ? tf.add(before, gradient) : gradient));
      if (!before) return;
      before.dispose();
      gradient.dispose();
    };
    const loss = network.gradients(batch, [...this.trained.keys()], options.recompute ?? false, add);
    this.n_accumulated++;
    return this.valueOf(loss);
  }

  async evaluate(rows: readonly ArrayLike<number>[]): Promise<number> {
    return this.valueOf(this.network.loss(this.batch(rows)));
  }

  async update(learning_rate: number): Promise<void> {
    const { tf, sums, optimizer, n_accumulated } = this;
    if (n_accumulated === 0) throw new RangeError("there is no gradient to update with");
    this.updates++;
    for (const [name, variable] of this.trained) {
      tf.tidy(() => {
        const mean = tf.div(sums.get(name)!, n_accumulated);
        optimizer.step(name, variable, mean, learning_rate, this.updates);
      });
    }
    this.forget();
  }

  async restore(updates: number, state: WeightSource): Promise<void> {
    checkState(state, this.state);
    for (const [name, variable] of this.saved) {
      const values = new Float32Array(variable.size);
      await state.read(name, values);
      this.tf.tidy(() => variable.assign(this.tf.tensor(values, variable.shape)));
    }
    this.updates = updates;
    this.forget();
  }

  async gradient(name: string, target: Float32Array): Promise<void> {
    const variable = this.trained.get(name);
    if (!variable) throw new RangeError(`${name} is not trained`);
    const sum = this.sums.get(name);
    await readInto(name, sum ? sum.clone() : this.tf.zeros(variable.shape), target);
  }

  async dispose(): Promise<void> {
    this.forget();
    for (const variable of [...this.variables.values(), ...this.optimizer.moments.values()])
      variable.dispose();
  }

  /** A copy of a parameter, with LoRA merged in. */
  private merged(name: string): Tensor {
    const { tf, variables } = this;
    const w = variables.get(name)!;
    const [a, b] = loraNames(name).map((part) => variables.get(part) as Tensor2D | undefined);
    if (!a || !b) return w.clone();
    return tf.tidy(() => tf.add(w, tf.mul(tf.matMul(a, b), LORA_SCALE))); // [n_in, rank] -> [n_in, n_out]
  }

  private forget(): void {
    for (const sum of this.sums.values()) sum.dispose();
    this.sums.clear();
    this.n_accumulated = 0;
  }

  private async valueOf(loss: Scalar): Promise<number> {
    try {
      return (await loss.data())[0];
    } finally {
      loss.dispose();
    }
  }

  private batch(rows: readonly ArrayLike<number>[]): Batch {
    checkRows(this.hparams, rows);
    const n_time = rows[0].length - 1;
    const ids = new Int32Array(rows.length * n_time);
    const targets = new Int32Array(rows.length * n_time);
    for (const [b, row] of rows.entries()) {
      const values = Int32Array.from(row);
      ids.set(values.subarray(0, n_time), b * n_time);
      targets.set(values.subarray(1), b * n_time);
    }
    return { n_batch: rows.length, ids, targets };
  }
}

/** Whether a variable is trained. */
function isTrained(name: string, { lora_rank, only_train_transformer_layers }: TrainerOptions): boolean {
  if (lora_rank !== undefined) return name.startsWith("lora/");
  return !only_train_transformer_layers || /\/h\d+\//.test(name);
}

/**
 * Loads a model into TensorFlow.js for training. The source holds the parameters that hparams describes
 * (checkParameters).
 * @param options backend: which to use, default: the fastest that works here; gpu: the adapter of tfjs-webgpu; signal:
 *   aborts loading; its reason is thrown
 * @throws UserError when the weights cannot be read, or the backend does not work; RangeError for a lora_rank
 *   that is not a positive whole number
 */
export async function createTfjsTrainer(
  hparams: Hparams,
  source: WeightSource,
  options: TrainerOptions & {
    readonly backend?: TfjsBackend;
    readonly gpu?: string;
    readonly onProgress?: (done: number, total: number) => void;
    readonly signal?: AbortSignal;
  } = {},
): Promise<Trainer> {
  const { lora_rank, seed = 0, onProgress, signal } = options;
  if (lora_rank !== undefined && (!Number.isInteger(lora_rank) || lora_rank < 1))
    throw new RangeError(`lora_rank ${lora_rank} is not a positive whole number`);
  const { tf, backend } = await loadTf(options.backend, options.gpu);
  registerGradients(tf);
  const shapes = parameterShapes(hparams);
  const variables = new Map<string, Variable>();
  const make = (name: string, values: Float32Array, shape: number[]): void =>
    tf.tidy(() => void variables.set(name, tf.variable(tf.tensor(values, shape), isTrained(name, options))));
  try {
    for (const [i, [name, shape]] of [...shapes].entries()) {
      signal?.throwIfAborted();
      const values = new Float32Array(sizeOf(shape));
      await source.read(name, values);
      make(name, values, inner(shape)); // [1, n_in, n_out] -> [n_in, n_out]
      onProgress?.(i + 1, shapes.size);
    }
    for (const w of lora_rank === undefined ? [] : loraTargets(hparams)) {
      const [n_in, n_out] = variables.get(w)!.shape;
      const [a, b] = loraNames(w);
      make(a, loraStart(w, n_in, lora_rank!, seed), [n_in, lora_rank!]);
      make(b, new Float32Array(lora_rank! * n_out), [lora_rank!, n_out]);
    }
    const trained = new Map([...variables].filter(([, { trainable }]) => trainable));
    return new TfjsTrainer(backend, hparams, tf, variables, trained, options);
  } catch (error) {
    for (const variable of variables.values()) variable.dispose();
    throw error;
  }
}
