import type { LoadedModel } from "../../models/folder.js";
import { searchesBeams } from "../../sampling/beam-faults.js";
import type { BeamOptions, BeamSamplesOptions } from "../../sampling/beam-search.js";
import type { DrawnToken } from "../../sampling/logprobs.js";
import { pinnedPrompt, promptIds } from "../../sampling/prompt.js";
import { inOrder, type SampleEvent, sample } from "../../sampling/sample.js";
import { numberSamples } from "../../sampling/sample-numbers.js";
import type { Turns } from "../../sampling/turns.js";
import { countOf } from "../../system/errors.js";
import type { NumberingOptions } from "../options/numbering.js";
import { checkBias, type GeneratingOptions } from "../options/sampling.js";
import { note, tell } from "../terminal/output.js";
import { Painting, paint, paintsTexts } from "./painting.js";
import { SampleTimes } from "./sample-times.js";
import type { SamplesPage } from "./samples-page.js";
import type { Layout, SampleRecord, Sink } from "./sink.js";
import { mostOf, toldTokens } from "./told-tokens.js";

/** What one run of samples needs besides the options. */
export interface Run {
  readonly model: LoadedModel;
  readonly output: Sink;
  readonly layout: Layout;
  readonly seed: number;
  /** The prompt's text; "" begins from the end-of-text token. */
  readonly prompt: string;
  /** Kept before the prompt, even when the context is full; "" or undefined for none. */
  readonly pin?: string;
  /** The conversation that the prompt continues; its last sample is the answer. */
  readonly turns?: Turns;
  /** Numbers, from 0, of samples that exist already. */
  readonly done?: ReadonlySet<number>;
  /** Ends the run. */
  readonly signal: AbortSignal;
  /** Called after each sample, instead of one note at the end of the run. */
  readonly onSample?: (
    record: SampleRecord,
    seconds: number,
    tokens: readonly DrawnToken[],
  ) => void | Promise<void>;
  /** The fewest alternatives per token that onSample gets. */
  readonly explain?: number;
  /** Where samples go besides. */
  readonly page?: SamplesPage;
}

/** The number of tokens and their speed, in words. */
export function showSpeed(tokens: number, seconds: number): string {
  const rate = seconds > 0 ? tokens / seconds : 0;
  return `${countOf(tokens, "token")}, ${rate.toFixed(1)} tokens per second`;
}

/** The events of a beam search, whose module is loaded only here. */
async function searched(
  { engine, encoder }: LoadedModel,
  prompt: readonly number[],
  options: GeneratingOptions & Omit<BeamSamplesOptions, keyof BeamOptions>,
): Promise<AsyncIterable<SampleEvent>> {
  const { beamSamples } = await import("../../sampling/beam-search.js");
  const { num_beams = 1, length_penalty = 1, num_return = 1 } = options;
  return beamSamples(engine, encoder, prompt, { ...options, num_beams, length_penalty, num_return });
}

/** Writes samples as they come: the loop behind interactive, unconditional and generate. */
export async function run(
  options: GeneratingOptions & NumberingOptions,
  { model, output, layout, seed, prompt, pin, turns, signal, onSample, explain, page, done }: Run,
): Promise<void> {
  checkBias(options.logit_bias, model.hparams.n_vocab);
  const reading = { special: options.special, onNotice: (line: string) => tell(`warning: ${line}`) };
  const { ids, pinned } = pin
    ? pinnedPrompt(model, pin, prompt, reading)
    : { ids: promptIds(model, turns?.ask(prompt, options) ?? prompt, reading), pinned: 0 };
  const times = new SampleTimes(options.batch_size);
  const nsamples = options.nsamples === 0 ? Number.POSITIVE_INFINITY : options.nsamples;
  const isText = options.format === "text";
  const paints = paintsTexts(output, options.format, options.color);
  const numbering = numberSamples(options, nsamples, done);
  const wanted = {
    logprobs: mostOf(options.logprobs, explain, page?.explain, paints ? 0 : undefined),
    nsamples: numbering.count,
    numberOf: numbering.numberOf,
    signal: AbortSignal.any([signal, output.closed]),
  };
  const isSearch = searchesBeams(options);
  const drawing = { ...options, ...wanted, seed, keepIds: turns !== undefined, pinned };
  const events = isSearch
    ? await searched(model, ids, { ...options, ...wanted })
    : sample(model.engine, model.encoder, ids, drawing);
  const keepsText = !isText || Boolean(onSample ?? turns ?? page); // else one may be too long for memory
  const started = performance.now();
  let total = 0;
  let current = -1;
  let number = 0;
  let text = "";
  let scored: DrawnToken[] = [];
  let painting = paints ? new Painting() : undefined;
  let answer: string | readonly number[] = [];
  for await (const event of inOrder(times.watch(events))) {
    const position = event.sample + 1;
    if (event.sample !== current) {
      current = event.sample;
      number = numbering.numberOf(current) + 1;
      text = "";
      scored = [];
      painting &&= new Painting();
      await output.begin?.(position);
      if (isText) await output.write(layout.before(number, position));
    }
    if (event.type === "token") {
      painting?.push(event.token);
      if (keepsText) scored.push(event.token);
      continue;
    }
    if (event.type === "text") {
      if (painting) await paint(output, painting.cut(event.text));
      else if (isText) await output.write(event.text);
      if (keepsText) text += event.text;
      continue;
    }
    const { tokens, finish_reason, score, ids: drawn = [] } = event;
    answer = finish_reason === "stop" ? text : drawn;
    total += tokens;
    const record: SampleRecord = {
      ...{ sample: number, ...(!isSearch && { seed }), prompt, text, tokens, finish_reason },
      ...(score !== undefined && { score }),
      ...toldTokens(scored, options.logprobs),
    };
    if (isText) {
      await output.write("\n");
      await output.write(layout.after?.(number) ?? "");
    } else {
      await output.write(`${JSON.stringify(record)}\n`);
    }
    await output.end?.(position, finish_reason);
    const seconds = times.take(event.sample);
    page?.add(record, scored);
    await onSample?.(record, seconds, scored);
  }
  turns?.answer(answer);
  if (total > 0 && !onSample) note(showSpeed(total, (performance.now() - started) / 1000));
}
