/**
 * Bracketed paste: on request, a terminal puts markers around pasted text to distinguish it from typed text (xterm's
 * control sequences, "Bracketed Paste Mode").
 */
export const PASTE_ON = "\x1b[?2004h";
export const PASTE_OFF = "\x1b[?2004l";
const BEGIN = "\x1b[200~";
const END = "\x1b[201~";

/** A part of a terminal's input. */
export interface Piece {
  readonly type: "keys" | "paste";
  readonly text: string;
}

/** How many characters at a text's end may begin the marker. */
function begunMarker(text: string, marker: string): number {
  for (let n = Math.min(marker.length - 1, text.length); n > 0; n--) {
    if (text.endsWith(marker.slice(0, n))) return n;
  }
  return 0;
}

/** Separates a terminal's input into keys and pastes, even if chunks cut a marker. */
export class PasteSplitter {
  /** The text of an unfinished paste. */
  private pasted: string | undefined;
  /** Characters that may begin a marker. */
  private held = "";

  /** Takes the next input. @returns the pieces it completes */
  push(text: string): Piece[] {
    const pieces: Piece[] = [];
    let rest = this.held + text;
    for (;;) {
      const marker = this.pasted === undefined ? BEGIN : END;
      const at = rest.indexOf(marker);
      const end = at < 0 ? rest.length - begunMarker(rest, marker) : at;
      const before = rest.slice(0, end);
      if (this.pasted !== undefined) this.pasted += before;
      else if (before !== "") pieces.push({ type: "keys", text: before });
      if (at < 0) {
        this.held = rest.slice(end);
        return pieces;
      }
      if (this.pasted === undefined) this.pasted = "";
      else pieces.push(this.endPaste());
      rest = rest.slice(at + marker.length);
    }
  }

  /** Whether characters are held back that may become a marker, or a key such as Escape. */
  get isWaiting(): boolean {
    return this.held !== "" && this.pasted === undefined;
  }

  /** Whether a paste is unfinished. */
  get isPasting(): boolean {
    return this.pasted !== undefined;
  }

  /** Stops waiting: what was held back becomes keys, and an unfinished paste ends. */
  flush(): Piece[] {
    const { held } = this;
    this.held = "";
    if (this.pasted !== undefined) {
      this.pasted += held;
      return [this.endPaste()];
    }
    return held === "" ? [] : [{ type: "keys", text: held }];
  }

  private endPaste(): Piece {
    const text = this.pasted ?? "";
    this.pasted = undefined;
    return { type: "paste", text };
  }
}

/**
 * A paste as text: with \n for the \r that terminals send, without control characters that would move the cursor or
 * change the terminal, and without a final newline, which comes with every line copied whole.
 */
export function pastedText(text: string): string {
  const lines = text.replace(/\r\n?/g, "\n");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it takes out
  return lines.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "").replace(/\n$/, "");
}
