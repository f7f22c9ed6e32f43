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
 * Runs the network. Knows ids and logits; nothing of text, seeds or terminals.
 * Wrong ids, lengths or sequences are the caller's fault: RangeError.
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
   * A copy that goes on by itself: same tokens read, nothing computed again.
   * @param length only so many of its first tokens; default: all
   */
  fork(sequence: Sequence, length?: number): Sequence;
  /**
   * Appends each step's ids to its sequence and computes the logits of the token that follows.
   * @param steps different sequences; lengths and numbers of ids may differ
   * @param wanted "last" (default): [n_vocab] a step; "all": [ids.length, n_vocab] a step; "none": [0] a step
   * @returns one array a step, in their order; valid until the next call
   */
  forward(steps: readonly Step[], wanted?: LogitsWanted): Promise<Float32Array[]>;
  /** Gives a sequence's cache back; it must not be used again. */
  free(sequence: Sequence): void;
  /** Frees everything. */
  dispose(): Promise<void>;
}
