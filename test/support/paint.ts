import { LEVELS, levelOf } from "../../dist/src/probability-scale.js";

/** A text's part, and the level in whose colours it is painted; undefined: in none. */
export interface PaintedPart {
  readonly text: string;
  readonly level?: number;
}

/** What a terminal is sent, taken apart; a code that is none of ours stays in the text. */
export function paintedParts(sent: string): PaintedPart[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what terminals are sent
  const pieces = sent.split(/(\x1b\[38;5;\d+;48;5;\d+m[^\x1b]*\x1b\[0m)/);
  return pieces
    .filter((piece) => piece !== "")
    .map((piece) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
      const [, ink, ground, text] = /^\x1b\[38;5;(\d+);48;5;(\d+)m([^\x1b]*)\x1b\[0m$/.exec(piece) ?? [];
      if (ink === undefined) return { text: piece };
      const level = LEVELS.findIndex(
        ({ terminal }) => `${terminal.ink} ${terminal.ground}` === `${ink} ${ground}`,
      );
      return { text, level };
    });
}

/** The text alone. */
export const unpainted = (sent: string): string =>
  paintedParts(sent)
    .map(({ text }) => text)
    .join("");

/** Tokens as they are painted: each line of each by itself, in its level's colours. */
export function expectedParts(tokens: readonly { text: string; logprob: number }[]): PaintedPart[] {
  return tokens.flatMap(({ text, logprob }) =>
    text
      .split(/(\n+)/)
      .filter((part) => part !== "")
      .map((part) =>
        part.startsWith("\n") ? { text: part } : { text: part, level: levelOf(Math.exp(logprob)) },
      ),
  );
}
