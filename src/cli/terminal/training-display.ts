import { SingleBar } from "cli-progress";
import { drawCurve } from "../../finetune/run/chart.js";
import type { Losses } from "../../finetune/run/losses.js";
import type { FinetuneEvents, Training } from "../../finetune/training.js";
import { note, type Output } from "./output.js";
import { BAR_OPTIONS, type Bar, showSeconds, startBar } from "./progress.js";

const COLUMNS = 80;

/**
 * Shows a training: log lines and samples on stdout, all else on stderr. If stderr is a terminal, a bar below the log;
 * it is cleared while anything else is written.
 */
export class TrainingDisplay implements FinetuneEvents {
  private readonly hasBar = process.stderr.isTTY === true;
  private bar: SingleBar | undefined;
  private reading: Bar | undefined;
  private training: Training | undefined;
  /** Milliseconds spent on batches, and when the clock started; undefined while it is stopped. */
  private spent = 0;
  private running: number | undefined;
  private tokens = 0;
  private drawnAt = -1;
  private isPassing = false;

  constructor(private readonly output: Output) {}

  onNotice(line: string): void {
    this.clear();
    note(`warning: ${line}`);
    this.goOn();
  }

  /** Something the user should know. */
  say(line: string): void {
    this.clear();
    note(line);
  }

  /** The step that ends the training. */
  get lastStep(): number {
    return this.training?.last ?? 0;
  }

  /** The user wants to stop. */
  onStopping(): void {
    if (this.training) this.say("saving and stopping after this batch (Ctrl-C again quits at once)");
  }

  onReading(bytes: number, total: number): void {
    if (!this.hasBar) return;
    this.reading ??= startBar("reading", total);
    this.reading.update(bytes);
    if (bytes >= total) this.clear();
  }

  onBegin(training: Training): void {
    this.training = training;
    const { base, trainer, corpus, progress, isNewSeed, last } = training;
    const { options, context, step } = progress;
    const number = (n: number): string => n.toLocaleString("en-US");
    const { batch_size, accumulate_gradients, seed } = options;
    const rows = batch_size * accumulate_gradients;
    const held = corpus.validation.length > 0 ? `, ${number(corpus.validation.length)} held out` : "";
    const from = step === 0 ? base.name : `${base.name}, trained for ${number(step)} steps`;
    const until = Number.isFinite(last) ? `until step ${number(last)}` : "until Ctrl-C";
    this.say(
      `${from}: ${number(trainer.n_trained)} parameters trained by ${trainer.name} on ${number(corpus.tokens.length)} tokens${held}; a step reads ${rows} x ${number(context)} = ${number(rows * context)} tokens; ${until}`,
    );
    if (isNewSeed) note(`seed ${seed} (--seed ${seed} reproduces this)`);
    this.goOn();
  }

  onBatch(step: number, done: number, tokens: number): void {
    this.tokens = tokens;
    if (!this.training || !this.hasBar) return;
    const { progress, last } = this.training;
    const { step: first, options } = progress;
    const { accumulate_gradients } = options;
    const seconds = (this.spent + performance.now() - (this.running ?? performance.now())) / 1000;
    const speed = tokens / Math.max(0.001, seconds);
    const batches = (step - first - 1) * accumulate_gradients + done;
    const total = (last - first) * accumulate_gradients;
    const isEndless = total === Number.POSITIVE_INFINITY;
    const left = isEndless ? "" : `${showSeconds((seconds / batches) * (total - batches))} left`;
    const payload = { step, speed: `${speed < 10 ? speed.toFixed(1) : Math.round(speed)} tokens/s`, left };
    if (!this.bar) {
      const shown = isEndless ? "" : "{bar} {percentage}%  ";
      this.bar = new SingleBar({
        format: `step {step}  ${shown}{speed}  {left}`,
        ...BAR_OPTIONS,
      });
      this.bar.start(isEndless ? 1 : total, isEndless ? 0 : batches, payload);
    }
    this.bar.update(isEndless ? 0 : batches, payload);
  }

  async onLine(line: string): Promise<void> {
    this.clear();
    await this.output.write(`${line}\n`);
    this.goOn();
  }

  onValidating(step: number): void {
    this.pauseFor(`measuring the validation loss at step ${step} ...`);
  }

  onSaving(step: number): void {
    this.pauseFor(`saving step ${step} ...`);
  }

  async onSaved(step: number, losses: Losses): Promise<void> {
    this.clear();
    if (this.hasBar && step !== this.training?.last) this.draw(losses);
    this.goOn();
  }

  onSampling(step: number): void {
    this.pauseFor(`samples of step ${step} ...`);
  }

  async onSamples(text: string): Promise<void> {
    this.clear();
    await this.output.write(text);
    this.goOn();
  }

  /** Reports the speed. */
  sum(): void {
    this.pause();
    if (this.tokens === 0) return;
    const speed = this.tokens / Math.max(0.001, this.spent / 1000);
    note(`${this.tokens.toLocaleString("en-US")} tokens, ${speed.toFixed(1)} tokens per second`);
  }

  /** Draws the loss curve, unless it is there already. */
  draw(losses: Losses): void {
    const step = losses.steps.at(-1) ?? -1;
    if (step === this.drawnAt) return;
    this.drawnAt = step;
    const curve = drawCurve(losses, process.stderr.columns ?? COLUMNS);
    this.clear();
    process.stderr.write(curve);
  }

  /** Clears what does not stay. */
  clear(): void {
    this.bar?.stop();
    this.bar = undefined;
    this.reading?.clear();
    this.reading = undefined;
    if (this.isPassing) process.stderr.write("\r\x1b[K");
    this.isPassing = false;
  }

  /** Starts the clock for the speed. */
  private goOn(): void {
    if (this.training) this.running ??= performance.now();
  }

  /** Stops the clock. */
  private pause(): void {
    this.clear();
    if (this.running !== undefined) this.spent += performance.now() - this.running;
    this.running = undefined;
  }

  /** Stops the clock for something else, which is shown until anything is written. */
  private pauseFor(line: string): void {
    this.pause();
    if (!this.hasBar) return;
    process.stderr.write(line);
    this.isPassing = true;
  }
}
