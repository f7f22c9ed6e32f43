import { option, UserError } from "../system/errors.js";
import { power } from "../system/exact-math.js";
import type { Adjust } from "./penalties.js";
import { byteText } from "./token-texts.js";

/** DRY, "don't repeat yourself": the longer a repetition is, the more it costs to continue it. */
export interface DryOptions {
  /** The cost of continuing the shortest repetition that costs anything; 0 = off. */
  readonly dry_multiplier?: number;
  /** Each further token multiplies the cost by this. */
  readonly dry_base?: number;
  /** Repetitions of fewer tokens are free. */
  readonly dry_allowed_length?: number;
  /** A repetition ends at tokens that hold one of these texts. */
  readonly dry_breaker?: readonly string[];
}

/** DRY's options where they are not given: it is off. */
export const DRY_DEFAULTS = {
  dry_multiplier: 0,
  dry_base: 1.75,
  dry_allowed_length: 2,
  dry_breaker: ["\n", ":", '"', "*"],
} as const satisfies DryOptions;

/** Repetitions are followed back this far: their cost is far beyond every logit by then. */
const LONGEST = 50;

/**
 * Makes the function that penalises repetition: where the newest n tokens occur earlier in the context, too, the token
 * that followed them there costs multiplier * base^(n - allowed_length), for the longest n.
 * Source: p-e-w's DRY sampler, text-generation-webui pull request 5677, whose defaults these are.
 * @param texts of every token; see tokenTexts(). Called only if it is on
 * @param spared tokens that are never penalised, and at which a repetition ends: those that end a text
 * @throws UserError when no token holds one of the breakers
 */
export function makeDry(
  options: DryOptions,
  texts: () => readonly string[],
  spared: ReadonlySet<number>,
): Adjust | undefined {
  const {
    dry_multiplier = DRY_DEFAULTS.dry_multiplier,
    dry_base = DRY_DEFAULTS.dry_base,
    dry_allowed_length = DRY_DEFAULTS.dry_allowed_length,
    dry_breaker = DRY_DEFAULTS.dry_breaker,
  } = options;
  if (dry_multiplier === 0) return undefined;
  const breakers = new Set(spared);
  for (const breaker of dry_breaker) {
    const wanted = byteText(breaker);
    const found = [...texts().keys()].filter((id) => texts()[id].includes(wanted));
    // A small vocabulary may lack a default breaker: nothing is lost then.
    if (found.length === 0 && options.dry_breaker) {
      throw new UserError(`no token holds the text of ${option("dry_breaker", breaker)}`, {
        next: "choose a shorter one",
      });
    }
    for (const id of found) breakers.add(id);
  }
  return (logits, { context }) => {
    const last = context.length - 1;
    if (last < 1 || breakers.has(context[last])) return;
    const longest = new Map<number, number>(); // by the token that would continue one
    for (let at = 0; at < last; at++) {
      const next = context[at + 1];
      if (context[at] !== context[last] || breakers.has(next)) continue;
      let n = 1;
      while (
        n < LONGEST &&
        n <= at &&
        context[at - n] === context[last - n] &&
        !breakers.has(context[at - n])
      )
        n++;
      if (n > (longest.get(next) ?? 0)) longest.set(next, n);
    }
    for (const [id, n] of longest) {
      if (n >= dry_allowed_length) logits[id] -= dry_multiplier * power(dry_base, n - dry_allowed_length);
    }
  };
}
