import { setImmediate as nextTurn } from "node:timers/promises";
import type { Engine, Sequence, Step } from "../model/engine.js";
import { uniform } from "../random.js";
import { type DrawOptions, makeDraw } from "./draw.js";
import { ShownText } from "./stop.js";

/** How samples are drawn. Names and meaning are the command line's. */
export interface SampleOptions extends DrawOptions {
  readonly seed: number;
  /** The number in the seed's stream of the k-th sample written, both from 0, rising; default: k. */
  readonly numberOf?: (k: number) => number;
  /** How many samples; Infinity = for ever. */
  readonly nsamples: number;
  /** How many are computed at once: speed and memory, never the text. */
  readonly batch_size: number;
  /** Most new tokens of a sample, at least 1; undefined = until the model ends the text or the context is full. */
  readonly length?: number;
  /** Texts that end a sample; they are not part of it. */
  readonly stop?: readonly string[];
  /** Take the end-of-text token for text like any other. */
  readonly ignore_eos?: boolean;
  /** Special tokens are part of the text, as they are written. */
  readonly show_special?: boolean;
  /** The end of a sample tells its tokens, which are kept until then. */
  readonly keepIds?: boolean;
  /** Ends all samples after the token being computed, with finish_reason "interrupted". */
  readonly signal?: AbortSignal;
}

/** Why a sample ended. */
export type FinishReason = "eos" | "stop" | "length" | "context" | "interrupted";

/** What happens to the k-th sample, k from 0: pieces of its text, then once its end. */
export type SampleEvent =
  | { readonly type: "text"; readonly sample: number; readonly text: string }
  | {
      readonly type: "end";
      readonly sample: number;
      /** New tokens drawn, the end-of-text token not counted. */
      readonly tokens: number;
      readonly finish_reason: FinishReason;
      /** Its new tokens, where they were to be kept. */
      readonly ids?: readonly number[];
    };

/** What sampling needs of an encoder: to turn ids into text, and to know the token that ends a text. */
export interface Decoding {
  readonly endOfText?: number;
  /** The tokens that end a text, where there are several. */
  readonly special?: { readonly eos: readonly number[] };
  /** Tokens that are no text, and how each is written. */
  readonly marks?: ReadonlyMap<number, string>;
  /** @param before the prompt */
  decoder(before: readonly number[]): { push(id: number): string; end(): string };
}

/** Prompts are read in pieces of this many tokens, so that an interruption need not wait for a long one. */
const PIECE = 128;
/** How many batches' worth of samples may be started beyond the oldest unfinished one: bounds what waits. */
const LOOKAHEAD = 32;

/** The newest half of the context: what is read again when the context is full. */
function newestHalf(ids: readonly number[], n_ctx: number): number[] {
  return ids.slice(-Math.max(1, Math.floor(n_ctx / 2)));
}

/** The part of a prompt that is read: all of it, or its newest half context where it exceeds the context. */
export function fitPrompt(ids: readonly number[], n_ctx: number): readonly number[] {
  return ids.length <= n_ctx ? ids : newestHalf(ids, n_ctx);
}

const NO_MARKS: ReadonlyMap<number, string> = new Map();

/** The marks without some: whoever asks to go on behind the end of a text sees it. */
function marksBut(marks = NO_MARKS, shown: readonly (number | undefined)[]): ReadonlyMap<number, string> {
  return new Map([...marks].filter(([id]) => !shown.includes(id)));
}

/** One sample being written. */
interface Slot {
  readonly sample: number;
  /** Its number in the seed's stream. */
  readonly number: number;
  sequence: Sequence;
  /** Logits of the next token [n_vocab]; undefined while `next` has not been read. */
  logits: Float32Array | undefined;
  /** The token drawn last. */
  next: number;
  tokens: number;
  /** The newest tokens, prompt included: what a full context is begun again with. */
  readonly recent: number[];
  readonly decoder: ReturnType<Decoding["decoder"]>;
  readonly shown: ShownText;
  readonly ids: number[] | undefined;
}

/**
 * THE sampling core: writes samples that continue a prompt. Every generating command calls it.
 *
 * A sample's text is a function of the model, the prompt, the drawing options, the seed and the sample's number
 * alone. The prompt is computed once and shared; a finished sample's place in the batch goes to the next one.
 * Events of different samples come interleaved (see inOrder); every sample that began also ends.
 *
 * @param prompt token ids, at least one, at most n_ctx (see fitPrompt)
 * @throws RangeError when the prompt's length is out of bounds; UserError when the model's logits are not numbers
 */
export async function* sample(
  engine: Engine,
  decoding: Decoding,
  prompt: readonly number[],
  options: SampleOptions,
): AsyncGenerator<SampleEvent, void, void> {
  const { n_ctx, n_vocab } = engine.hparams;
  const { seed, nsamples, batch_size, length, signal } = options;
  if (prompt.length < 1 || prompt.length > n_ctx) {
    throw new RangeError(`a prompt has 1 to ${n_ctx} tokens, not ${prompt.length}`);
  }
  const draw = makeDraw(n_vocab, options);
  const { endOfText, special } = decoding;
  const allEnds = [endOfText, ...(special?.eos ?? [])];
  const ends = new Set(options.ignore_eos ? [] : allEnds);
  const hidden = options.show_special
    ? NO_MARKS
    : marksBut(decoding.marks, options.ignore_eos ? allEnds : []);
  const isPenalised = (options.repetition_penalty ?? 1) !== 1;
  const { numberOf = (k: number) => k } = options;
  const aborted = (): boolean => signal?.aborted === true;

  /** Reads ids piece by piece; the last logits, or undefined when interrupted. */
  const read = async (sequence: Sequence, ids: readonly number[]): Promise<Float32Array | undefined> => {
    for (let start = 0; start < ids.length; start += PIECE) {
      await nextTurn(); // lets signals and timers in: without it, awaiting the engine never leaves this turn
      if (aborted()) return undefined;
      const isLast = start + PIECE >= ids.length;
      const step = { sequence, ids: ids.slice(start, start + PIECE) };
      const [logits] = await engine.forward([step], isLast ? "last" : "none");
      if (isLast) return logits.slice();
    }
    return undefined;
  };

  let slots: Slot[] = [];
  let shared: Sequence | undefined = engine.createSequence();
  try {
    const promptLogits = await read(shared, prompt);
    let started = 0;
    /** Adds a sample; the last one takes the shared prompt itself instead of a copy. */
    const start = (): void => {
      const isLast = started + 1 >= nsamples;
      const sequence = isLast || !shared ? (shared ?? engine.createSequence()) : engine.fork(shared);
      if (isLast) shared = undefined;
      slots.push({
        number: numberOf(started),
        sample: started++,
        sequence,
        logits: promptLogits,
        next: -1,
        tokens: 0,
        recent: prompt.slice(),
        decoder: decoding.decoder(prompt),
        shown: new ShownText(options.stop ?? [], hidden),
        ids: options.keepIds ? [] : undefined,
      });
    };
    /** Frees a slot; the events that end its sample. */
    const finish = (slot: Slot, finish_reason: FinishReason, isStopped = false): SampleEvent[] => {
      engine.free(slot.sequence);
      slots = slots.filter((other) => other !== slot);
      const { sample, tokens, ids } = slot;
      const end = { type: "end", sample, tokens, finish_reason, ...(ids && { ids }) } as const;
      if (isStopped) return [end];
      const last = slot.shown.text(slot.decoder.end());
      const text = last.text + (last.stopped ? "" : slot.shown.end());
      const ending = last.stopped ? ({ ...end, finish_reason: "stop" } as const) : end;
      return text === "" ? [ending] : [{ type: "text", sample: slot.sample, text }, ending];
    };
    /**
     * What a repetition penalty weakens: the tokens in the sample's context, prompt included. Not the one that ends
     * a text: where a sample begins from it, nothing was said yet, and a penalty would keep it from ending.
     */
    const said = ({ recent, sequence }: Slot): readonly number[] =>
      isPenalised ? recent.slice(-sequence.length).filter((id) => !ends.has(id)) : [];
    /** Draws a slot's next token; what follows from it. */
    const advance = (slot: Slot, logits: Float32Array): SampleEvent[] => {
      const id = draw(logits, uniform(seed, slot.number, slot.tokens), said(slot));
      slot.logits = undefined;
      if (ends.has(id)) return finish(slot, "eos");
      slot.next = id;
      slot.tokens++;
      slot.recent.push(id);
      slot.ids?.push(id);
      if (slot.recent.length >= 2 * n_ctx) slot.recent.splice(0, slot.recent.length - n_ctx);
      const { text, stopped } = slot.shown.push(id, (token) => slot.decoder.push(token));
      const events: SampleEvent[] = text === "" ? [] : [{ type: "text", sample: slot.sample, text }];
      if (stopped) events.push(...finish(slot, "stop", true));
      else if (slot.tokens === length) events.push(...finish(slot, "length"));
      else if (length === undefined && slot.sequence.length >= n_ctx) events.push(...finish(slot, "context"));
      return events;
    };

    while (!aborted()) {
      const oldest = Math.min(started, ...slots.map((slot) => slot.sample));
      while (slots.length < batch_size && started < nsamples && started - oldest < LOOKAHEAD * batch_size)
        start();
      if (slots.length === 0) return;
      let isFinished = false;
      for (const slot of [...slots]) {
        if (slot.logits) yield* advance(slot, slot.logits);
        isFinished ||= !slots.includes(slot);
      }
      if (isFinished) {
        if (aborted()) break;
        await nextTurn();
        continue; // its place is taken before the next pass
      }
      const steps: Step[] = [];
      const waiting: Slot[] = [];
      for (const slot of slots) {
        if (slot.logits) continue;
        if (slot.sequence.length < n_ctx) {
          steps.push({ sequence: slot.sequence, ids: [slot.next] });
          waiting.push(slot);
        } else {
          engine.free(slot.sequence);
          slot.sequence = engine.createSequence();
          slot.logits = await read(slot.sequence, newestHalf(slot.recent, n_ctx));
        }
      }
      await nextTurn();
      if (aborted()) break;
      const logits = steps.length > 0 ? await engine.forward(steps) : [];
      // Drawn at once below, before the engine's arrays are used again.
      for (const [i, slot] of waiting.entries()) slot.logits = logits[i];
    }
    for (const slot of [...slots]) yield* finish(slot, "interrupted");
  } finally {
    for (const slot of slots) engine.free(slot.sequence);
    if (shared) engine.free(shared);
  }
}

/**
 * Puts interleaved events in the order of the samples: sample 0 whole, then sample 1, ... The oldest unfinished
 * sample streams, later ones wait in memory until it has ended.
 */
export async function* inOrder(events: AsyncIterable<SampleEvent>): AsyncGenerator<SampleEvent, void, void> {
  let current = 0;
  const waiting = new Map<number, SampleEvent[]>();
  for await (const event of events) {
    if (event.sample !== current) {
      const list = waiting.get(event.sample) ?? [];
      const last = list.at(-1);
      if (event.type === "text" && last?.type === "text") {
        list[list.length - 1] = { ...event, text: last.text + event.text };
      } else {
        list.push(event);
      }
      waiting.set(event.sample, list);
      continue;
    }
    yield event;
    let isEnded = event.type === "end";
    while (isEnded) {
      current++;
      const list = waiting.get(current) ?? [];
      waiting.delete(current);
      yield* list;
      isEnded = list.at(-1)?.type === "end";
    }
  }
}
