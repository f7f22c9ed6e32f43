import type { Command } from "commander";
import { randomSeed } from "../../random.js";
import { EXIT } from "../../system/errors.js";
import { addFileOptions, countSamples, type FileOptions, openSink } from "../options/files.js";
import { addGeneratingOptions, type GeneratingOptions } from "../options/sampling.js";
import { addNumberingOptions, type NumberingOptions } from "../samples/resumed-file.js";
import { type Layout, loadNamedModel, run, SAMPLE_HEADER, type Sink } from "../samples/run.js";
import { whileInterruptible } from "../terminal/interrupt.js";
import { note, Output } from "../terminal/output.js";

/** The options' seed, or a random one that the user is told. */
export function chooseSeed(options: GeneratingOptions): number {
  if (options.seed !== undefined) return options.seed;
  const seed = randomSeed();
  note(`seed ${seed} (--seed ${seed} writes the same again)`);
  return seed;
}

/** A sink of one run's own, which is closed at its end however that comes. */
export interface OwnSink extends Sink {
  close(): Promise<void>;
  /** Of a file that is gone on with: the numbers, from 0, of the samples that it holds, and their seed. */
  readonly done?: ReadonlySet<number>;
  readonly seed?: number;
}

/**
 * Loads the model, writes samples of one prompt until they are done or Ctrl-C is pressed; the exit code.
 * @param files where the samples go instead of standard output
 */
export async function runOnce(
  options: GeneratingOptions & NumberingOptions,
  prompt: string,
  layout: Layout,
  files?: OwnSink,
): Promise<number> {
  const stdout = new Output();
  const output = files ?? stdout;
  const controller = new AbortController();
  const { signal } = controller;
  await whileInterruptible(
    () => controller.abort(),
    async () => {
      try {
        const model = await loadNamedModel(options);
        try {
          if (!signal.aborted)
            await run(files?.done ? { ...options, format: "jsonl" } : options, {
              model,
              output,
              layout,
              seed: files?.seed ?? chooseSeed(options),
              prompt,
              signal,
              done: files?.done,
            });
        } finally {
          await model.engine.dispose();
        }
      } finally {
        await files?.close();
      }
      await stdout.finish();
    },
  );
  return signal.aborted ? EXIT.interrupted : EXIT.done;
}

/** `gpt2 unconditional`: samples from nothing, as OpenAI's generate_unconditional_samples.py. */
export function addUnconditional(program: Command, finish: (code: number) => void): void {
  const command = program
    .command("unconditional")
    .summary("samples from nothing")
    .description(
      "Writes samples from nothing, one after another, for ever or as many as --nsamples says. With --out, or --nfiles\nand --folder, samples go to files.",
    )
    .addHelpText("before", "Example: gpt2 unconditional --temperature 0.7 --nsamples 3\n");
  addFileOptions(command);
  addNumberingOptions(addGeneratingOptions(command, { default: 0, min: 0 })).action(
    async (options: GeneratingOptions & NumberingOptions & FileOptions) => {
      const nsamples = countSamples(options);
      const files = await openSink(command, options, "");
      finish(await runOnce({ ...options, nsamples }, "", SAMPLE_HEADER, files));
    },
  );
}
