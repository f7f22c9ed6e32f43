import type { LikelyToken } from "../sampling/logprobs.js";

/** Tokens with their log-probabilities as OpenAI's completions API tells them: four lists, an entry a token. */
export interface LogprobLists {
  readonly tokens: string[];
  /** null where nothing stands before a token. */
  readonly token_logprobs: (number | null)[];
  /** The likeliest tokens at its place and the token itself, by their names. */
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

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A token as the API names it: its text, or `bytes:\xe6\x97` where its bytes are no whole characters. */
export function nameOf({ bytes }: Pick<LikelyToken, "bytes">): string {
  try {
    return UTF8.decode(Uint8Array.from(bytes));
  } catch {
    const escaped = bytes.map((byte) =>
      byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`,
    );
    return `bytes:${escaped.join("")}`;
  }
}

/** A token of which nothing is known but its bytes: it stands first. */
type FirstToken = Pick<LikelyToken, "bytes">;
type KnownToken = LikelyToken & { readonly top: readonly LikelyToken[] };

const isKnown = (token: FirstToken | KnownToken): token is KnownToken => "logprob" in token;

/** Collects a text's tokens until their text is told: what a stop text cuts off, nobody hears of. */
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

  /** Takes out the tokens that begin before the end of the text that has been told, `told` units of UTF-16. */
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
