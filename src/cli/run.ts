import { canonicalName } from "../download/catalog.js";
import { loadModel, type Model } from "../load.js";
import { missingModel } from "../missing.js";
import { promptIds } from "../prompt.js";
import { inOrder, sample } from "../sample.js";
import { findModel, isPath } from "../store.js";
import { offerDownload } from "./download.js";
import type { GeneratingOptions } from "./options.js";
import { note, type Output } from "./output.js";

/** The model a command asks for, loaded; offers to download it where it is known, missing, and someone can answer. */
export async function loadNamedModel(options: GeneratingOptions): Promise<Model> {
  const folder = await modelFolder(options.model_name, options.models_dir);
  return loadModel(folder, { ...options, onNotice: (line) => note(`warning: ${line}`) });
}

/** The folder of the model with this name or path, which may have been downloaded just now. */
export async function modelFolder(name: string, models_dir: string | undefined): Promise<string> {
  return findModel(name, models_dir) ?? (await offered(name, models_dir));
}

async function offered(name: string, models_dir: string | undefined): Promise<string> {
  const canDownload = !isPath(name) && canonicalName(name) !== undefined;
  const folder = canDownload ? await offerDownload(name, models_dir) : undefined;
  if (folder) return folder;
  throw missingModel(name, models_dir);
}

/** How a command's text output looks around the samples. */
export interface Layout {
  /** Printed before each sample; `number` counts from 1. */
  before(number: number): string;
  /** Printed after each sample's text, whose line has been ended. */
  after?(number: number): string;
}

/** The originals' header: 40 `=`, ` SAMPLE n `, 40 `=`. */
export const SAMPLE_HEADER: Layout = {
  before: (number) => `${"=".repeat(40)} SAMPLE ${number} ${"=".repeat(40)}\n`,
};

/** What one run of samples needs beside the options. */
export interface Run {
  readonly model: Model;
  readonly output: Output;
  readonly layout: Layout;
  readonly seed: number;
  /** The prompt's text; "" begins from the end-of-text token. */
  readonly prompt: string;
  /** Ends the run. */
  readonly signal: AbortSignal;
}

/** Writes samples to the output as they come: the one loop behind interactive, unconditional and generate. */
export async function run(
  options: GeneratingOptions,
  { model, output, layout, seed, prompt, signal }: Run,
): Promise<void> {
  const ids = promptIds(model, prompt, (line) => note(`warning: ${line}`));
  const events = sample(model.engine, model.encoder, ids, {
    ...options,
    seed,
    nsamples: options.nsamples === 0 ? Number.POSITIVE_INFINITY : options.nsamples,
    signal: AbortSignal.any([signal, output.closed]),
  });
  const isText = options.format === "text";
  const started = performance.now();
  let tokens = 0;
  let current = -1;
  let text = "";
  for await (const event of inOrder(events)) {
    const number = event.sample + 1;
    if (event.sample !== current) {
      current = event.sample;
      text = "";
      if (isText) await output.write(layout.before(number));
    }
    if (event.type === "text") {
      if (isText) await output.write(event.text);
      else text += event.text;
      continue;
    }
    tokens += event.tokens;
    if (isText) {
      await output.write("\n");
      await output.write(layout.after?.(number) ?? "");
    } else {
      const { finish_reason } = event;
      await output.write(
        `${JSON.stringify({ sample: number, seed, prompt, text, tokens: event.tokens, finish_reason })}\n`,
      );
    }
  }
  const seconds = (performance.now() - started) / 1000;
  if (tokens > 0)
    note(
      `${tokens} ${tokens === 1 ? "token" : "tokens"}, ${(tokens / seconds).toFixed(1)} tokens per second`,
    );
}
