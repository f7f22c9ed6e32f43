/** Joins tokens, as the API names them, into readable pieces. */

/** Another possible token. */
export interface Alternative {
  readonly text: string;
  /** Natural logarithm of its probability. */
  readonly logprob: number;
  /** Whether it is text; false for part of a character, or a token that ends texts. */
  readonly isText: boolean;
}

/** A token, or several that only together make whole characters. */
export interface Piece {
  readonly text: string;
  /** Natural logarithm of the probability of all its tokens. */
  readonly logprob: number;
  /** The possible tokens where it begins, likeliest first. */
  readonly alternatives: readonly Alternative[];
}

/** choices[].logprobs of the completions API. */
export interface Logprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[] | null;
}

const ENCODER = new TextEncoder();

/**
 * The bytes of a token. One that is not whole characters is `bytes:` and its bytes in the API, with \xNN for those
 * outside ASCII.
 */
export function tokenBytes(token: string): Uint8Array {
  if (!token.startsWith("bytes:")) return ENCODER.encode(token);
  const parts = token.slice("bytes:".length).match(/\\x[0-9a-f]{2}|[\s\S]/gi) ?? [];
  const bytes = parts.map((part) =>
    part.length === 4 ? [Number.parseInt(part.slice(2), 16)] : [...ENCODER.encode(part)],
  );
  return Uint8Array.from(bytes.flat());
}

/** How many bytes at the end are the start of an incomplete UTF-8 character. */
export function openBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if (byte >= 0xc0) return (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) > back ? back : 0;
    if (byte < 0x80) return 0;
  }
  return 0;
}

/** Line endings as a text field has them. */
export const plainLines = (text: string): string => text.replace(/\r\n?/g, "\n");

const isSpecial = (token: string): boolean => /^<\|.*\|>$/.test(token);

function alternativesOf(top: Readonly<Record<string, number>> | null | undefined): Alternative[] {
  return Object.entries(top ?? {})
    .map(([text, logprob]) => ({
      text: plainLines(text),
      logprob,
      isText: text !== "" && !text.startsWith("bytes:") && !isSpecial(text),
    }))
    .sort((a, b) => b.logprob - a.logprob);
}

/** Joins tokens into pieces as they arrive. */
export class PieceReader {
  private bytes = new Uint8Array();
  private logprob = 0;
  private alternatives: readonly Alternative[] = [];

  push({ tokens, token_logprobs, top_logprobs }: Logprobs): Piece[] {
    const pieces: Piece[] = [];
    tokens.forEach((token, i) => {
      if (this.bytes.length === 0) this.alternatives = alternativesOf(top_logprobs?.[i]);
      this.logprob += token_logprobs[i] ?? 0;
      this.bytes = Uint8Array.from([...this.bytes, ...tokenBytes(token)]);
      if (openBytes(this.bytes) === 0) pieces.push(this.take());
    });
    return pieces;
  }

  /** What is left after the last token: a character that was never completed. */
  end(): Piece[] {
    return this.bytes.length > 0 ? [this.take()] : [];
  }

  private take(): Piece {
    const text = plainLines(new TextDecoder().decode(this.bytes));
    const piece = { text, logprob: this.logprob, alternatives: this.alternatives };
    this.bytes = new Uint8Array();
    this.logprob = 0;
    return piece;
  }
}
