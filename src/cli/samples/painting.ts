import { levelOf } from "../../probability-scale.js";
import type { DrawnToken } from "../../sampling/logprobs.js";
import { type Piece, PieceReader } from "../../sampling/pieces.js";
import { noteLegend } from "../terminal/output.js";
import type { ColorWhen } from "../terminal/paint.js";
import type { Sink } from "./sink.js";

/**
 * Maps a sample's text to its tokens. What is shown lags behind what is drawn: a character may take several tokens, and
 * the beginning of a stop text is held back.
 */
export class Painting {
  readonly #reader = new PieceReader<DrawnToken>();
  /** Drawn and not yet shown: how many UTF-16 units, of which piece. */
  readonly #waiting: { length: number; readonly piece: Piece<DrawnToken> }[] = [];

  /** Takes the token drawn next. */
  push(token: DrawnToken): void {
    const piece = this.#reader.push(token, token.added);
    if (piece) this.#waiting.push({ length: piece.text.length, piece });
  }

  /** Takes the text shown next; its pieces, of which the first and the last may be cut. */
  cut(text: string): Piece<DrawnToken>[] {
    const pieces: Piece<DrawnToken>[] = [];
    let from = 0;
    while (from < text.length) {
      const [next] = this.#waiting;
      const { length, piece } = next ?? this.#last(text.length - from);
      const to = Math.min(text.length, from + length);
      pieces.push({ ...piece, text: text.slice(from, to) });
      if (next) next.length -= to - from;
      if (next?.length === 0) this.#waiting.shift();
      from = to;
    }
    return pieces;
  }

  /** What stands for a character that the sample's end left unfinished. */
  #last(length: number): { length: number; piece: Piece<DrawnToken> } {
    return { length, piece: this.#reader.end("") ?? { text: "", tokens: [], logprob: 0 } };
  }
}

/** A whole sample's text in pieces. */
export function piecesOf(text: string, tokens: readonly DrawnToken[]): Piece<DrawnToken>[] {
  const painting = new Painting();
  for (const token of tokens) painting.push(token);
  return painting.cut(text);
}

/** Whether a run's texts are painted; if so, notes what the colours mean. */
export function paintsTexts(output: Sink, format: "text" | "jsonl", color: ColorWhen): boolean {
  const is = format === "text" && output.isPainted?.(color) === true;
  if (is) noteLegend(color);
  return is;
}

/** Writes pieces in their colours. */
export async function paint(output: Sink, pieces: readonly Piece<DrawnToken>[]): Promise<void> {
  for (const { text, logprob } of pieces) await output.paint?.(text, levelOf(Math.exp(logprob)));
}
