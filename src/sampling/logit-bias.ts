/** The largest bias: far beyond every logit, and far from the largest number there is. */
const MAX_BIAS = 1e9;

/** Whether a number can be a token's bias: from -1e9 to 1e9, or -Infinity. */
export function isBias(value: unknown): value is number {
  return typeof value === "number" && (Math.abs(value) <= MAX_BIAS || value === Number.NEGATIVE_INFINITY);
}

/** What is wrong with biases for a model with n_vocab tokens, in words that follow their name; or undefined. */
export function faultOfBias(bias: ReadonlyMap<number, number>, n_vocab: number): string | undefined {
  for (const id of bias.keys()) {
    if (id >= n_vocab) return `: the model has no token ${id}, its ids are 0 to ${n_vocab - 1}`;
  }
  const isBanned = bias.size === n_vocab && [...bias.values()].every((value) => value === -Infinity);
  return isBanned ? " must leave the model a token to write" : undefined;
}
