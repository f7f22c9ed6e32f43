import { setImmediate as nextTurn } from "node:timers/promises";
import type { Engine, Sequence } from "../model/engine.js";

/** Prompts are read in pieces of this many tokens, so that an interruption need not wait for a long one. */
const PIECE = 128;

/**
 * Appends ids to a sequence, piece by piece.
 * @returns the last position's logits [n_vocab], valid until the engine's next call; undefined when aborted
 */
export async function readPrompt(
  engine: Engine,
  sequence: Sequence,
  ids: readonly number[],
  aborted: () => boolean,
): Promise<Float32Array | undefined> {
  for (let start = 0; start < ids.length; start += PIECE) {
    await nextTurn(); // lets signals and timers in: without it, awaiting the engine never leaves this turn
    if (aborted()) return undefined;
    const isLast = start + PIECE >= ids.length;
    const step = { sequence, ids: ids.slice(start, start + PIECE) };
    const [logits] = await engine.forward([step], isLast ? "last" : "none");
    if (isLast) return logits;
  }
  return undefined;
}
