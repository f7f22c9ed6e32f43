/** What samplers and lists of likely tokens need to know of a vocabulary. */
export interface TokenTexts {
  /** The bytes that an id stands for. */
  tokenBytes(id: number): Uint8Array;
  /** Tokens that are not text. */
  readonly marks?: ReadonlyMap<number, string>;
}

/** A text's UTF-8, one character per byte: for comparing tokens, which may hold half a character. */
export function byteText(text: string | Uint8Array): string {
  return Buffer.from(text as string).toString("latin1");
}

/** The text of every token, one character per byte; "" for marks, which are not text. */
export function tokenTexts(tokens: TokenTexts, n_vocab: number): string[] {
  return Array.from({ length: n_vocab }, (_, id) =>
    tokens.marks?.has(id) ? "" : byteText(tokens.tokenBytes(id)),
  );
}
