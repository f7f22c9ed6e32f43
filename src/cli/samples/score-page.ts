import { MAX_REPORTED, textReport } from "../../report/text-report.js";
import type { Decoding } from "../../sampling/continuation.js";
import type { TokenLogprob } from "../../sampling/logprobs.js";
import { PieceReader } from "../../sampling/pieces.js";
import { UserError } from "../../system/errors.js";

/** How many of the likeliest tokens a page shows, unless more are asked for. */
export const PAGE_TOP = 5;

/** @throws UserError when a text has too many tokens for a page */
export function checkPageSize(count: number): void {
  if (count <= MAX_REPORTED) return;
  throw new UserError(`the text has ${count} tokens, and a page shows at most ${MAX_REPORTED}`, {
    next: "score a part of it, or drop --html",
  });
}

/** The page of a text that was scored. @param start the id that stands before it */
export function scorePage(
  tokens: readonly TokenLogprob[],
  decoding: Decoding,
  { start, title, summary }: { readonly start: number; readonly title: string; readonly summary: string },
): string {
  const decoder = decoding.decoder([start]);
  const reader = new PieceReader<TokenLogprob>();
  const pieces = tokens.map((token) => reader.push(token, decoder.push(token.id)));
  const all = [...pieces, reader.end(decoder.end())].filter((piece) => piece !== undefined);
  return textReport({ title, summary, texts: [{ pieces: all }] });
}
