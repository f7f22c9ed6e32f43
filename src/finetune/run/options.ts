import type { TrainerChoice } from "../../engines/create.js";
import type { Hparams } from "../../model/hparams.js";
import type { BaseModel } from "./base.js";

/** The options that decide a training's numbers. Saved with a run and kept when it continues. Names are gpt-2-simple's. */
export interface TrainingOptions {
  /** Rows read at once. */
  readonly batch_size: number;
  readonly learning_rate: number;
  /** Batches whose gradients are accumulated for one step. */
  readonly accumulate_gradients: number;
  readonly optimizer: "adam" | "sgd";
  readonly only_train_transformer_layers: boolean;
  /** 0: no LoRA; every parameter is trained. */
  readonly lora_rank: number;
  readonly recompute: boolean;
  /** Seeds the order of the data, samples and random starts. */
  readonly seed: number;
  /** Tokens per row; undefined: as many as the model reads. Reduced if the data has fewer. */
  readonly context_length?: number;
  /** The part of the dataset to hold out, from 0 to below 1. */
  readonly validation: number;
  /** Columns of a .csv, or fields of a .jsonl: see ReadOptions. */
  readonly column?: string | readonly string[];
}

/** What a training prints, writes and keeps. Steps count from 1. */
export interface LoopOptions {
  /** How many steps from now; -1: until stopped. */
  readonly steps: number;
  readonly sample_every: number;
  /** Most tokens of a sample; undefined: one less than the model's context. */
  readonly sample_length?: number;
  readonly sample_num: number;
  readonly save_every: number;
  readonly print_every: number;
  readonly validate_every: number;
  /** How many saves to keep; 0: all. */
  readonly max_checkpoints: number;
}

/** A training as the user wants it. */
export interface FinetuneRequest {
  /** Files, folders, globs. */
  readonly dataset: readonly string[];
  /** The options given; a continued run keeps its own for the others. */
  readonly given: Partial<TrainingOptions>;
  readonly loop: LoopOptions;
  /** The run's folder; created if missing. */
  readonly folder: string;
  /** "latest", "fresh", or the path of a model folder. */
  readonly restore_from: string;
  readonly overwrite: boolean;
  /** Finds the model that a new run starts from. */
  readonly base: () => Promise<BaseModel>;
  /** The sizes given: a continued run must have them. */
  readonly sizes: Partial<Hparams>;
  /** The model's name, if one was given. */
  readonly baseName?: string;
  readonly backend?: TrainerChoice["backend"];
  readonly threads?: number;
  readonly gpu?: string;
  /** Samples go into a folder in there, named after the run. */
  readonly samples_dir: string;
  /** Ends the training cleanly: it saves, then finetune() returns. Before the first step, the signal's reason is thrown. */
  readonly signal: AbortSignal;
}

/** gpt-2-simple's, where it has them: learning_rate, accumulate_gradients, batch_size, optimizer. */
export const TRAINING_DEFAULTS: Omit<TrainingOptions, "seed"> = {
  batch_size: 1,
  learning_rate: 1e-4,
  accumulate_gradients: 5,
  optimizer: "adam",
  only_train_transformer_layers: false,
  lora_rank: 0,
  recompute: false,
  validation: 0.05,
};

/** What the loop does unless told otherwise. */
export const LOOP_DEFAULTS: LoopOptions = {
  steps: -1,
  sample_every: 100,
  sample_num: 1,
  save_every: 100,
  print_every: 10,
  validate_every: 100,
  max_checkpoints: 1,
};

/** If one of these differs, an optimizer's state means nothing. */
const STATE_KEYS = ["optimizer", "lora_rank", "only_train_transformer_layers"] as const;
const OTHER_KEYS = [
  "batch_size",
  "learning_rate",
  "accumulate_gradients",
  "seed",
  "validation",
  "column",
] as const;

/** How two sets of options differ. */
export interface Changes {
  /** One phrase each, e.g. "batch_size 1 -> 2". */
  readonly phrases: readonly string[];
  /** Whether the optimizer starts anew. */
  readonly isStateLost: boolean;
}

/** What changes when a run saved with `before` continues with `now`. */
export function compareOptions(before: TrainingOptions, now: TrainingOptions): Changes {
  const differ = (key: keyof TrainingOptions): boolean => !isSame(before[key], now[key]);
  const phrase = (key: keyof TrainingOptions): string =>
    `${key} ${before[key] ?? "by default"} -> ${now[key] ?? "by default"}`;
  return {
    phrases: [...OTHER_KEYS, ...STATE_KEYS].filter(differ).map(phrase),
    isStateLost: STATE_KEYS.some(differ),
  };
}

/** Whether two values of an option are equal; a single column equals a list of it. */
export function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify([a].flat()) === JSON.stringify([b].flat());
}
