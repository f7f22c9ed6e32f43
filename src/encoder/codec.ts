/** Turns ids into text one at a time. Invalid UTF-8 becomes U+FFFD, as in Python. */
export interface StreamDecoder {
  /**
   * The text that this id completes; "" while a character still lacks bytes.
   * @throws UserError when the vocabulary has no such id
   */
  push(id: number): string;
  /** Ends the text: U+FFFD for an unfinished character, else "". The decoder can then be used again. */
  end(): string;
}

/** How a text is read. */
export interface EncodeOptions {
  /** Whether an added token's text becomes that token, instead of plain text. */
  readonly special?: boolean;
  /** Whether it continues a text: a space is added only at a text's beginning. */
  readonly continues?: boolean;
}

/** A tokenizer: turns text into ids and back. */
export interface Codec {
  /** Number of tokens; ids are 0 to n_vocab - 1. */
  readonly n_vocab: number;
  /** The ids of a text. */
  encode(text: string, options: Required<EncodeOptions>): number[];
  /** The text of ids; invalid UTF-8 becomes U+FFFD. @throws UserError that names an id the vocabulary lacks */
  decode(ids: Iterable<number>): string;
  /** @param before the ids that precede those to come */
  decoder(before: readonly number[]): StreamDecoder;
  /** The bytes that an id stands for. @throws UserError when the vocabulary has no such id */
  tokenBytes(id: number): Uint8Array;
}
