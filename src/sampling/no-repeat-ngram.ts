import type { Adjust } from "./penalties.js";

/**
 * Makes the function that bans every token that would complete an n-gram already in the context, prompt included.
 * Source: Paulus et al. 2017, arXiv 1705.04304, section 2.5 (trigrams); Hugging Face's and fairseq's
 * no_repeat_ngram_size.
 * @param n tokens of an n-gram; 0 = off
 * @param spared tokens that are never banned: those that end a text
 */
export function makeNoRepeatNgram(n: number, spared: ReadonlySet<number>): Adjust | undefined {
  if (n === 0) return undefined;
  return (logits, { context }) => {
    const { length } = context;
    for (let end = n - 1; end < length; end++) {
      let same = 1; // how far the tokens before `end` are the newest ones, and 1
      while (same < n && context[end - same] === context[length - same]) same++;
      if (same === n && !spared.has(context[end])) logits[context[end]] = Number.NEGATIVE_INFINITY;
    }
  };
}
