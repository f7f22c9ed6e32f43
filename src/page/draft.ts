/** The text that one writes, and which of it the model wrote. Nothing here changes a draft: it makes another one. */
import { type Alternative, type Piece, plainLines } from "./pieces.js";

/** A piece of the model's at its place in the text. */
export interface Token extends Piece {
  /** Where it begins, in UTF-16 units. */
  readonly start: number;
}

export interface Draft {
  readonly text: string;
  /** In order, none across another. What lies between them was written by hand. */
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
 * The draft after someone has written in it. A probability holds for the text before the token: tokens behind the first
 * change lose theirs, and are the writer's from now on.
 */
export function edited(draft: Draft, text: string): Draft {
  if (text === draft.text) return draft;
  const same = commonStart(draft.text, text);
  return { text, tokens: draft.tokens.filter((token) => endOf(token) <= same) };
}

/** The draft up to a token, another one in its place. */
export function withAlternative(draft: Draft, index: number, alternative: Alternative): Draft {
  const token = draft.tokens[index];
  const { text, logprob } = alternative;
  return {
    text: draft.text.slice(0, token.start) + text,
    tokens: [...draft.tokens.slice(0, index), { ...token, text, logprob }],
  };
}

/** The number of the token at a place in the text; at the end of the text, of the token before it. -1: none. */
export function tokenAt(draft: Draft, offset: number): number {
  const at = offset === draft.text.length ? offset - 1 : offset;
  return draft.tokens.findIndex((token) => token.start <= at && at < endOf(token));
}

/** What the model adds to a draft, as it comes: text, and the pieces it is made of, which may come earlier or later. */
export class Continuation {
  private written = "";
  private tokens: Token[] = [];
  private waiting: Piece[] = [];
  /** How much of what was written has its pieces. */
  private covered = 0;

  constructor(private readonly before: Draft) {}

  push(text: string, pieces: readonly Piece[]): void {
    this.written += plainLines(text);
    this.waiting.push(...pieces.filter((piece) => piece.text !== ""));
    while (this.waiting.length > 0) {
      const [piece] = this.waiting;
      const there = this.written.slice(this.covered, this.covered + piece.text.length);
      if (there.length < piece.text.length && piece.text.startsWith(there)) return; // its text has yet to come
      this.waiting.shift();
      if (there !== piece.text) continue; // it is not part of the text: a token that ends it
      this.tokens.push({ ...piece, start: this.before.text.length + this.covered });
      this.covered += piece.text.length;
    }
  }

  get text(): string {
    return this.written;
  }

  /** The draft with what has come so far. */
  get draft(): Draft {
    return {
      text: this.before.text + this.written,
      tokens: [...this.before.tokens, ...this.tokens],
    };
  }
}
