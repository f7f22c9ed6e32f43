import { basename, join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { finiteSource } from "../formats/stored-tensors.js";
import { messageOf, option, UserError } from "../system/errors.js";
import { replaceFile } from "../system/files.js";
import { batchAt, validationWindows } from "./dataset/windows.js";
import { CURVE_FILE, svgCurve } from "./run/chart.js";
import { nextAverage } from "./run/losses.js";
import type { RunProgress } from "./run/run-file.js";
import { writeSamples } from "./run/samples.js";
import { writeSave } from "./run/save.js";
import type { Training } from "./training.js";

/** At most this many windows of the held-out part are measured: a few percent of the time. */
const VALIDATION_WINDOWS = 16;

/** How a training ended. */
export interface Trained {
  readonly step: number;
  readonly isInterrupted: boolean;
}

/**
 * No training recovers from a loss this many times that of its start, or that of a model that knows nothing.
 */
const FAR = 3;
/** This many of them in a row end the training; in any case, the next due save does. */
const FAR_STEPS = 8;

/** Notices a loss that diverges. */
class Divergence {
  /** Steps in a row whose loss was far too high. */
  private far = 0;
  private limit: number | undefined;

  /** @param first the loss of the run's first step, if there was one; in nats */
  constructor(
    private first: number | undefined,
    private readonly n_vocab: number,
  ) {}

  /** @throws UserError after too many steps with a loss that is far too high */
  add(step: number, loss: number, saved: number | undefined): void {
    this.first ??= loss;
    this.limit ??= FAR * Math.max(this.first, Math.log(this.n_vocab));
    this.far = loss > this.limit ? this.far + 1 : 0;
    if (this.far >= FAR_STEPS) this.check(step, loss, saved);
  }

  /** @throws UserError when the model is not good enough to replace a save */
  check(step: number, loss: number, saved: number | undefined): void {
    if (this.far > 0)
      throw diverged(
        step,
        saved,
        `its loss is ${loss.toPrecision(3)} and began at ${this.first?.toFixed(2)}`,
      );
  }
}

/** @param saved the step of the last good save */
function diverged(step: number, saved: number | undefined, reason: string): UserError {
  const [state, next] =
    saved === undefined
      ? ["nothing was saved", "begin again"]
      : [`the save of step ${saved} is kept`, "continue from it"];
  return new UserError(`the training diverged at step ${step} (${reason}); ${state}`, {
    next: `${next} with a lower ${option("learning_rate")}`,
  });
}

/** Runs the loop: batches, updates, log, validation, saves, samples. */
class Loop {
  private progress: RunProgress;
  /** Steps of the saves to keep, latest first. */
  private saves: readonly number[];
  /** Tokens since the loop started. */
  private tokens = 0;
  private readonly started = performance.now();
  private readonly windows: readonly ArrayLike<number>[];
  private readonly divergence: Divergence;
  private loss = Number.NaN;

  constructor(private readonly training: Training) {
    const { progress, saves, log, trainer, corpus } = training;
    this.progress = progress;
    this.saves = saves;
    this.divergence = new Divergence(log.losses.losses.at(0), trainer.hparams.n_vocab);
    this.windows = validationWindows(corpus.validation, progress.context, VALIDATION_WINDOWS);
  }

  /** Seconds of training over all sessions. */
  private get seconds(): number {
    return this.training.progress.seconds + (performance.now() - this.started) / 1000;
  }

  async run(): Promise<Trained> {
    const { request, trainer, last } = this.training;
    const { signal, loop } = request;
    const { sample_every, save_every } = loop;
    while (this.progress.step < last && !signal.aborted) {
      const step = this.progress.step + 1;
      const loss = await this.takeStep(step);
      if (loss === undefined) break;
      const average = nextAverage(this.progress.average, loss);
      this.progress = { ...this.progress, step, updates: trainer.updates, average };
      this.loss = loss;
      await this.record(step, loss, step === last);
      this.divergence.add(step, loss, this.saves.at(0));
      if (step % save_every === 0 || step === last) await this.save();
      if (sample_every > 0 && step % sample_every === 0 && !signal.aborted) {
        await writeSamples(this.training, step);
      }
    }
    if (this.progress.step > this.training.progress.step && this.progress.step !== this.saves[0])
      await this.save();
    return { step: this.progress.step, isInterrupted: signal.aborted };
  }

  /** One update: its mean loss, or undefined if interrupted before it. */
  private async takeStep(step: number): Promise<number | undefined> {
    const { request, trainer, corpus, events } = this.training;
    const { signal } = request;
    const { options, context } = this.progress;
    const { batch_size, accumulate_gradients, learning_rate, seed } = options;
    let sum = 0;
    for (let micro = 0; micro < accumulate_gradients; micro++) {
      await nextTurn(); // lets signals in
      if (signal.aborted) return undefined;
      const rows = batchAt(corpus.tokens, { seed, step, micro, batch_size, context_length: context });
      sum += await trainer.accumulate(rows); // [B, T + 1] -> nats
      this.tokens += batch_size * context;
      events.onBatch(step, micro + 1, this.tokens);
    }
    if (!Number.isFinite(sum)) throw this.notANumber(step, "its loss");
    await trainer.update(learning_rate);
    return sum / accumulate_gradients;
  }

  /** Writes the step's row in loss.csv, and its log line if one is due. */
  private async record(step: number, loss: number, isLast: boolean): Promise<void> {
    const { log, request, events } = this.training;
    const { print_every, validate_every } = request.loop;
    const validation = step % validate_every === 0 || isLast ? await this.validate() : undefined;
    const [sum, weight] = this.progress.average;
    const row = { step, seconds: this.seconds, loss, average: sum / weight, validation };
    await log.add(row);
    if (step % print_every !== 0 && validation === undefined && !isLast) return;
    const seconds = row.seconds.toFixed(2);
    const val = validation === undefined ? "" : ` val=${validation.toFixed(2)}`;
    await events.onLine(`[${step} | ${seconds}] loss=${loss.toFixed(2)} avg=${row.average.toFixed(2)}${val}`);
  }

  /** The mean loss on the held-out part; undefined if there is none, or when interrupted. */
  private async validate(): Promise<number | undefined> {
    const { trainer, request, events } = this.training;
    const { signal } = request;
    const { step, options } = this.progress;
    const { batch_size } = options;
    if (this.windows.length > 0) events.onValidating(step);
    let sum = 0;
    for (let first = 0; first < this.windows.length; first += batch_size) {
      await nextTurn();
      if (signal.aborted) return undefined;
      const rows = this.windows.slice(first, first + batch_size); // [B, T + 1]
      sum += (await trainer.evaluate(rows)) * rows.length;
    }
    return this.windows.length > 0 ? sum / this.windows.length : undefined;
  }

  private notANumber(step: number, what: string): UserError {
    return diverged(step, this.saves.at(0), `${what} is not a number`);
  }

  private async save(): Promise<void> {
    const { request, trainer, base, log, events, lock } = this.training;
    const { folder, loop } = request;
    const { step } = this.progress;
    this.divergence.check(step, this.loss, this.saves.at(0));
    await lock.check();
    events.onSaving(step);
    const { weights, state } = trainer;
    this.progress = { ...this.progress, seconds: this.seconds, hasState: state.tensors.size > 0 };
    const content = {
      progress: this.progress,
      weights: finiteSource(weights, () => this.notANumber(step, "a weight")),
      state,
      modelFiles: base.modelFiles,
    };
    const { max_checkpoints } = loop;
    const keep = [step, ...this.saves].slice(0, max_checkpoints === 0 ? undefined : max_checkpoints);
    await writeSave(folder, content, { keep, last: this.saves[0] });
    this.saves = keep;
    await log.settle();
    const svg = svgCurve(`${basename(folder)}: loss`, log.losses);
    await replaceFile(join(folder, CURVE_FILE), svg).catch((error) => events.onNotice(messageOf(error)));
    await events.onSaved(step, log.losses);
  }
}

/**
 * Trains until the steps are done or the signal comes, then saves the run.
 * @throws UserError when the disk fails, the training diverges, or another process has taken over the folder; the last
 *   good save is then untouched
 */
export function train(training: Training): Promise<Trained> {
  return new Loop(training).run();
}
