import { levelOf } from "../../probability-scale.js";
import type { DrawnToken } from "../../sampling/logprobs.js";
import { type Piece, PieceReader } from "../../sampling/pieces.js";
import { noteLegend } from "../terminal/output.js";
import type { ColorWhen } from "../terminal/paint.js";
import type { Sink } from "./sink.js";

/** A text's part of one level; see LEVELS. */
export interface Span {
  readonly text: string;
  readonly level: number;
}

const levelOfPiece = ({ logprob }: Piece<DrawnToken>): number => levelOf(Math.exp(logprob));

/**
 * Knows which part of a sample's text came from which token. What is shown lags behind what is drawn: a character may
 * take several tokens, and the beginning of a stop text is held back.
 */
export class Painting {
  readonly #reader = new PieceReader<DrawnToken>();
  /** Drawn and not yet shown: how many UTF-16 units, of which level. */
  readonly #waiting: { length: number; readonly level: number }[] = [];

  /** Takes the token drawn next. */
  push(token: DrawnToken): void {
    const piece = this.#reader.push(token, token.added);
    if (piece) this.#waiting.push({ length: piece.text.length, level: levelOfPiece(piece) });
  }

  /** Takes the text shown next; its spans. */
  cut(text: string): Span[] {
    const spans: Span[] = [];
    let from = 0;
    while (from < text.length) {
      const [next] = this.#waiting;
      const { length, level } = next ?? this.#last(text.length - from);
      const to = Math.min(text.length, from + length);
      spans.push({ text: text.slice(from, to), level });
      if (next) next.length -= to - from;
      if (next?.length === 0) this.#waiting.shift();
      from = to;
    }
    return spans;
  }

  /** What stands for a character that the sample's end left unfinished. */
  #last(length: number): { length: number; level: number } {
    const piece = this.#reader.end("");
    return { length, level: piece ? levelOfPiece(piece) : 0 };
  }
}

/** Whether a run's texts are painted; if so, notes what the colours mean. */
export function paintsTexts(output: Sink, format: "text" | "jsonl", color: ColorWhen): boolean {
  const is = format === "text" && output.isPainted?.(color) === true;
  if (is) noteLegend(color);
  return is;
}

/** A whole sample's text in spans. */
export function spansOf(text: string, tokens: readonly DrawnToken[]): Span[] {
  const painting = new Painting();
  for (const token of tokens) painting.push(token);
  return painting.cut(text);
}

/** Writes spans in their colours. */
export async function paint(output: Sink, spans: readonly Span[]): Promise<void> {
  for (const { text, level } of spans) await output.paint?.(text, level);
}
