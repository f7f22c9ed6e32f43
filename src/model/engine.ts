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
  /** Frees a sequence's cache; the sequence must not be used again. */
  free(sequence: Sequence): void;
  /** Frees everything. */
  dispose(): Promise<void>;
}
