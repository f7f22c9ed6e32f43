import type { Sequence, Step } from "../model/engine.js";
import type { Hparams } from "../model/hparams.js";

/** A step whose sequence is the engine's own. */
export interface CheckedStep<S extends Sequence> {
  readonly sequence: S;
  readonly ids: ArrayLike<number>;
}

/** Rows begin..end of one step, in one pass. */
export interface Span<S extends Sequence> extends CheckedStep<S> {
  /** Which step, counted from 0. */
  readonly index: number;
  readonly begin: number;
  readonly end: number;
}

/** How many of a sequence's tokens a fork takes. @throws RangeError when it has fewer */
export function checkLength(sequence: Sequence, length: number): number {
  if (Number.isInteger(length) && length >= 0 && length <= sequence.length) return length;
  throw new RangeError(`a fork of ${length} tokens of a sequence that has ${sequence.length}`);
}

/**
 * Checks what forward() was given.
 * @param own returns the engine's own sequence for one that was given
 * @throws RangeError: wrong ids, lengths and sequences are the caller's fault
 */
export function checkSteps<S extends Sequence>(
  { n_ctx, n_vocab }: Hparams,
  steps: readonly Step[],
  own: (sequence: Sequence) => S,
): CheckedStep<S>[] {
  const checked = steps.map(({ sequence, ids }) => ({ sequence: own(sequence), ids }));
  if (new Set(checked.map(({ sequence }) => sequence)).size < steps.length) {
    throw new RangeError("two steps of one sequence in one forward()");
  }
  for (const { sequence, ids } of checked) {
    if (ids.length === 0) throw new RangeError("a step without ids");
    if (sequence.length + ids.length > n_ctx) {
      throw new RangeError(`${sequence.length} + ${ids.length} tokens are more than n_ctx ${n_ctx}`);
    }
    for (let i = 0; i < ids.length; i++) {
      if (!Number.isInteger(ids[i]) || ids[i] < 0 || ids[i] >= n_vocab) {
        throw new RangeError(`${ids[i]} is not a token id below n_vocab ${n_vocab}`);
      }
    }
  }
  return checked;
}

/** Cuts steps, in order, into passes of a limited number of rows. */
export function* cutIntoPasses<S extends Sequence>(
  steps: readonly CheckedStep<S>[],
  rows: number,
): Generator<Span<S>[]> {
  let spans: Span<S>[] = [];
  let free = rows;
  for (const [index, step] of steps.entries()) {
    for (let begin = 0; begin < step.ids.length; ) {
      const end = Math.min(begin + free, step.ids.length);
      spans.push({ ...step, index, begin, end });
      free -= end - begin;
      begin = end;
      if (free === 0) {
        yield spans;
        spans = [];
        free = rows;
      }
    }
  }
  if (spans.length > 0) yield spans;
}
