import { rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createTrainer, type TrainerChoice } from "../engines/create.js";
import type { Trainer } from "../model/trainer.js";
import type { WeightSource } from "../model/weight-source.js";
import { randomSeed } from "../random.js";
import { messageOf, UsageError, UserError } from "../system/errors.js";
import { makeFolder, replaceFile } from "../system/files.js";
import { type Lock, lockFolder } from "../system/lock.js";
import { type Corpus, loadDataset } from "./dataset/corpus.js";
import { batchAt, fitContext } from "./dataset/windows.js";
import { svgCurve } from "./run/chart.js";
import { runFolder } from "./run/folder.js";
import { type Losses, LossLog } from "./run/losses.js";
import { type LoopOptions, TRAINING_DEFAULTS, type TrainingOptions } from "./run/options.js";
import { resumeAt } from "./run/resume.js";
import { checkRoom } from "./run/room.js";
import { drawSamples, keepSamples } from "./run/samples.js";
import { publish, tidyRun } from "./run/save.js";
import { chooseStart, type Start, type StartRequest } from "./run/start.js";
import { type TrainEvents, train } from "./train.js";

/** A training as the user wants it. */
export interface FinetuneRequest extends StartRequest {
  /** Files, folders, globs. */
  readonly dataset: readonly string[];
  /** The options that were given; for the others a run that goes on keeps its own. */
  readonly given: Partial<TrainingOptions>;
  readonly loop: LoopOptions;
  readonly backend?: TrainerChoice["backend"];
  readonly threads?: number;
  readonly gpu?: string;
  /** Samples go into a folder of the run's name there. */
  readonly samples_dir: string;
  /** Ends the training well: a save, then finetune() returns. Before the first step it throws the signal's reason. */
  readonly signal: AbortSignal;
}

/** What the user is told. */
export interface FinetuneEvents extends Omit<TrainEvents, "onSample"> {
  onNotice(line: string): void;
  /** Bytes of the dataset that were read, of how many. */
  onReading(bytes: number, total: number): void;
  /** Everything is ready. */
  onBegin(begin: Begin): void;
  onSampling(step: number): void;
  onSamples(text: string): Promise<void>;
}

/** What is about to happen. */
export interface Begin {
  readonly base: string;
  readonly trainer: Trainer;
  readonly corpus: Corpus;
  /** Tokens of a row. */
  readonly context: number;
  readonly options: TrainingOptions;
  /** The seed was drawn just now. */
  readonly isNewSeed: boolean;
  /** Steps that were done before. */
  readonly step: number;
  /** The step that ends it; Infinity: none. */
  readonly last: number;
}

/** How it ended. */
export interface Finished {
  /** The run's folder. */
  readonly folder: string;
  readonly step: number;
  readonly losses: Losses;
  readonly isInterrupted: boolean;
  /** The vocabulary has `<|endoftext|>`: the model can write without a prompt. */
  readonly hasEndOfText: boolean;
}

const LOCK = { file: ".finetune.lock", name: "training" };
export const CURVE_FILE = "loss.svg";

/**
 * Trains a model on a dataset, or goes on with a run that was stopped or killed.
 * @throws UserError when the dataset, the model, the run or the disk is not as it must be
 */
export async function finetune(request: FinetuneRequest, events: FinetuneEvents): Promise<Finished> {
  const folder = runFolder(request.checkpoint_dir, request.run_name);
  const created = makeFolder(folder);
  try {
    const lock = await lockFolder(folder, LOCK);
    try {
      await tidyRun(folder);
      return await trainIn(folder, lock, request, events);
    } finally {
      await lock.release();
    }
  } finally {
    // Where nothing came of it, nothing stays: a folder that is not empty does.
    if (created !== undefined) {
      await rmdir(folder).catch(() => undefined);
      if (created !== folder) await rmdir(dirname(folder)).catch(() => undefined);
    }
  }
}

async function trainIn(
  folder: string,
  lock: Lock,
  request: FinetuneRequest,
  events: FinetuneEvents,
): Promise<Finished> {
  const { signal, loop, given } = request;
  const start = await chooseStart(folder, request, (line) => events.onNotice(line));
  signal.throwIfAborted();
  const before = start.save?.progress.options;
  const chosen: TrainingOptions = {
    ...TRAINING_DEFAULTS,
    seed: randomSeed(),
    ...before,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    column: given.column, // belongs to the dataset, which is given each time
  };
  const isNewSeed = !start.save && given.seed === undefined;
  const corpus = await readCorpus(request, chosen, start, events);
  const context = chooseContext(corpus, chosen, start, events);
  const trainer = await makeTrainer(request, chosen, start, events);
  try {
    const progress = await resumeAt(start, { options: chosen, corpus, context, trainer }, (line) =>
      events.onNotice(line),
    );
    signal.throwIfAborted();
    for (const line of await checkRoom(folder, trainer, !start.save)) events.onNotice(line);
    if (start.save) await publish(folder, progress.step);
    const log = await LossLog.open(folder, progress.step, start.isOverwriting);
    try {
      const last = loop.steps < 0 ? Number.POSITIVE_INFINITY : progress.step + loop.steps;
      const { step } = progress;
      const base = start.base.name;
      events.onBegin({ base, trainer, corpus, context, options: chosen, isNewSeed, step, last });
      const trained = await train({
        trainer,
        corpus,
        run: folder,
        progress,
        saves: start.save?.steps ?? [],
        modelFiles: start.base.modelFiles,
        log,
        options: loop,
        signal,
        lock,
        events: {
          onBatch: (...batch) => events.onBatch(...batch),
          onLine: (line) => events.onLine(line),
          onValidating: (at) => events.onValidating(at),
          onSaving: (at) => events.onSaving(at),
          onSaved: async (at, losses) => {
            const svg = svgCurve(`${request.run_name}: loss`, losses);
            await replaceFile(join(folder, CURVE_FILE), svg).catch((error) =>
              events.onNotice(messageOf(error)),
            );
            await events.onSaved(at, losses);
          },
          onSample: (at) => writeSamples(at, { request, start, options: chosen, trainer, corpus, events }),
        },
      });
      const hasEndOfText = start.base.encoder.endOfText !== undefined;
      return { ...trained, folder, losses: log.losses, hasEndOfText };
    } finally {
      await log.close();
    }
  } finally {
    await trainer.dispose();
  }
}

async function readCorpus(
  { dataset, signal }: FinetuneRequest,
  { column, validation }: TrainingOptions,
  { base }: Start,
  events: FinetuneEvents,
): Promise<Corpus> {
  let corpus: Corpus;
  try {
    const onProgress = (bytes: number, total: number): void => events.onReading(bytes, total);
    corpus = await loadDataset(dataset, base.encoder, { column, validation, signal, onProgress });
  } catch (error) {
    signal.throwIfAborted(); // says it better
    throw error;
  }
  for (const line of corpus.notices) events.onNotice(line);
  return corpus;
}

/** How many tokens a row has: as many as wanted, as the model reads, and as the dataset has. */
function chooseContext(
  { tokens }: Corpus,
  { context_length }: TrainingOptions,
  { base }: Start,
  events: FinetuneEvents,
): number {
  const { n_ctx } = base.hparams;
  if (context_length !== undefined && context_length > n_ctx) {
    throw new UsageError(
      `--context_length must be at most the model's context, ${n_ctx}, not ${context_length}`,
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
  { base }: Start,
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

/** What samples are written with. */
interface Ready {
  readonly request: FinetuneRequest;
  readonly start: Start;
  readonly options: TrainingOptions;
  readonly trainer: Trainer;
  readonly corpus: Corpus;
  readonly events: FinetuneEvents;
}

/** Samples of a step, for the user and in a file. Training goes on without them where they cannot be had. */
async function writeSamples(step: number, ready: Ready): Promise<void> {
  const { request, start, options, trainer, corpus, events } = ready;
  const { backend, threads, gpu, signal, loop, samples_dir, run_name } = request;
  const { hparams, encoder } = start.base;
  const { seed, accumulate_gradients: micro } = options; // a batch that no gradient comes from
  const [[first]] = batchAt(corpus.tokens, { seed, step, micro, batch_size: 1, context_length: 1 });
  events.onSampling(step);
  try {
    const text = await drawSamples({
      hparams,
      weights: trainer.weights,
      encoder,
      engine: { backend, threads, gpu },
      first,
      seed,
      sample_num: loop.sample_num,
      sample_length: loop.sample_length ?? Math.max(1, hparams.n_ctx - 1),
      signal,
    });
    if (text === undefined) return;
    await events.onSamples(text);
    await keepSamples(samples_dir, run_name, step, text);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    events.onNotice(`no samples of step ${step}: ${messageOf(error)}`);
  }
}
