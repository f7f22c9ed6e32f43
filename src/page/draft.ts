/** The text, and which parts of it the model wrote. Drafts are immutable: each change makes a new one. */
import { type Alternative, type Piece, plainLines } from "./pieces.js";

/** A piece that the model wrote, at its place in the text. */
export interface Token extends Piece {
  /** Where it begins, in UTF-16 units. */
  readonly start: number;
}

/** A text, and the model's tokens in it. */
export interface Draft {
  readonly text: string;
  /** In order, without overlaps. What lies between them was written by hand. */
  readonly tokens: readonly Token[];
}

export const EMPTY: Draft = { text: "", tokens: [] };

export const endOf = (token: Token): number => token.start + token.text.length;

/** How many units two texts have in common from the start. */
export function commonStart(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let same = 0;
  while (same < most && a.charCodeAt(same) === b.charCodeAt(same)) same++;
  return same;
}

/**
 * The draft after an edit. A probability depends on the text before the token: tokens after the first change lose theirs
 * and count as written by hand.
 */
export function edited(draft: Draft, text: string): Draft {
  if (text === draft.text) return draft;
  const same = commonStart(draft.text, text);
  return { text, tokens: draft.tokens.filter((token) => endOf(token) <= same) };
}

/** The draft up to a token, with an alternative in its place. */
export function withAlternative(draft: Draft, index: number, alternative: Alternative): Draft {
  const token = draft.tokens[index];
  const { text, logprob } = alternative;
  return {
    text: draft.text.slice(0, token.start) + text,
    tokens: [...draft.tokens.slice(0, index), { ...token, text, logprob }],
  };
}

/** The index of the token at an offset in the text, or before it at the end of the text; -1 if none. */
export function tokenAt(draft: Draft, offset: number): number {
  const at = offset === draft.text.length ? offset - 1 : offset;
  return draft.tokens.findIndex((token) => token.start <= at && at < endOf(token));
}

/** What the model adds to a draft, as it arrives: text, and the pieces it is made of, which may come before or after it. */
export class Continuation {
  private written = "";
  private tokens: Token[] = [];
  private waiting: Piece[] = [];
  /** How much of the text has its pieces. */
  private covered = 0;

  constructor(private readonly before: Draft) {}

  push(text: string, pieces: readonly Piece[]): void {
    this.written += plainLines(text);
    this.waiting.push(...pieces.filter((piece) => piece.text !== ""));
    while (this.waiting.length > 0) {
      const [piece] = this.waiting;
      const there = this.written.slice(this.covered, this.covered + piece.text.length);
      if (there.length < piece.text.length && piece.text.startsWith(there)) return; // its text has yet to arrive
      this.waiting.shift();
      if (there !== piece.text) continue; // not part of the text: a token that ends it
      this.tokens.push({ ...piece, start: this.before.text.length + this.covered });
      this.covered += piece.text.length;
    }
  }

  get text(): string {
    return this.written;
  }

  /** The draft with what has arrived so far. */
  get draft(): Draft {
    return {
      text: this.before.text + this.written,
      tokens: [...this.before.tokens, ...this.tokens],
    };
  }
}
