import type { LoadedModel } from "../../models/folder.js";
import { randomSeed } from "../../random.js";
import { searchesBeams } from "../../sampling/beam-faults.js";
import { numberSamples } from "../../sampling/sample-numbers.js";
import { EXIT } from "../../system/errors.js";
import type { FileOptions } from "../options/files.js";
import type { NumberingOptions } from "../options/numbering.js";
import type { GeneratingOptions } from "../options/sampling.js";
import { ENDING, whileInterruptible } from "../terminal/interrupt.js";
import { note, Output } from "../terminal/output.js";
import { loadNamedModel } from "./find-model.js";
import { run } from "./run.js";
import type { SamplesPage } from "./samples-page.js";
import type { Layout, OwnSink, Sink } from "./sink.js";

/** The seed in the options, or a random one, which a note shows. */
export function chooseSeed(options: GeneratingOptions): number {
  if (options.seed !== undefined) return options.seed;
  const seed = randomSeed();
  note(`seed ${seed} (--seed ${seed} reproduces this)`);
  return seed;
}

/** What is needed to write samples. */
export interface Writing {
  readonly model: LoadedModel;
  readonly output: Sink;
  /** Chosen on the first call: a file of prompts may set all seeds itself. */
  readonly seed: () => number;
  readonly signal: AbortSignal;
}

/** Loads the model and writes samples of one prompt until they are done or Ctrl-C is pressed; see writeOnce(). */
export async function runOnce(
  options: GeneratingOptions & NumberingOptions & FileOptions,
  prompt: string,
  layout: Layout,
  files?: OwnSink,
): Promise<number> {
  return writeOnce(options, files, async ({ seed: choose, ...writing }) => {
    const page = await pageOf(options, numberSamples(options, options.nsamples).count, writing.model);
    const seed = searchesBeams(options) ? 0 : choose();
    await run(files?.done ? { ...options, format: "jsonl" } : options, {
      ...{ ...writing, seed, layout, prompt, done: files?.done, page },
    });
    await page?.write(seed);
  });
}

/** The page that --html asks for; undefined where it does not. @param count how many samples there will be */
export async function pageOf(
  options: GeneratingOptions & FileOptions,
  count: number,
  { hparams }: LoadedModel,
): Promise<SamplesPage | undefined> {
  if (options.html === undefined) return undefined;
  const { SamplesPage } = await import("./samples-page.js");
  return new SamplesPage(options, count, options.length ?? hparams.n_ctx);
}

/**
 * Loads the model and runs work that writes samples, until it is done or Ctrl-C is pressed.
 * @param files take the samples instead of standard output
 * @returns the exit code
 */
export async function writeOnce(
  options: GeneratingOptions,
  files: OwnSink | undefined,
  write: (writing: Writing) => Promise<void>,
): Promise<number> {
  const stdout = new Output();
  const output = files ?? stdout;
  const controller = new AbortController();
  const { signal } = controller;
  await whileInterruptible(
    () => controller.abort(),
    async () => {
      try {
        const model = await loadNamedModel(options, signal);
        try {
          if (!signal.aborted) {
            await files?.accept?.(model);
            await write({ model, output, signal, seed: () => files?.seed ?? chooseSeed(options) });
          }
        } finally {
          await model.engine.dispose();
        }
      } catch (error) {
        if (error !== signal.reason) throw error; // loading was interrupted
      } finally {
        await files?.close();
      }
      await stdout.finish();
    },
    // A lock left behind blocks the next run; on another machine, for half a minute.
    files?.done ? ENDING : undefined,
  );
  return signal.aborted ? EXIT.interrupted : EXIT.done;
}
