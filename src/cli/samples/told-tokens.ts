import { type DrawnToken, type TokenLogprob, withoutAdded, withTop } from "../../sampling/logprobs.js";

/** How many of each token's likeliest alternatives are needed: the largest number asked for; undefined if none is. */
export function mostOf(...asked: readonly (number | undefined)[]): number | undefined {
  return asked.reduce((most, n) => (most === undefined || (n ?? -1) > most ? n : most), undefined);
}

/** A sample's tokens as its record tells them, where --logprobs asks for them. */
export function toldTokens(
  drawn: readonly DrawnToken[],
  logprobs: number | undefined,
): { readonly token_logprobs?: readonly TokenLogprob[] } {
  if (logprobs === undefined) return {};
  return { token_logprobs: drawn.map((token) => withTop(withoutAdded(token), logprobs)) };
}
