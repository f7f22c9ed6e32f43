import type { Hparams } from "./hparams.js";

/** A text being written: the tokens an engine has read so far, with its key/value cache. */
export interface Sequence {
  /** Number of tokens read, at most n_ctx. */
  readonly length: number;
}

/** One sequence's share of a forward pass. */
export interface Step {
  readonly sequence: Sequence;
  /** Token ids to append, at least one, each below n_vocab; sequence.length + ids.length <= n_ctx. */
  readonly ids: ArrayLike<number>;
}

/** Which positions forward() returns logits for. */
export type LogitsWanted = "last" | "all" | "none";

/** Logits of some tokens. */
export interface SomeLogits {
  /** Rising. */
  readonly ids: Uint32Array;
  /** One for each id. */
  readonly logits: Float32Array;
}

/**
 * Runs the network. Knows ids and logits; nothing about text, seeds or terminals.
 * Wrong ids, lengths or sequences are the caller's mistake: RangeError.
 */
export interface Engine {
  /** What runs it, e.g. "tfjs-wasm". */
  readonly name: string;
  /** How the weights are held, e.g. "float32" or "int8". */
  readonly precision: string;
  readonly hparams: Hparams;
  /** A new, empty sequence. */
  createSequence(): Sequence;
  /**
   * An independent copy: nothing is computed again.
   * @param length how many of the tokens it has read; default: all of them
   */
  fork(sequence: Sequence, length?: number): Sequence;
  /**
   * Appends each step's ids to its sequence and computes the logits of the next token.
   * @param steps of different sequences; lengths and numbers of ids may differ
   * @param wanted "last" (default): [n_vocab] per step; "all": [ids.length, n_vocab] per step; "none": [0] per step
   * @returns one array per step, in order; valid until the next call
   */
  forward(steps: readonly Step[], wanted?: LogitsWanted): Promise<Float32Array[]>;
  /**
   * As forward() with "last", for callers who need only the k largest logits, with all that tie with the k-th. Only
   * engines on a device have it: there, copying all logits takes longer than looking for the largest.
   * @param k at least 1, at most n_vocab
   * @returns for each step these logits and perhaps others, or all [n_vocab]; the caller may keep them
   */
  forwardLargest?(steps: readonly Step[], k: number): Promise<(Float32Array | SomeLogits)[]>;
  /**
   * How much each token attends to those up to it: softmax(q k^T scale) of every layer and head. Not every engine has
   * it, and none computes it along with logits.
   * @param ids a text's, from its beginning: 1 to n_ctx
   * @param signal stops the work; its reason is thrown
   * @returns [n_layer, n_head, ids.length, ids.length]: a row for each token that attends; 0 above the diagonal
   */
  attention?(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array>;
  /** Frees a sequence's cache; the sequence must not be used again. */
  free(sequence: Sequence): void;
  /** Frees everything. */
  dispose(): Promise<void>;
}
