import { randomSeed } from "../random.js";
import { faultOfBeams, searchesBeams } from "../sampling/beam-faults.js";
import { type BeamOptions, beamSamples } from "../sampling/beam-search.js";
import type { FinishReason } from "../sampling/continuation.js";
import { faultOfBias } from "../sampling/logit-bias.js";
import { type TokenLogprob, withoutAdded } from "../sampling/logprobs.js";
import { BEAM_NAMES, checkOptions, SAMPLING_NAMES, SAMPLING_OPTIONS } from "../sampling/options.js";
import { promptIds } from "../sampling/prompt.js";
import { inOrder, type SampleEvent, type SampleOptions, sample } from "../sampling/sample.js";
import { Turns } from "../sampling/turns.js";
import { insideOf, type Model } from "./model.js";

/** A beam search's options; see docs/sampling.md. */
type SearchOptions = Pick<BeamOptions, "num_beams" | "length_penalty" | "num_return">;

/** How a text is written; names, meaning and defaults are the command line's. */
export interface GenerateOptions
  extends Partial<
    Omit<
      SampleOptions,
      "nsamples" | "batch_size" | "numberOf" | "keepIds" | "pinned" | "logprobs" | "stop" | "signal"
    > &
      Omit<SearchOptions, "num_return">
  > {
  /** End the text before this one, or before the first of these. */
  readonly stop?: string | readonly string[];
  /** Special and added tokens in a prompt are tokens, not text. Default: true, but false for OpenAI's models. */
  readonly special?: boolean;
  /** Stops the work; the signal's reason is thrown. */
  readonly signal?: AbortSignal;
  /** Called with a warning when the prompt is longer than the model's context and only its newest part is read. */
  readonly onNotice?: (line: string) => void;
}

/** How several texts are written. */
export interface SamplesOptions extends GenerateOptions {
  /** How many; Infinity = for ever. Default: 1. */
  readonly nsamples?: number;
  /** How many are computed at once: affects speed and memory, never the text. Default: 1. */
  readonly batch_size?: number;
  /** Report how likely the model found each token, with this many of the likeliest: see Sample.token_logprobs. */
  readonly logprobs?: number;
  /** How many of the texts that a beam search found, instead of nsamples. Default: 1. */
  readonly num_return?: number;
}

/** One of several texts: the same as a line of `--format jsonl`. */
export interface Sample {
  /** Its number, from 1. */
  readonly sample: number;
  /** Undefined for a beam search, which draws nothing. */
  readonly seed?: number;
  /** As given. */
  readonly prompt: string | readonly number[];
  /** The text that follows the prompt. */
  readonly text: string;
  /** How many tokens it has. */
  readonly tokens: number;
  readonly finish_reason: Exclude<FinishReason, "interrupted">;
  /** What a beam search ranked it by: the sum of its tokens' log-probabilities / their number ** length_penalty. */
  readonly score?: number;
  /** Its tokens, with `logprobs`. */
  readonly token_logprobs?: readonly TokenLogprob[];
}

const SAMPLES_NAMES = [...SAMPLING_NAMES, ...BEAM_NAMES, "signal", "onNotice"];
const NAMES = SAMPLES_NAMES.filter(
  (name) => !["nsamples", "batch_size", "logprobs", "num_return"].includes(name),
);
const TURN_NAMES = NAMES.filter((name) => !(BEAM_NAMES as readonly string[]).includes(name));

const { nsamples, batch_size, temperature, top_k, top_p } = SAMPLING_OPTIONS;
const DEFAULTS = {
  nsamples: nsamples.initial,
  batch_size: batch_size.initial,
  temperature: temperature.initial,
  top_k: top_k.initial,
  top_p: top_p.initial,
};

/** Checks what a program passed. @throws RangeError that names the option; the signal's reason on an abort */
function check(options: SamplesOptions, names: readonly string[]): void {
  checkOptions(options, names);
  const fault = faultOfBeams(options);
  if (fault) throw new RangeError(`${fault.reason}: ${fault.next}`);
  options.signal?.throwIfAborted();
}

/** The core's events, in the order of the samples. */
function events(
  model: Model,
  prompt: string | readonly number[],
  {
    stop = [],
    special,
    onNotice = () => {},
    ...options
  }: SamplesOptions & { readonly seed: number; readonly keepIds?: boolean },
): AsyncGenerator<SampleEvent, void, void> {
  const inside = insideOf(model);
  const fault = faultOfBias(options.logit_bias ?? new Map(), inside.engine.hparams.n_vocab);
  if (fault) throw new RangeError(`logit_bias${fault}`);
  const ids = promptIds(inside, prompt, { special, onNotice });
  const given = Object.entries(options).filter(([, value]) => value !== undefined); // undefined means the default
  const wanted = {
    ...DEFAULTS,
    ...(Object.fromEntries(given) as typeof options),
    stop: typeof stop === "string" ? [stop] : stop,
  };
  if (!searchesBeams(options)) return inOrder(sample(inside.engine, inside.encoder, ids, wanted));
  const { num_beams = 1, length_penalty = 1, num_return = 1 } = options;
  const search = { ...wanted, num_beams, length_penalty, num_return, nsamples: num_return };
  return beamSamples(inside.engine, inside.encoder, ids, search);
}

/**
 * Continues a prompt; yields the text piece by piece as the model writes it, never a broken character. Joined, the
 * pieces are the text that `gpt2 generate` prints after the prompt with the same options and seed, byte for byte.
 * @param prompt a text, "" to write from nothing, or token ids
 * @throws RangeError for a wrong option; the signal's reason on an abort; UserError when the model cannot begin
 */
export async function* generate(
  model: Model,
  prompt: string | readonly number[],
  options: GenerateOptions = {},
): AsyncGenerator<string, void, void> {
  check(options, NAMES);
  for await (const event of events(model, prompt, { ...options, seed: options.seed ?? randomSeed() })) {
    if (event.type === "text") yield event.text;
    else if (event.type === "end" && event.finish_reason === "interrupted") options.signal?.throwIfAborted();
  }
}

/**
 * Continues a prompt several times; yields each text when it is complete, in order. Sample n is the command line's n-th
 * with the same options and seed, whatever batch_size and nsamples are.
 * @throws like generate(); texts left unfinished by an abort are not yielded
 */
export async function* generateSamples(
  model: Model,
  prompt: string | readonly number[],
  options: SamplesOptions = {},
): AsyncGenerator<Sample, void, void> {
  check(options, SAMPLES_NAMES);
  const seed = options.seed ?? randomSeed();
  let text = "";
  let scored: TokenLogprob[] = [];
  for await (const event of events(model, prompt, { ...options, seed })) {
    if (event.type === "text") text += event.text;
    if (event.type === "token") scored.push(withoutAdded(event.token));
    if (event.type !== "end") continue;
    const { tokens, finish_reason, score } = event;
    if (finish_reason === "interrupted") {
      options.signal?.throwIfAborted();
      continue;
    }
    const token_logprobs = options.logprobs === undefined ? {} : { token_logprobs: scored };
    yield {
      ...{
        sample: event.sample + 1,
        ...(score === undefined && { seed }),
        prompt,
        text,
        tokens,
        finish_reason,
      },
      ...(score !== undefined && { score }),
      ...token_logprobs,
    };
    text = "";
    scored = [];
  }
}

/** A conversation with a chat model such as DialoGPT: what was said stays in the context, turn by turn. */
export class Conversation {
  readonly #model: Model;
  readonly #turns: Turns;

  /** @throws UserError when the model has no token that ends a text */
  constructor(model: Model) {
    this.#model = model;
    this.#turns = new Turns(insideOf(model));
  }

  /**
   * Says a line; yields the answer piece by piece. An answer that is abandoned is forgotten; the line is kept.
   * @throws like generate()
   */
  async *say(
    line: string,
    options: Omit<GenerateOptions, keyof SearchOptions> = {},
  ): AsyncGenerator<string, void, void> {
    check(options, TURN_NAMES);
    const ids = this.#turns.ask(line, options);
    const seed = options.seed ?? randomSeed();
    let text = "";
    for await (const event of events(this.#model, ids, { ...options, seed, keepIds: true })) {
      if (event.type === "text") {
        text += event.text;
        yield event.text;
      } else if (event.type === "end") {
        if (event.finish_reason === "interrupted") options.signal?.throwIfAborted();
        this.#turns.answer(event.finish_reason === "stop" ? text : (event.ids ?? []));
      }
    }
  }

  /** Starts a new conversation. */
  forget(): void {
    this.#turns.forget();
  }
}
