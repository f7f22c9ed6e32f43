/** A distribution being cut down: the first `count` of ids, in rising order, and their weights e^x. */
export interface Candidates {
  readonly ids: Uint32Array;
  readonly weights: Float64Array;
  /** Their x, where something asked for it. */
  readonly exponents: Float64Array;
}

/** By their distance, tokens are first parted roughly: sorting 50,000 of them takes longer than all else. */
const BINS = 4096;

/**
 * Makes the function that keeps locally typical tokens: those whose surprise, -log p, is nearest to the distribution's
 * entropy, as few as it takes for their probability to reach p, with all that tie with the last.
 * Source: Meister et al. 2022, arXiv 2202.00666, section 4.
 * @returns reduces the candidates; their new number
 */
export function makeTypical(n_vocab: number, p: number) {
  const distances = new Float64Array(n_vocab);
  const mass = new Float64Array(BINS); // of a bin's tokens
  return ({ ids, weights, exponents }: Candidates, count: number): number => {
    let total = 0;
    let mean = 0;
    for (let i = 0; i < count; i++) {
      total += weights[i];
      if (weights[i] > 0) mean += weights[i] * exponents[i];
    }
    mean /= total;
    // -log p = log(total) - x, and the entropy is log(total) - mean: their distance is that of x and the mean.
    let furthest = 0;
    for (let i = 0; i < count; i++) {
      distances[i] = Math.abs(exponents[i] - mean);
      if (weights[i] > 0 && distances[i] > furthest) furthest = distances[i];
    }
    const scale = furthest > 0 ? (BINS - 1) / furthest : 0;
    mass.fill(0);
    for (let i = 0; i < count; i++) if (weights[i] > 0) mass[Math.floor(distances[i] * scale)] += weights[i];
    const wanted = p * total;
    let bin = 0;
    let reached = 0;
    while (bin < BINS - 1 && reached + mass[bin] < wanted) reached += mass[bin++];
    const last: number[] = [];
    for (let i = 0; i < count; i++)
      if (weights[i] > 0 && Math.floor(distances[i] * scale) === bin) last.push(i);
    last.sort((a, b) => distances[a] - distances[b]);
    let limit = furthest;
    for (const i of last) {
      reached += weights[i];
      limit = distances[i];
      if (reached >= wanted) break;
    }
    let kept = 0;
    for (let i = 0; i < count; i++) {
      if (weights[i] === 0 || distances[i] > limit) continue;
      ids[kept] = ids[i];
      weights[kept] = weights[i];
      exponents[kept] = exponents[i];
      kept++;
    }
    return kept;
  };
}
