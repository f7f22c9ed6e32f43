import type { Kernels } from "./kernels/kernels.js";

/**
 * What is known of a distribution of which, perhaps, only the heavy tokens were weighed. The likeliest token's weight
 * is 1.
 */
export interface Known {
  /** Every token of at least this weight is among those kept; 0: all are. */
  readonly floor: number;
  /** The sum of all tokens' weights, and the most that it may be wrong by. */
  readonly total: number;
  readonly error: number;
  /** The sum of all weights, each times its exponent, and the most that it may be wrong by. */
  readonly moment: number;
  readonly momentError: number;
}

/** What is known where every token that may be drawn is kept. */
export function allOf({ total, moment }: Kernels): Known {
  return { floor: 0, total, error: 0, moment, momentError: 0 };
}

/** What is known after keepAbove() and weigh(), with sumOfRest() of what they left out. */
export function heavyOf(kernels: Kernels, floor: number): Known {
  const { total, rest, error, moment, restMoment, momentError } = kernels;
  return { floor, total: total + rest, error, moment: moment + restMoment, momentError };
}
