import type { LikelyToken } from "./logprobs.js";

/** A token, or several that only together make whole characters. */
export interface Piece<Token> {
  readonly text: string;
  /** Natural logarithm of the probability of all its tokens. */
  readonly logprob: number;
  readonly tokens: readonly Token[];
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A token's text; undefined if its bytes are not whole characters. */
export function wholeText({ bytes }: Pick<LikelyToken, "bytes">): string | undefined {
  try {
    return UTF8.decode(Uint8Array.from(bytes));
  } catch {
    return undefined;
  }
}

/** Whether a token's bytes are whole characters. */
export const isWhole = (token: Pick<LikelyToken, "bytes">): boolean => wholeText(token) !== undefined;

/** Joins tokens into pieces as they arrive. */
export class PieceReader<Token extends Pick<LikelyToken, "bytes" | "logprob">> {
  #tokens: Token[] = [];

  /**
   * Takes the next token.
   * @param added the text that it completes
   * @returns the piece that it ends; undefined while a character is still missing bytes, and for a token that is not shown
   */
  push(token: Token, added: string): Piece<Token> | undefined {
    if (added === "" && isWhole(token)) return undefined;
    this.#tokens.push(token);
    return added === "" ? undefined : this.end(added);
  }

  /** What is left after the last token; undefined if nothing is. @param text what it decodes to */
  end(text: string): Piece<Token> | undefined {
    const tokens = this.#tokens;
    this.#tokens = [];
    if (tokens.length === 0) return undefined;
    return { text, tokens, logprob: tokens.reduce((sum, { logprob }) => sum + logprob, 0) };
  }
}
