import type { Kernels } from "./kernels/kernels.js";
import { allOf, type Known } from "./known.js";
import type { Mirostat, MirostatState } from "./mirostat.js";
import { keepTypical } from "./typical.js";

/** What cuts tokens from a draw, after top_k. */
export interface CutOptions {
  readonly typical_p: number;
  readonly top_p: number;
  readonly min_p: number;
  readonly mirostat?: Mirostat;
}

/**
 * Cuts the first `count` tokens down, by typical_p, top_p, min_p (Nguyen et al. 2024, arXiv 2407.01082) and
 * Mirostat, in this order.
 * @returns their new number; undefined if too little is known to decide
 */
export function cut(
  kernels: Kernels,
  count: number,
  known: Known,
  { typical_p, top_p, min_p, mirostat }: CutOptions,
  state?: MirostatState,
): number | undefined {
  let kept: number | undefined = count;
  let now = known;
  if (typical_p < 1) {
    kept = keepTypical(kernels, kept, typical_p, now);
    if (kept === undefined) return undefined;
    now = allOf(kernels);
  }
  if (top_p < 1) {
    kept = keepTopP(kernels, kept, top_p, now);
    if (kept === undefined) return undefined;
    now = allOf(kernels);
  }
  if (min_p > 0) {
    if (min_p < now.floor) return undefined;
    kept = kernels.findHeavy(kept, min_p);
    kernels.keepPlaces(kept);
    now = allOf(kernels);
  }
  return mirostat ? mirostat.keep(kernels, kept, now, state) : kept;
}

/** Weights to try first: sorting 50,000 tokens takes ten times longer than all else, and few of them reach these. */
const CUTOFFS = [1e-3, 1e-6];

/** Keeps the nucleus: the heaviest tokens, as few as reach the part p of the sum; of equals the smaller id comes first. */
function keepTopP(
  kernels: Kernels,
  count: number,
  p: number,
  { floor, total, error }: Known,
): number | undefined {
  const { weights, places } = kernels;
  for (const cutoff of [...CUTOFFS.filter((each) => each > floor), floor]) {
    const found = kernels.findHeavy(count, cutoff);
    const sorted = new Float64Array(found);
    for (let i = 0; i < found; i++) sorted[i] = weights[places[i]];
    sorted.sort();
    let reached = 0;
    let size = 0;
    while (size < found && reached < p * (total - error)) reached += sorted[found - ++size];
    if (reached < p * (total + error) && cutoff > 0) continue;
    size = Math.max(size, 1);
    const least = sorted[found - size];
    let kept = kernels.findHeavy(count, least);
    for (let i = kept - 1; kept > size; i--) {
      if (weights[places[i]] > least) continue;
      places.copyWithin(i, i + 1, kept--); // it ties with the last, and its id is larger
    }
    kernels.keepPlaces(kept);
    return kept;
  }
  return undefined;
}
