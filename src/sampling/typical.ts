import { log } from "../system/exact-math.js";
import { BINS, type Kernels } from "./kernels/kernels.js";
import type { Known } from "./known.js";

/**
 * Keeps locally typical tokens: those whose surprise, -log p, is nearest to the distribution's entropy, as few as it
 * takes for their probability to reach p, with all that tie with the last.
 * Source: Meister et al. 2022, arXiv 2202.00666, section 4.
 * @param kernels after a weigh() that isMeasured
 * @returns the tokens' new number; undefined if too little is known to decide
 */
export function keepTypical(
  kernels: Kernels,
  count: number,
  p: number,
  { floor, total, error, moment, momentError }: Known,
): number | undefined {
  const { lowest, exponents, weights, places, bins } = kernels;
  // -log p = log(total) - x, and the entropy is log(total) - mean: their distance is that of x and the mean.
  const mean = moment / total;
  const meanError = (momentError - mean * error) / (total - error);
  const furthest = Math.max(-mean, mean - lowest);
  const scale = furthest > 0 ? (BINS - 1) / furthest : 0;
  // Tokens are first put into bins by their distance: sorting 50,000 of them takes longer than all else.
  kernels.measure(count, mean, scale, BINS);
  const wanted = p * (total - error);
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
  if (floor > 0) {
    if (!(reached >= p * (total + error))) return undefined;
    // No token that was left out, and no other one, may be nearer than the last that is kept.
    const doubt = 2 * meanError + 1e-9;
    if (!(limit + doubt < mean - log(floor))) return undefined;
    if (kernels.countNear(count, limit + doubt) - kernels.countNear(count, limit - doubt) > 1)
      return undefined;
  }
  return kernels.keepNear(count, limit);
}
