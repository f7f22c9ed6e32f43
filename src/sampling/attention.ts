import type { Engine } from "../model/engine.js";
import { option, UserError } from "../system/errors.js";

/** The most tokens in a text whose attention is shown: the weights grow with their square. */
export const MAX_ATTENTION = 128;

/** What a model's layers attend to while it reads a text. */
export interface Attention {
  /** The token that begins a text, then the text's own. */
  readonly ids: readonly number[];
  readonly n_layer: number;
  readonly n_head: number;
  /**
   * [n_layer, n_head, n, n] for n ids: a row for each token, how much it attends to each. A row adds up to 1; what
   * comes after its token is 0.
   */
  readonly weights: Float32Array;
}

/**
 * Reads a text's tokens and returns the attention weights of every layer and head.
 * @param start the id that stands before the text
 * @throws UserError when the text is too long, or the engine gives no weights; the signal's reason on an abort
 */
export async function attentionOf(
  engine: Engine,
  start: number,
  ids: readonly number[],
  signal?: AbortSignal,
): Promise<Attention> {
  const { n_ctx, n_layer, n_head } = engine.hparams;
  const most = Math.min(MAX_ATTENTION, n_ctx - 1);
  if (ids.length > most) {
    throw new UserError(`the text has ${ids.length} tokens, and attention is shown for at most ${most}`, {
      next: "give a shorter text",
    });
  }
  if (!engine.attention) {
    throw new UserError(`${engine.name} gives no attention weights`, {
      next: `pass ${option("backend", "wasm")}`,
    });
  }
  const all = [start, ...ids];
  return { ids: all, n_layer, n_head, weights: await engine.attention(all, signal) };
}
