import type { TokenLogprob } from "../../sampling/logprobs.js";

/** The log-probability and id shown before a token. */
export function numbersOf(logprob: number, id: number): string {
  return `${logprob.toFixed(4).padStart(9)}  ${String(id).padStart(5)}  `;
}

/** A token with its log-probability: `  -0.0838    430  " upon"`. */
export function tokenLine(logprob: number, id: number, text: string): string {
  return numbersOf(logprob, id) + JSON.stringify(text);
}

/** A token's rank, and the likeliest tokens in its place: `rank 3: "and" -0.9163, "the" -1.2040`. */
export function likelier({ rank, top }: TokenLogprob): string {
  const list = top.map(({ text, logprob }) => `${JSON.stringify(text)} ${logprob.toFixed(4)}`).join(", ");
  return `rank ${rank}${list && `: ${list}`}`;
}
