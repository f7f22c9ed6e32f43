import { join } from "node:path";
import type { Encoder } from "../../encoder/encoder.js";
import { createEngine, type EngineOptions } from "../../engines/create.js";
import type { Hparams } from "../../model/hparams.js";
import type { WeightSource } from "../../model/weight-source.js";
import { inOrder, sample } from "../../sampling/sample.js";
import { makeFolder, replaceFile } from "../../system/files.js";

/** How samples are written while a model is being trained. */
export interface SampleRequest {
  readonly hparams: Hparams;
  readonly weights: WeightSource;
  readonly encoder: Encoder;
  readonly engine: Pick<EngineOptions, "backend" | "threads" | "gpu">;
  /** The token that each sample goes on from, which is part of its text. */
  readonly first: number;
  readonly seed: number;
  readonly sample_num: number;
  readonly sample_length: number;
  readonly signal: AbortSignal;
}

/**
 * Writes samples with the weights as they are, drawn as in gpt-2-simple: temperature 1, top_k 40. An engine is
 * made for them and disposed of; the weights are read and nothing else is touched.
 * @returns the texts, each under its number; undefined when interrupted
 */
export async function drawSamples(request: SampleRequest): Promise<string | undefined> {
  const { hparams, weights, encoder, first, seed, sample_num, sample_length, signal } = request;
  const engine = await createEngine(hparams, weights, { ...request.engine, precision: "float32" });
  try {
    const texts: string[] = [];
    const events = sample(engine, encoder, [first], {
      seed,
      nsamples: sample_num,
      batch_size: 1,
      length: sample_length,
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

/** Puts samples where gpt-2-simple does: <folder>/<run_name>/samples-<step>. */
export async function keepSamples(
  folder: string,
  run_name: string,
  step: number,
  text: string,
): Promise<void> {
  const place = join(folder, run_name);
  makeFolder(place);
  await replaceFile(join(place, `samples-${step}`), text);
}
