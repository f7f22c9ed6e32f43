import { basename, join } from "node:path";
import { createEngine } from "../../engines/create.js";
import { inOrder, sample } from "../../sampling/sample.js";
import { messageOf, UserError } from "../../system/errors.js";
import { makeFolder, replaceFile } from "../../system/files.js";
import { batchAt } from "../dataset/windows.js";
import type { Training } from "../training.js";

/**
 * Writes a step's samples, for the user and, as gpt-2-simple does, to <samples_dir>/<run>/samples-<step>. If that fails,
 * training continues without them.
 */
export async function writeSamples(training: Training, step: number): Promise<void> {
  const { samples_dir, folder } = training.request;
  const { events } = training;
  events.onSampling(step);
  try {
    const text = await drawSamples(training, step);
    if (text === undefined) return;
    await events.onSamples(text);
    const place = join(samples_dir, basename(folder));
    makeFolder(place);
    await replaceFile(join(place, `samples-${step}`), text);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    events.onNotice(`no samples of step ${step}: ${messageOf(error)}`);
  }
}

/**
 * Samples from the present weights, drawn as in gpt-2-simple: temperature 1, top_k 40. It makes an engine for them and
 * disposes it; the weights are only read.
 * @returns the texts, each under its number; undefined when interrupted
 */
async function drawSamples(training: Training, step: number): Promise<string | undefined> {
  const { request, base, corpus, trainer, progress } = training;
  const { backend, threads, gpu, signal, loop } = request;
  const { hparams, encoder } = base;
  const { seed, accumulate_gradients: micro } = progress.options; // a batch number that no gradient uses
  const [[first]] = batchAt(corpus.tokens, { seed, step, micro, batch_size: 1, context_length: 1 });
  const engine = await createEngine(hparams, trainer.weights, {
    backend,
    threads,
    gpu,
    precision: "float32",
  });
  try {
    const texts: string[] = [];
    const events = sample(engine, encoder, [first], {
      seed,
      nsamples: loop.sample_num,
      batch_size: 1,
      length: loop.sample_length ?? Math.max(1, hparams.n_ctx - 1),
      temperature: 1,
      top_k: 40,
      top_p: 1,
      signal,
    });
    for await (const event of inOrder(events)) {
      texts[event.sample] ??= encoder.decode([first]);
      if (event.type === "text") texts[event.sample] += event.text;
    }
    if (signal.aborted) return undefined;
    return texts.map((text, i) => `======== SAMPLE ${i + 1} ========\n${text}\n`).join("\n");
  } finally {
    await engine.dispose();
  }
}
