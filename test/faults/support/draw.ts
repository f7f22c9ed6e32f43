import { uniform } from "../../../dist/src/random.js";

/** The random numbers of one mutation: a pure function of the seed and the mutation's number. */
export class Draw {
  #drawn = 0;

  constructor(
    readonly seed: number,
    readonly round: number,
  ) {}

  /** A whole number from 0 to n - 1. */
  below(n: number): number {
    return Math.floor(uniform(this.seed, this.round, this.#drawn++) * n);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** True once in n times. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }

  /** One of several pieces of work, each as likely as its weight says. */
  weighted<T>(choices: readonly (readonly [weight: number, work: () => T])[]): T {
    let left = this.below(choices.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, work] of choices) {
      if (left < weight) return work();
      left -= weight;
    }
    throw new RangeError("no choices");
  }
}
