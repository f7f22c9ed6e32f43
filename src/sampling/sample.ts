import { setImmediate as nextTurn } from "node:timers/promises";
import type { Engine, Sequence, SomeLogits, Step } from "../model/engine.js";
import {
  type Advance,
  type Continuation,
  type ContinuationOptions,
  Continuations,
  type Decoding,
  type FinishReason,
} from "./continuation.js";
import type { DrawnToken } from "./logprobs.js";
import { readPrompt } from "./read-prompt.js";

/** How samples are drawn. Names and meaning are the command line's. */
export interface SampleOptions extends ContinuationOptions {
  /** The number in the seed's stream of the k-th sample written, both from 0, rising; default: k. */
  readonly numberOf?: (k: number) => number;
  /** How many samples; Infinity = for ever. */
  readonly nsamples: number;
  /** How many are computed at once: speed and memory, never the text. */
  readonly batch_size: number;
  /** Ends all samples after the token being computed, with finish_reason "interrupted". */
  readonly signal?: AbortSignal;
}

/** What happens to the k-th sample, k from 0: its tokens, with logprobs, and pieces of its text, then its end. */
export type SampleEvent =
  | { readonly type: "token"; readonly sample: number; readonly token: DrawnToken }
  | { readonly type: "text"; readonly sample: number; readonly text: string }
  | {
      readonly type: "end";
      readonly sample: number;
      /** New tokens drawn, without the one that ends a text. */
      readonly tokens: number;
      readonly finish_reason: FinishReason;
      /** Its new tokens, with keepIds. */
      readonly ids?: readonly number[];
      /** What a beam search ranked it by: see beams.ts. */
      readonly score?: number;
    };

/** Batches' worth of samples that may start after the oldest unfinished one: limits what waits. */
export const LOOKAHEAD = 32;

/** One sample being written. */
interface Slot {
  readonly sample: number;
  readonly continuation: Continuation;
  sequence: Sequence;
  /** Logits of the next token, as many as are needed; undefined while the last one has not been read. */
  logits: Float32Array | SomeLogits | undefined;
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
  const continuations = new Continuations(engine.hparams, decoding, prompt, options);
  const { nsamples, batch_size, signal, numberOf = (k: number) => k } = options;
  const aborted = (): boolean => signal?.aborted === true;

  const read = async (sequence: Sequence, ids: readonly number[]): Promise<Float32Array | undefined> =>
    (await readPrompt(engine, sequence, ids, aborted))?.slice();

  const { largest } = continuations;
  const forward = (steps: readonly Step[]): Promise<(Float32Array | SomeLogits)[]> =>
    largest > 0 && engine.forwardLargest ? engine.forwardLargest(steps, largest) : engine.forward(steps);

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
      const continuation = continuations.begin(numberOf(started));
      slots.push({ sample: started++, continuation, sequence, logits: promptLogits });
    };
    /** Frees a slot; the event that ends its sample. */
    const finish = (slot: Slot, finish_reason: FinishReason): SampleEvent => {
      engine.free(slot.sequence);
      slots = slots.filter((other) => other !== slot);
      const { sample, continuation } = slot;
      const { tokens, ids } = continuation;
      return { type: "end", sample, tokens, finish_reason, ...(ids && { ids }) };
    };
    /** A sample's advance as events. */
    function* tell(slot: Slot, { token, text, finish_reason }: Advance): Generator<SampleEvent> {
      const end = finish_reason && finish(slot, finish_reason);
      if (token) yield { type: "token", sample: slot.sample, token };
      if (text !== "") yield { type: "text", sample: slot.sample, text };
      if (end) yield end;
    }

    while (!aborted()) {
      const oldest = Math.min(started, ...slots.map((slot) => slot.sample));
      while (slots.length < batch_size && started < nsamples && started - oldest < LOOKAHEAD * batch_size)
        start();
      if (slots.length === 0) return;
      let isFinished = false;
      for (const slot of [...slots]) {
        if (!slot.logits) continue;
        const advance = slot.continuation.advance(slot.logits);
        slot.logits = undefined;
        isFinished ||= advance.finish_reason !== undefined;
        yield* tell(slot, advance);
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
        const { ids, afresh } = slot.continuation.next();
        if (!afresh) {
          steps.push({ sequence: slot.sequence, ids });
          waiting.push(slot);
        } else {
          engine.free(slot.sequence);
          slot.sequence = engine.createSequence();
          slot.logits = await read(slot.sequence, ids);
        }
      }
      await nextTurn();
      if (aborted()) break;
      const logits = steps.length > 0 ? await forward(steps) : [];
      // Drawn at once below, before the engine's arrays are used again.
      for (const [i, slot] of waiting.entries()) slot.logits = logits[i];
    }
    for (const slot of [...slots]) {
      yield* tell(slot, slot.continuation.end("interrupted"));
    }
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
