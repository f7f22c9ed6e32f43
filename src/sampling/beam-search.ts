/** Beam search on an engine: many prompts at once, each beam a sequence of its own. */

import { setImmediate as nextTurn } from "node:timers/promises";
import type { Engine, Sequence, Step } from "../model/engine.js";
import { type Beam, BeamSearch, type BeamSearchOptions, type Move } from "./beams.js";
import { type ContinuationOptions, type Decoding, type FinishReason, tokenRoles } from "./continuation.js";
import { type TokenLogprob, tokenLogprob } from "./logprobs.js";
import { readPrompt } from "./read-prompt.js";
import { LOOKAHEAD, type SampleEvent } from "./sample.js";
import { ShownText } from "./stop.js";
import type { TokenTexts } from "./token-texts.js";

/** How texts are searched for and shown. The search knows no stop texts: they cut what it found. */
export interface BeamOptions
  extends BeamSearchOptions,
    Pick<ContinuationOptions, "stop" | "ignore_eos" | "show_special" | "logprobs"> {}

/** A prompt whose continuation is searched for. */
export interface BeamJob {
  /** Token ids, at least one, at most n_ctx. */
  readonly prompt: readonly number[];
  readonly options: BeamOptions;
}

/** What a search found: num_return texts, best first; or, if interrupted, the best so far. */
export interface Found<Job extends BeamJob> {
  readonly job: Job;
  readonly texts: readonly Beam<TokenLogprob>[];
  readonly isInterrupted: boolean;
}

/** A running search, with a sequence for each of its beams. */
interface Running<Job extends BeamJob> {
  readonly job: Job;
  readonly index: number;
  readonly search: BeamSearch<TokenLogprob>;
  sequences: Sequence[];
  /** Where the beams to be read next come from. */
  moves: readonly Move[];
}

/**
 * Gives each new beam the sequence of the one that it comes from: the first takes it, others fork it, which shares its
 * full pages; a sequence that none comes from is freed. If it fails, `running` holds what is left.
 */
function follow<Job extends BeamJob>(engine: Engine, running: Running<Job>, moves: readonly Move[]): void {
  const before = running.sequences;
  const untaken = new Set(moves.map(({ from }) => from));
  running.sequences = before.filter((_, i) => untaken.has(i));
  for (const [i, sequence] of before.entries()) if (!untaken.has(i)) engine.free(sequence);
  const after = moves.map(({ from }) => {
    if (untaken.delete(from)) return before[from];
    const fork = engine.fork(before[from]);
    running.sequences.push(fork);
    return fork;
  });
  running.sequences = after;
  running.moves = moves;
}

/**
 * Searches for the continuations of many prompts, in their order; each result is the same whatever batch_size is.
 * @param batch_size how many prompts are searched at once
 * @throws UserError as BeamSearch; RangeError when logprobs need the tokens' bytes and decoding has none
 */
export async function* searchBeams<Job extends BeamJob>(
  engine: Engine,
  decoding: Decoding,
  jobs: Iterable<Job>,
  { batch_size, signal }: { readonly batch_size: number; readonly signal?: AbortSignal },
): AsyncGenerator<Found<Job>, void, void> {
  const waiting = jobs[Symbol.iterator]();
  const aborted = (): boolean => signal?.aborted === true;
  const running = new Set<Running<Job>>();
  const done = new Map<number, Found<Job>>();
  let [begun, told] = [0, 0];

  /** Takes a search's next logits; frees its sequences when it is over. */
  const advance = (each: Running<Job>, logits: readonly Float32Array[]): void => {
    const { search, job } = each;
    follow(engine, each, search.advance(logits));
    if (each.moves.length > 0) return;
    running.delete(each);
    done.set(each.index, { job, texts: search.found(), isInterrupted: false });
  };
  /** Begins the next prompt's search; false where there is none. */
  const begin = async (): Promise<boolean> => {
    const next = waiting.next();
    if (next.done) return false;
    const job = next.value;
    const search = newSearch(engine, decoding, job);
    const each: Running<Job> = { job, index: begun++, search, sequences: [], moves: [] };
    running.add(each);
    each.sequences = [engine.createSequence()];
    const logits = await readPrompt(engine, each.sequences[0], job.prompt, aborted);
    if (logits) advance(each, [logits]);
    return true;
  };

  try {
    let isMore = true;
    while (!aborted()) {
      while (isMore && running.size < batch_size && begun - told < LOOKAHEAD * batch_size && !aborted())
        isMore = await begin();
      for (let found = done.get(told); found; found = done.get(told)) {
        done.delete(told++);
        yield found;
      }
      if (aborted()) break;
      if (running.size === 0) {
        if (!isMore) return;
        continue;
      }
      await nextTurn();
      if (aborted()) break;
      const searches = [...running];
      const steps = searches.flatMap(({ sequences, moves }) =>
        moves.map(({ id }, i): Step => ({ sequence: sequences[i], ids: [id] })),
      );
      const logits = await engine.forward(steps);
      let at = 0;
      for (const each of searches) {
        const beams = each.moves.length;
        advance(each, logits.slice(at, at + beams)); // beams x [n_vocab]
        at += beams;
      }
    }
    for (const { job, search, index } of running) {
      done.set(index, { job, texts: [search.best()], isInterrupted: true });
    }
    for (; told < begun; told++) yield done.get(told)!;
  } finally {
    for (const { sequences } of running) for (const sequence of sequences) engine.free(sequence);
  }
}

function newSearch({ hparams }: Engine, decoding: Decoding, { prompt, options }: BeamJob) {
  const { logprobs } = options;
  const texts = decoding.tokenBytes && (decoding as Decoding & TokenTexts);
  if (logprobs !== undefined && !texts) throw new RangeError("logprobs need the tokens' bytes");
  const { ends } = tokenRoles(decoding, options);
  const tell =
    logprobs !== undefined && texts
      ? (logits: Float32Array, id: number) => tokenLogprob(texts, logits, id, logprobs)
      : undefined;
  return new BeamSearch(hparams, { ends, texts }, prompt, options, tell);
}

/**
 * The events of a text that was found, as of a sample: its tokens and pieces of text, then its end.
 * @param sample its place among the samples, from 0
 */
export function* tellBeam(
  decoding: Decoding,
  { job: { prompt, options }, isInterrupted }: Found<BeamJob>,
  { ids, score, told }: Beam<TokenLogprob>,
  sample: number,
): Generator<SampleEvent, void, void> {
  const { ends, hidden } = tokenRoles(decoding, options);
  const decoder = decoding.decoder(prompt);
  const shown = new ShownText(options.stop ?? [], hidden);
  const ended: FinishReason = options.length === undefined ? "context" : "length";
  let finish_reason: FinishReason = isInterrupted ? "interrupted" : ended;
  let tokens = 0;
  for (const [i, id] of ids.entries()) {
    if (ends.has(id)) {
      finish_reason = "eos";
      break;
    }
    tokens++;
    let added = "";
    const { text, stopped } = shown.push(id, (token) => {
      added = decoder.push(token);
      return added;
    });
    if (told.length > 0) yield { type: "token", sample, token: { ...told[i], added } };
    if (text !== "") yield { type: "text", sample, text };
    if (stopped) {
      finish_reason = "stop";
      break;
    }
  }
  if (finish_reason !== "stop") {
    const { text, stopped } = shown.text(decoder.end());
    const rest = stopped ? text : text + shown.end();
    if (stopped) finish_reason = "stop";
    if (rest !== "") yield { type: "text", sample, text: rest };
  }
  yield { type: "end", sample, tokens, finish_reason, ...(!isInterrupted && { score }) };
}

/** Which of the texts found become samples; see SampleOptions. */
export interface BeamSamplesOptions extends BeamOptions {
  /** How many of num_return. */
  readonly nsamples: number;
  readonly numberOf?: (k: number) => number;
  readonly signal?: AbortSignal;
}

/** One prompt's beam search in place of sample(): the texts found are its samples, best first. */
export async function* beamSamples(
  engine: Engine,
  decoding: Decoding,
  prompt: readonly number[],
  { nsamples, numberOf = (k) => k, signal, ...options }: BeamSamplesOptions,
): AsyncGenerator<SampleEvent, void, void> {
  for await (const found of searchBeams(engine, decoding, [{ prompt, options }], { batch_size: 1, signal })) {
    for (let k = 0; k < (found.isInterrupted ? 1 : nsamples); k++) {
      yield* tellBeam(decoding, found, found.texts[found.isInterrupted ? 0 : numberOf(k)], k);
    }
  }
}
