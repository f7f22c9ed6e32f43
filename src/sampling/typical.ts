import { BINS, type Kernels } from "./kernels/kernels.js";

/**
 * Keeps locally typical tokens: those whose surprise, -log p, is nearest to the distribution's entropy, as few as it
 * takes for their probability to reach p, with all that tie with the last.
 * Source: Meister et al. 2022, arXiv 2202.00666, section 4.
 * @param kernels after a weigh() that isMeasured @returns the tokens' new number
 */
export function keepTypical(kernels: Kernels, count: number, p: number): number {
  const { total, moment, lowest, exponents, weights, places, bins } = kernels;
  // -log p = log(total) - x, and the entropy is log(total) - mean: their distance is that of x and the mean.
  const mean = moment / total;
  const furthest = Math.max(-mean, mean - lowest);
  const scale = furthest > 0 ? (BINS - 1) / furthest : 0;
  // By their distance, tokens are first parted roughly: sorting 50,000 of them takes longer than all else.
  kernels.measure(count, mean, scale, BINS);
  const wanted = p * total;
  let bin = 0;
  let reached = 0;
  while (bin < BINS - 1 && reached + bins[bin] < wanted) reached += bins[bin++];
  const last = [...places.subarray(0, kernels.findBin(count, bin, scale))];
  last.sort((a, b) => exponents[a] - exponents[b]);
  let limit = furthest;
  for (const i of last) {
    reached += weights[i];
    limit = exponents[i];
    if (reached >= wanted) break;
  }
  return kernels.keepNear(count, limit);
}
