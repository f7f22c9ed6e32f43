import type { LoadedModel } from "../../models/folder.js";
import { type Continuation, Continuations, type FinishReason } from "../../sampling/continuation.js";
import type { DrawnToken } from "../../sampling/logprobs.js";
import { promptIds } from "../../sampling/prompt.js";
import { LOOKAHEAD } from "../../sampling/sample.js";
import type { Numbering } from "../../sampling/sample-numbers.js";
import { Scheduler } from "../../serve/scheduler.js";
import type { GeneratingOptions } from "../options/sampling.js";
import { tell } from "../terminal/output.js";
import type { ColorWhen } from "../terminal/paint.js";
import { paint, paintsTexts, piecesOf } from "./painting.js";
import type { SamplesPage } from "./samples-page.js";
import type { SampleRecord, Sink } from "./sink.js";
import { mostOf, toldTokens } from "./told-tokens.js";

/** A prompt of a file with all its options. */
export interface NumberedPrompt {
  readonly number: number;
  readonly prompt: string;
  readonly options: GeneratingOptions & { readonly seed: number };
  /** Which of its samples to write. */
  readonly numbering: Numbering;
}

/** What a run over many prompts needs, of which all are drawn, or all searched. */
export interface PromptsRun {
  readonly model: LoadedModel;
  readonly output: Sink;
  readonly prompts: readonly NumberedPrompt[];
  /** Samples written before, of other prompts of the file. */
  readonly written: number;
  readonly batch_size: number;
  readonly format: "text" | "jsonl";
  readonly color: ColorWhen;
  /** Printed before a sample's text. */
  readonly before: (record: SampleRecord, position: number) => string;
  /** Where samples go besides. */
  readonly page?: SamplesPage;
  readonly signal: AbortSignal;
}

/** Cache for prompts that begin alike, as a template's do. */
const CACHE_MEGABYTES = 64;

/** One sample of one prompt. */
interface Job {
  readonly entry: NumberedPrompt;
  /** Its number in the seed's stream, from 0. */
  readonly sample: number;
}

function* jobsOf(prompts: readonly NumberedPrompt[]): Generator<Job, void, void> {
  for (const entry of prompts) {
    for (let k = 0; k < entry.numbering.count; k++) yield { entry, sample: entry.numbering.numberOf(k) };
  }
}

/** How much of a run was written. */
export interface Written {
  readonly samples: number;
  readonly tokens: number;
}

/** Writes a whole sample. @param nth of these prompts, from 1 @param paints whether text is coloured */
export async function writeRecord(
  { output, format, before, page, written }: PromptsRun,
  record: SampleRecord,
  nth: number,
  tokens: readonly DrawnToken[],
  paints: boolean,
): Promise<void> {
  const position = written + nth;
  page?.add(record, tokens);
  await output.begin?.(position);
  if (format === "text") {
    await output.write(before(record, position));
    if (paints) await paint(output, piecesOf(record.text, tokens));
    else await output.write(record.text);
    await output.write("\n");
  } else {
    await output.write(`${JSON.stringify(record)}\n`);
  }
  await output.end?.(position, record.finish_reason);
}

/** A prompt's tokens; warns of those cut off. */
export function idsOf(model: LoadedModel, { prompt, number, options: { special } }: NumberedPrompt) {
  const onNotice = (line: string): void => tell(`warning: prompt ${number}: ${line}`);
  return promptIds(model, prompt, { special, onNotice });
}

/**
 * Writes the samples of many prompts in the order of the prompts, whichever are done first. A batch mixes prompts, and
 * each sample is what `generate` writes for its prompt alone.
 */
export async function runPrompts(run: PromptsRun): Promise<Written> {
  const { model, output, prompts, batch_size } = run;
  const { engine, encoder, hparams } = model;
  const signal = AbortSignal.any([run.signal, output.closed]);
  const paints = paintsTexts(output, run.format, run.color);
  const most = LOOKAHEAD * batch_size;
  const scheduler = new Scheduler(engine, {
    max_batch: batch_size,
    queue: most,
    cache_megabytes: CACHE_MEGABYTES,
  });
  const jobs = jobsOf(prompts);
  /** Finished samples that wait for earlier ones, by position from 1. */
  const done = new Map<number, { readonly record: SampleRecord; readonly tokens: readonly DrawnToken[] }>();
  let [begun, written, tokens] = [0, 0, 0];
  let failure: { readonly error: unknown } | undefined;
  let wake = (): void => {};
  signal.addEventListener("abort", () => wake());

  const start = ({ entry, sample }: Job, position: number): void => {
    const { prompt, options, number } = entry;
    const ids = idsOf(model, entry);
    let text = "";
    const scored: DrawnToken[] = [];
    let continuation: Continuation | undefined;
    let finish_reason: FinishReason | undefined;
    scheduler.add([
      {
        prompt: ids,
        begin: () => {
          const logprobs = mostOf(options.logprobs, run.page?.explain, paints ? 0 : undefined);
          continuation = new Continuations(hparams, encoder, ids, { ...options, logprobs }).begin(sample);
          return continuation;
        },
        onAdvance: (advance) => {
          text += advance.text;
          if (advance.token) scored.push(advance.token);
          finish_reason = advance.finish_reason;
        },
        onEnd: (error) => {
          if (error !== undefined) failure ??= { error };
          else if (finish_reason && continuation) {
            const [{ seed }, { tokens }] = [options, continuation];
            const record: SampleRecord = {
              ...{ sample: sample + 1, prompt_number: number, seed, prompt, text },
              ...{ tokens, finish_reason },
              ...toldTokens(scored, options.logprobs),
            };
            done.set(position, { record, tokens: scored });
          }
          wake();
        },
      },
    ]);
  };

  try {
    let next = jobs.next();
    while (!signal.aborted && !failure) {
      for (; !next.done && begun - written < most; next = jobs.next()) start(next.value, ++begun);
      if (written === begun) break; // all are written, and no more will begin
      const sample = done.get(written + 1);
      if (!sample) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      done.delete(++written);
      const { record } = sample;
      tokens += record.tokens;
      await writeRecord(run, record, written, sample.tokens, paints);
    }
    if (failure) throw failure.error;
  } finally {
    await scheduler.close(new Error("over"));
  }
  return { samples: written, tokens };
}
