import { canonicalName } from "../../models/catalog.js";
import { loadModel, type Model } from "../../models/load.js";
import { missingModel } from "../../models/missing.js";
import { findModel, isPath } from "../../models/store.js";
import { promptIds } from "../../sampling/prompt.js";
import { type FinishReason, inOrder, sample } from "../../sampling/sample.js";
import { numberSamples } from "../../sampling/sample-numbers.js";
import { offerDownload } from "../commands/download.js";
import { checkBias, type GeneratingOptions } from "../options/sampling.js";
import { note, tell } from "../terminal/output.js";
import type { NumberingOptions } from "./resumed-file.js";
import { SampleTimes } from "./sample-times.js";

/** The model a command asks for, loaded; offers to download it where it is known, missing, and someone can answer. */
export async function loadNamedModel(options: GeneratingOptions): Promise<Model> {
  const folder = await modelFolder(options.model_name, options.models_dir);
  return loadModel(folder, { ...options, onNotice: (line) => tell(`warning: ${line}`) });
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
  /** Printed before each sample: its number in the seed's stream and its position in this run, both from 1. */
  before(number: number, position: number): string;
  /** Printed after each sample's text, whose line has been ended. */
  after?(number: number): string;
}

/** The originals' header: 40 `=`, ` SAMPLE n `, 40 `=`. */
export const SAMPLE_HEADER: Layout = {
  before: (number) => `${"=".repeat(40)} SAMPLE ${number} ${"=".repeat(40)}\n`,
};

/** Where samples go: standard output, or files. */
export interface Sink {
  /** Aborted when nothing more can be written. */
  readonly closed: AbortSignal;
  write(text: string): Promise<void>;
  /** Called before a sample's first text; `position` in this run counts from 1. */
  begin?(position: number): Promise<void>;
  /** Called when all of a sample was written. */
  end?(position: number, reason: FinishReason): Promise<void>;
}

/** What is known of a sample that has ended: a line of --format jsonl. */
export interface SampleRecord {
  /** Counts from 1. */
  readonly sample: number;
  readonly seed: number;
  readonly prompt: string;
  readonly text: string;
  /** New tokens, the end-of-text token not counted. */
  readonly tokens: number;
  readonly finish_reason: FinishReason;
}

/** What one run of samples needs beside the options. */
export interface Run {
  readonly model: Model;
  readonly output: Sink;
  readonly layout: Layout;
  readonly seed: number;
  /** The prompt's text; "" begins from the end-of-text token. */
  readonly prompt: string;
  /** Numbers, from 0, of samples that are there already. */
  readonly done?: ReadonlySet<number>;
  /** Ends the run. */
  readonly signal: AbortSignal;
  /** Called when a sample has been written, instead of one note at the end of the run. */
  readonly onSample?: (record: SampleRecord, seconds: number) => void;
}

/** So many tokens in so many seconds, in words. */
export function showSpeed(tokens: number, seconds: number): string {
  const rate = seconds > 0 ? tokens / seconds : 0;
  return `${tokens} ${tokens === 1 ? "token" : "tokens"}, ${rate.toFixed(1)} tokens per second`;
}

/** Writes samples to the output as they come: the one loop behind interactive, unconditional and generate. */
export async function run(
  options: GeneratingOptions & NumberingOptions,
  { model, output, layout, seed, prompt, signal, onSample, done }: Run,
): Promise<void> {
  checkBias(options.logit_bias, model.hparams.n_vocab);
  const ids = promptIds(model, prompt, (line) => tell(`warning: ${line}`));
  const times = new SampleTimes(options.batch_size);
  const nsamples = options.nsamples === 0 ? Number.POSITIVE_INFINITY : options.nsamples;
  const numbering = numberSamples(options, nsamples, done);
  const events = sample(model.engine, model.encoder, ids, {
    ...options,
    seed,
    nsamples: numbering.count,
    numberOf: numbering.numberOf,
    signal: AbortSignal.any([signal, output.closed]),
  });
  const isText = options.format === "text";
  const keepsText = !isText || onSample !== undefined; // else a sample may be too long for memory
  const started = performance.now();
  let total = 0;
  let current = -1;
  let text = "";
  for await (const event of inOrder(times.watch(events))) {
    const number = numbering.numberOf(event.sample) + 1;
    const position = event.sample + 1;
    if (event.sample !== current) {
      current = event.sample;
      text = "";
      await output.begin?.(position);
      if (isText) await output.write(layout.before(number, position));
    }
    if (event.type === "text") {
      if (isText) await output.write(event.text);
      if (keepsText) text += event.text;
      continue;
    }
    const { tokens, finish_reason } = event;
    total += tokens;
    const record: SampleRecord = { sample: number, seed, prompt, text, tokens, finish_reason };
    if (isText) {
      await output.write("\n");
      await output.write(layout.after?.(number) ?? "");
    } else {
      await output.write(`${JSON.stringify(record)}\n`);
    }
    await output.end?.(position, finish_reason);
    const seconds = times.take(event.sample);
    onSample?.(record, seconds);
  }
  if (total > 0 && !onSample) note(showSpeed(total, (performance.now() - started) / 1000));
}
