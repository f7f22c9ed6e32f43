/** Turns ids into text one at a time. Bytes that are no valid UTF-8 become U+FFFD, as in Python. */
export interface StreamDecoder {
  /**
   * The text that this id completes; "" while a character is still missing bytes.
   * @throws UserError when the vocabulary has no such id
   */
  push(id: number): string;
  /** What an unfinished character at the end amounts to: one U+FFFD or nothing. Then it can begin anew. */
  end(): string;
}

/** How a text is read. */
export interface EncodeOptions {
  /** Where it has an added token's text, it is that token; without, all of it is plain text. */
  readonly special?: boolean;
  /** It goes on within a text, at whose beginning alone a space is added. */
  readonly continues?: boolean;
}

/** A tokenizer: what turns a text into ids and back. */
export interface Codec {
  /** Number of tokens; ids are 0 to n_vocab - 1. */
  readonly n_vocab: number;
  encode(text: string, options: Required<EncodeOptions>): number[];
  decode(ids: Iterable<number>): string;
  /** @param before what the ids to come stand behind */
  decoder(before: readonly number[]): StreamDecoder;
  tokenBytes(id: number): Uint8Array;
}
