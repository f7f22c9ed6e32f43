import type { Hparams } from "./hparams.js";
import type { WeightSource } from "./weight-source.js";

/** Adam's decay rates and epsilon. Source: Kingma and Ba 2015, the defaults of algorithm 1. */
export const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;
/** LoRA's alpha / rank, with alpha = 2 rank. Source: Hu et al. 2021, arXiv 2106.09685, section 4.1. */
export const LORA_SCALE = 2;

/** How a model is trained. Names are gpt-2-simple's. */
export interface TrainerOptions {
  /** Default "adam" (beta 0.9 and 0.999, epsilon 1e-8, no weight decay). */
  readonly optimizer?: "adam" | "sgd";
  /** Trains only the parameters of the layers (model/h...): embeddings and ln_f stay as they are. */
  readonly only_train_transformer_layers?: boolean;
  /**
   * Trains matrices of this rank added to the layers' four linear ones, and nothing else:
   * w + 2 a b, a [n_in, rank] random, b [rank, n_out] zero at the start.
   * Source: LoRA, arXiv 2106.09685 (scale = alpha / rank with alpha = 2 rank).
   */
  readonly lora_rank?: number;
  /** Keeps only each layer's input and recomputes the rest in the backward pass: less memory, more time. */
  readonly recompute?: boolean;
  /** For LoRA's random start. */
  readonly seed?: number;
}

/**
 * Trains one model. Knows ids, losses and parameters; nothing about text, files, the dataset or terminals.
 * Calls must not overlap. The same calls give the same bits with any number of threads.
 */
export interface Trainer {
  /** What runs it, e.g. "wasm" or "tfjs-cpu". */
  readonly name: string;
  readonly hparams: Hparams;
  /** Number of values that are trained. */
  readonly n_trained: number;
  /** How many updates there have been: Adam's t. */
  readonly updates: number;
  /**
   * Adds the gradient of a batch's mean loss to what the next update() will use.
   * @param rows B sequences of T + 1 token ids each, 1 <= T <= n_ctx: ids 0..T-1 are read, 1..T are predicted
   * @returns the mean cross-entropy over B T tokens, in nats
   */
  accumulate(rows: readonly ArrayLike<number>[]): Promise<number>;
  /** The mean cross-entropy only, as accumulate() would return it; changes nothing. */
  evaluate(rows: readonly ArrayLike<number>[]): Promise<number>;
  /** One optimizer step with the mean of the gradients accumulated since the last one. */
  update(learning_rate: number): Promise<void>;
  /** The model as it is now, with LoRA merged: parameters by their checkpoint names, readable between calls. */
  readonly weights: WeightSource;
  /**
   * What the next updates depend on besides the weights and `updates`: Adam's moments, LoRA's matrices and the weights
   * under them. Empty if there is none (sgd).
   */
  readonly state: WeightSource;
  /** Restores a saved state; the trainer must have been made from the weights saved with it. */
  restore(updates: number, state: WeightSource): Promise<void>;
  /**
   * The gradient accumulated so far for one trained tensor, for tests; named as in `weights`, or as LoRA's matrices
   * in `state`.
   */
  gradient(name: string, target: Float32Array): Promise<void>;
  /** Frees everything and ends its threads. */
  dispose(): Promise<void>;
}
