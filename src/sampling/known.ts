import type { Kernels } from "./kernels/kernels.js";

/**
 * What is known of a distribution when perhaps only its heavy tokens have been weighed. The likeliest token's weight
 * is 1.
 */
export interface Known {
  /** Every token of at least this weight has been kept; 0: every token. */
  readonly floor: number;
  /** The sum of all tokens' weights, and an upper bound of its error. */
  readonly total: number;
  readonly error: number;
  /** The sum of all weights, each times its exponent, and an upper bound of its error. */
  readonly moment: number;
  readonly momentError: number;
}

/** What is known when every token that may be drawn has been weighed. */
export function allOf({ total, moment }: Kernels): Known {
  return { floor: 0, total, error: 0, moment, momentError: 0 };
}

/** What is known after keepAbove() and weigh(), with sumOfRest() for the tokens left out. */
export function heavyOf(kernels: Kernels, floor: number): Known {
  const { total, rest, error, moment, restMoment, momentError } = kernels;
  return { floor, total: total + rest, error, moment: moment + restMoment, momentError };
}
