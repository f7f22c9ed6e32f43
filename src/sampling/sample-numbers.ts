/** One of n machines that share a run's samples. */
export interface Shard {
  /** From 1 to n. */
  readonly i: number;
  readonly n: number;
}

/** Which of a run's numbered samples are to be written. */
export interface Numbering {
  /** How many: Infinity = for ever. */
  readonly count: number;
  /** The number, from 0, of the k-th of them; rising with k. */
  numberOf(k: number): number;
}

/**
 * The samples of one run that one machine writes: of the nsamples samples that begin with first_sample, every
 * n-th. Together the machines write what one of them writes without a shard.
 * @param first_sample counted from 1
 * @param nsamples of all shards together; Infinity = for ever
 * @param done numbers, from 0, that are there already
 */
export function numberSamples(
  { first_sample = 1, shard = { i: 1, n: 1 } }: { first_sample?: number; shard?: Shard },
  nsamples: number,
  done: ReadonlySet<number> = new Set(),
): Numbering {
  const first = first_sample - 1 + shard.i - 1;
  const all = Math.max(0, Math.ceil((nsamples - shard.i + 1) / shard.n));
  const own = (number: number): boolean => number >= first && (number - first) % shard.n === 0;
  // Positions among this shard's samples that are left out, in order.
  const skipped = [...done]
    .filter(own)
    .map((number) => (number - first) / shard.n)
    .filter((position) => position < all)
    .sort((a, b) => a - b);
  return {
    count: all - skipped.length,
    numberOf: (k) => {
      // skipped[i] - i positions before skipped[i] are not left out: the first i with more than k of them is how
      // many are left out before the k-th that is not.
      let low = 0;
      let high = skipped.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (skipped[middle] - middle > k) high = middle;
        else low = middle + 1;
      }
      return first + (k + low) * shard.n;
    },
  };
}
