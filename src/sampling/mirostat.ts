import { expNegative, log } from "../system/exact-math.js";
import type { Kernels } from "./kernels/kernels.js";
import type { Known } from "./known.js";

/** How fast the bound follows what was drawn: the authors' value. */
const LEARNING_RATE = 0.1;

/** What Mirostat remembers of a sample from token to token; it begins empty. */
export interface MirostatState {
  /** The largest surprise, in bits, that the next token may have. */
  mirostat_mu?: number;
}

/**
 * Mirostat 2: steers a text's surprise, in bits a token, to tau by a bound on each token's surprise that rises after
 * a token of less and falls after one of more.
 * Source: Basu et al. 2021, arXiv 2007.14966; version 2 is their program's and llama.cpp's, whose observed surprise
 * is that under the distribution which was drawn from.
 */
export class Mirostat {
  constructor(private readonly tau: number) {}

  /**
   * Keeps tokens within the bound, the likeliest in any case.
   * @returns their new number; undefined if too little is known to decide
   */
  keep(
    kernels: Kernels,
    count: number,
    { floor, total, error }: Known,
    state: MirostatState = {},
  ): number | undefined {
    const mu = Math.max(0, state.mirostat_mu ?? 2 * this.tau);
    const part = expNegative(-mu * Math.LN2); // -log2(w / total) <= mu
    const least = (total - error) * part;
    if (least < floor) return undefined;
    let kept = kernels.findHeavy(count, least);
    if (error > 0 && kernels.findHeavy(count, (total + error) * part) < kept) return undefined;
    if (kept === 0) {
      const largest = kernels.weights.subarray(0, count).reduce((a, b) => Math.max(a, b), 0);
      kept = kernels.findHeavy(count, largest);
    }
    kernels.keepPlaces(kept);
    return kept;
  }

  /** Learns what was drawn. @param p its probability among those kept */
  observe(p: number, state: MirostatState): void {
    const surprise = -log(p) / Math.LN2;
    state.mirostat_mu = (state.mirostat_mu ?? 2 * this.tau) - LEARNING_RATE * (surprise - this.tau);
  }
}
