import { UserError } from "../system/errors.js";
import type { Hparams } from "./hparams.js";
import type { WeightSource } from "./weight-source.js";

/**
 * Checks a batch given to a trainer: one row or more of 2 to n_ctx + 1 token ids, all of one length.
 * @throws RangeError: a wrong batch is the caller's mistake
 */
export function checkRows({ n_ctx, n_vocab }: Hparams, rows: readonly ArrayLike<number>[]): void {
  if (rows.length === 0) throw new RangeError("a batch needs a row");
  const { length } = rows[0];
  if (length < 2 || length > n_ctx + 1)
    throw new RangeError(`a row has 2 to ${n_ctx + 1} tokens, not ${length}`);
  for (const row of rows) {
    if (row.length !== length) throw new RangeError("the rows of a batch are equally long");
    for (let i = 0; i < length; i++) {
      const id = row[i];
      if (!Number.isInteger(id) || id < 0 || id >= n_vocab)
        throw new RangeError(`token id ${id} is not in 0 .. ${n_vocab - 1}`);
    }
  }
}

/**
 * Checks that a saved state is from a training like this one: the same tensors in the same shapes.
 * @param wanted the state of the trainer that it is to be restored to
 * @throws UserError that names the first mismatch
 */
export function checkState(state: WeightSource, wanted: WeightSource): void {
  const hint = "continue with the options that it was saved with, or start afresh";
  for (const name of state.tensors.keys()) {
    if (!wanted.tensors.has(name))
      throw new UserError(`${state.path}: ${name} is not of this training`, { next: hint });
  }
  for (const [name, { shape }] of wanted.tensors) {
    const found = state.tensors.get(name);
    if (!found) throw new UserError(`${state.path} has no tensor ${name}`, { next: hint });
    if (found.shape.join() !== shape.join()) {
      const shapes = `[${found.shape.join(", ")}] where this training has [${shape.join(", ")}]`;
      throw new UserError(`${state.path}: ${name} has shape ${shapes}`, { next: hint });
    }
  }
}
