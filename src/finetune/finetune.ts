import { rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { createTrainer } from "../engines/create.js";
import type { Trainer } from "../model/trainer.js";
import type { WeightSource } from "../model/weight-source.js";
import { randomSeed } from "../random.js";
import { option, UsageError } from "../system/errors.js";
import { makeFolder } from "../system/files.js";
import { type Lock, lockFolder } from "../system/lock.js";
import { type Corpus, loadDataset } from "./dataset/corpus.js";
import { fitContext } from "./dataset/windows.js";
import type { BaseModel } from "./run/base.js";
import { type Losses, LossLog } from "./run/losses.js";
import { type FinetuneRequest, TRAINING_DEFAULTS, type TrainingOptions } from "./run/options.js";
import { checkRoom } from "./run/room.js";
import { publish, tidyRun } from "./run/save.js";
import { chooseStart, resumeAt, type Start } from "./run/start.js";
import { type Trained, train } from "./train.js";
import type { FinetuneEvents } from "./training.js";

/** How it ended. */
export interface Finished extends Trained {
  readonly losses: Losses;
  /** The vocabulary has `<|endoftext|>`: the model can write without a prompt. */
  readonly hasEndOfText: boolean;
}

const LOCK = { file: ".finetune.lock", name: "training" };

/**
 * Trains a model on a dataset, or continues a run that was stopped or killed.
 * @throws UserError when something is wrong with the dataset, the model, the run or the disk
 */
export async function finetune(request: FinetuneRequest, events: FinetuneEvents): Promise<Finished> {
  const { folder } = request;
  const created = makeFolder(folder);
  try {
    const lock = await lockFolder(folder, LOCK);
    try {
      await tidyRun(folder);
      return await trainIn(request, events, lock);
    } finally {
      await lock.release();
    }
  } finally {
    // If nothing came of it, the folder goes, unless it holds something.
    if (created !== undefined) {
      await rmdir(folder).catch(() => undefined);
      if (created !== folder) await rmdir(dirname(folder)).catch(() => undefined);
    }
  }
}

async function trainIn(request: FinetuneRequest, events: FinetuneEvents, lock: Lock): Promise<Finished> {
  const { folder, signal, loop, given } = request;
  const start = await chooseStart(request, events);
  const { base, save } = start;
  signal.throwIfAborted();
  const options = chooseOptions(request, start);
  const corpus = await readCorpus(request, options, base, events);
  const context = chooseContext(corpus, options, base, events);
  const trainer = await makeTrainer(request, options, base, events);
  try {
    const progress = await resumeAt(start, { options, corpus, context, trainer }, events);
    signal.throwIfAborted();
    for (const line of await checkRoom(folder, trainer, !save)) events.onNotice(line);
    if (save) await publish(folder, progress.step, base.modelFiles);
    const log = await LossLog.open(folder, progress.step, start.isOverwriting);
    try {
      const training = {
        request,
        events,
        base,
        isNewSeed: !save && given.seed === undefined,
        corpus,
        trainer,
        progress,
        saves: save?.steps ?? [],
        last: loop.steps < 0 ? Number.POSITIVE_INFINITY : progress.step + loop.steps,
        log,
        lock,
      };
      events.onBegin(training);
      const trained = await train(training);
      return { ...trained, losses: log.losses, hasEndOfText: base.encoder.endOfText !== undefined };
    } finally {
      await log.close();
    }
  } finally {
    await trainer.dispose();
  }
}

/** The options given, then those of the run being continued, then the defaults. */
function chooseOptions({ given }: FinetuneRequest, { save }: Start): TrainingOptions {
  return {
    ...TRAINING_DEFAULTS,
    seed: randomSeed(),
    ...save?.progress.options,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    column: given.column, // part of the dataset, which is given each time
  };
}

async function readCorpus(
  { dataset, signal }: FinetuneRequest,
  { column, validation }: TrainingOptions,
  { encoder }: BaseModel,
  events: FinetuneEvents,
): Promise<Corpus> {
  let corpus: Corpus;
  try {
    const onProgress = (bytes: number, total: number): void => events.onReading(bytes, total);
    corpus = await loadDataset(dataset, encoder, { column, validation, signal, onProgress });
  } catch (error) {
    signal.throwIfAborted(); // its reason says it better
    throw error;
  }
  for (const line of corpus.notices) events.onNotice(line);
  return corpus;
}

/** How many tokens a row has: as many as wanted, as the model can read, and as the dataset has. */
function chooseContext(
  { tokens }: Corpus,
  { context_length }: TrainingOptions,
  { hparams: { n_ctx } }: BaseModel,
  events: FinetuneEvents,
): number {
  if (context_length !== undefined && context_length > n_ctx) {
    throw new UsageError(
      `${option("context_length")} must be at most the model's context, ${n_ctx}, not ${context_length}`,
    );
  }
  const wanted = context_length ?? n_ctx;
  const context = fitContext(tokens.length, wanted);
  if (context < wanted) {
    events.onNotice(
      `there are ${tokens.length} tokens to train on: a row has ${context} of them, not ${wanted}`,
    );
  }
  return context;
}

async function makeTrainer(
  { backend, threads, gpu, signal }: FinetuneRequest,
  options: TrainingOptions,
  base: BaseModel,
  events: FinetuneEvents,
): Promise<Trainer> {
  const { optimizer, only_train_transformer_layers, lora_rank, recompute, seed } = options;
  const weights: WeightSource = await base.open(seed);
  try {
    return await createTrainer(base.hparams, weights, {
      optimizer,
      only_train_transformer_layers,
      lora_rank: lora_rank === 0 ? undefined : lora_rank,
      recompute,
      seed,
      backend,
      threads,
      gpu,
      signal,
      onNotice: (line) => events.onNotice(line),
    });
  } finally {
    await weights.close();
  }
}
