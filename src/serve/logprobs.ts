import type { LikelyToken } from "../sampling/logprobs.js";
import { wholeText } from "../sampling/pieces.js";

/** Tokens with their log-probabilities in the form of OpenAI's completions API: four lists with an entry per token. */
export interface LogprobLists {
  readonly tokens: string[];
  /** null for a token with nothing before it. */
  readonly token_logprobs: (number | null)[];
  /** The likeliest tokens in its place and the token itself, by name. */
  readonly top_logprobs: (Record<string, number> | null)[];
  /** Where its text begins in the text of the answer, in characters. */
  readonly text_offset: number[];
}

export const noLogprobs = (): LogprobLists => ({
  tokens: [],
  token_logprobs: [],
  top_logprobs: [],
  text_offset: [],
});

/** Appends one part's lists to those of the whole. */
export function appendLogprobs(to: LogprobLists, part: LogprobLists): void {
  to.tokens.push(...part.tokens);
  to.token_logprobs.push(...part.token_logprobs);
  to.top_logprobs.push(...part.top_logprobs);
  to.text_offset.push(...part.text_offset);
}

/** A token's name in the API: its text, or `bytes:\xe6\x97` if its bytes are not whole characters. */
export function nameOf(token: Pick<LikelyToken, "bytes">): string {
  const text = wholeText(token);
  if (text !== undefined) return text;
  const escaped = token.bytes.map((byte) =>
    byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`,
  );
  return `bytes:${escaped.join("")}`;
}

/** The first token, of which only the bytes are known. */
type FirstToken = Pick<LikelyToken, "bytes">;
type KnownToken = LikelyToken & { readonly top: readonly LikelyToken[] };

const isKnown = (token: FirstToken | KnownToken): token is KnownToken => "logprob" in token;

/** Holds a text's tokens until their text is sent, so that those cut off by a stop text are never sent. */
export class TokenCollector {
  #waiting: { readonly token: FirstToken | KnownToken; readonly begin: number; readonly offset: number }[] =
    [];
  /** Where the next token's text begins: in UTF-16 units, and in characters. */
  #begin = 0;
  #offset = 0;

  /** @param added the text that the token completes */
  push(token: FirstToken | KnownToken, added: string): void {
    this.#waiting.push({ token, begin: this.#begin, offset: this.#offset });
    this.#begin += added.length;
    for (const _ of added) this.#offset++;
  }

  /** Removes the tokens that begin within the text sent so far. @param told its UTF-16 units */
  take(told: number): LogprobLists {
    const count = this.#waiting.filter(({ begin }) => begin < told).length;
    const lists = noLogprobs();
    for (const { token, offset } of this.#waiting.splice(0, count)) {
      lists.tokens.push(nameOf(token));
      lists.text_offset.push(offset);
      if (!isKnown(token)) {
        lists.token_logprobs.push(null);
        lists.top_logprobs.push(null);
        continue;
      }
      lists.token_logprobs.push(token.logprob);
      lists.top_logprobs.push(
        Object.fromEntries([...token.top, token].map((each) => [nameOf(each), each.logprob])),
      );
    }
    return lists;
  }
}
