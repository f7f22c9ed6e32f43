import type { Trainer } from "../model/trainer.js";
import type { Lock } from "../system/lock.js";
import type { Corpus } from "./dataset/corpus.js";
import type { BaseModel } from "./run/base.js";
import type { Losses, LossLog } from "./run/losses.js";
import type { FinetuneRequest } from "./run/options.js";
import type { RunProgress } from "./run/run-file.js";

/** What the user is told. Calls that return a promise are awaited. */
export interface FinetuneEvents {
  /** A line that the user should know. */
  onNotice(line: string): void;
  /** Bytes of the dataset read so far, and in all. */
  onReading(bytes: number, total: number): void;
  /** Everything is ready. */
  onBegin(training: Training): void;
  /** A batch has been read: `done` of the step's batches. `tokens` counts those trained since the loop started. */
  onBatch(step: number, done: number, tokens: number): void;
  /** A line of the log. */
  onLine(line: string): Promise<void>;
  /** The held-out part is about to be measured; a log line follows. */
  onValidating(step: number): void;
  /** A save is about to be written. */
  onSaving(step: number): void;
  /** The save is in place; `losses` are those of the run so far. */
  onSaved(step: number, losses: Losses): Promise<void>;
  /** Samples are about to be drawn. */
  onSampling(step: number): void;
  /** The samples' text. */
  onSamples(text: string): Promise<void>;
}

/** A training that is ready to run: all that its loop, samples and display need. */
export interface Training {
  readonly request: FinetuneRequest;
  readonly events: FinetuneEvents;
  readonly base: BaseModel;
  /** Whether the seed was drawn just now. */
  readonly isNewSeed: boolean;
  readonly corpus: Corpus;
  readonly trainer: Trainer;
  /** Where it starts, and the options in force. */
  readonly progress: RunProgress;
  /** Steps of this training's existing saves, latest first. */
  readonly saves: readonly number[];
  /** The step that ends it; Infinity if none does. */
  readonly last: number;
  readonly log: LossLog;
  /** The right to write to the run's folder. */
  readonly lock: Pick<Lock, "check">;
}
