import { fraction, philox4x32 } from "../../random.js";
import type { Tokens } from "./token-list.js";

/** Which batch, and how large. */
export interface BatchPlace {
  /** 0 to 2^53 - 1. */
  readonly seed: number;
  /** The update it is for, counted over all sessions of a training. */
  readonly step: number;
  /** Its number among the batches accumulated for one update. */
  readonly micro: number;
  readonly batch_size: number;
  /** Tokens that the model reads per row: T. */
  readonly context_length: number;
}

/** Keeps these random numbers apart from those that draw samples with the same seed (src/random.ts). */
const DATA_STREAM = 0x80000000;

/**
 * The rows of one batch: windows that start anywhere in the tokens, each place equally likely. A pure function of its
 * arguments: a continued run sees the data that it would have seen.
 * @returns B rows of T + 1 ids, views of the tokens: 0..T-1 are read, 1..T are predicted
 * @throws RangeError for fewer than T + 1 tokens
 */
export function batchAt(tokens: Tokens, place: BatchPlace): Tokens[] {
  const { seed, step, micro, batch_size, context_length } = place;
  const starts = tokens.length - context_length;
  if (context_length < 1 || starts < 1) {
    throw new RangeError(`${tokens.length} tokens give no window of ${context_length} + 1`);
  }
  const key = [seed >>> 0, (Math.floor(seed / 2 ** 32) | DATA_STREAM) >>> 0] as const;
  return Array.from({ length: batch_size }, (_, row) => {
    const [a, b] = philox4x32([row, micro, step >>> 0, Math.floor(step / 2 ** 32)], key);
    const start = Math.floor(fraction(a, b) * starts);
    return tokens.subarray(start, start + context_length + 1); // [T + 1]
  }); // [B, T + 1]
}

/** The longest context, up to the one wanted, that the data can fill: a window takes one token more. At least 1. */
export function fitContext(n_tokens: number, wanted: number): number {
  return Math.max(1, Math.min(wanted, n_tokens - 1));
}

/**
 * Windows for measuring the loss on the held-out part: always the same ones, all of one length. If `most` allows, they
 * follow one another and predict every token except the first; the last one is moved so that it ends with the tokens,
 * and so a few may count twice. Otherwise they are spread evenly.
 * @param context_length T; with fewer tokens, the one window is shorter
 * @returns at most `most` rows of T + 1 ids, views of the tokens; none for fewer than two tokens
 */
export function validationWindows(tokens: Tokens, context_length: number, most: number): Tokens[] {
  if (tokens.length < 2 || most < 1) return [];
  const T = fitContext(tokens.length, context_length);
  const last = tokens.length - 1 - T; // where the last window begins
  const whole = Math.ceil((tokens.length - 1) / T);
  const starts =
    whole <= most
      ? Array.from({ length: whole }, (_, i) => Math.min(i * T, last))
      : Array.from({ length: most }, (_, i) => Math.floor((i * last) / Math.max(1, most - 1)));
  return starts.map((start) => tokens.subarray(start, start + T + 1)); // [windows, T + 1]
}
