/**
 * Bracketed paste: a terminal that was asked to puts markers around what is pasted, so that it can be told from
 * what is typed (xterm's control sequences, "Bracketed Paste Mode").
 */
export const PASTE_ON = "\x1b[?2004h";
export const PASTE_OFF = "\x1b[?2004l";
const BEGIN = "\x1b[200~";
const END = "\x1b[201~";

/** A part of what comes from a terminal. */
export interface Piece {
  readonly type: "keys" | "paste";
  readonly text: string;
}

/** How many characters at a text's end may be the beginning of the marker. */
function begunMarker(text: string, marker: string): number {
  for (let n = Math.min(marker.length - 1, text.length); n > 0; n--) {
    if (text.endsWith(marker.slice(0, n))) return n;
  }
  return 0;
}

/** Takes what comes from a terminal apart, however the markers are cut. */
export class PasteSplitter {
  /** The text of the paste that has begun. */
  private pasted: string | undefined;
  /** What may become a marker. */
  private held = "";

  /** Takes the next text; the pieces that it makes whole. */
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

  /** Whether what was held back waits to become a marker or a key of its own, such as Escape. */
  get isWaiting(): boolean {
    return this.held !== "" && this.pasted === undefined;
  }

  /** Whether a paste has begun and not ended. */
  get isPasting(): boolean {
    return this.pasted !== undefined;
  }

  /** Ends all waiting: what was held back becomes keys, a paste that was begun is taken as it is. */
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
 * The text that a paste stands for: lines end in \n (terminals send \r), what would move the cursor or change the
 * terminal is left out, and so is a newline at the very end, which comes with every line that is copied whole.
 */
export function pastedText(text: string): string {
  const lines = text.replace(/\r\n?/g, "\n");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it takes out
  return lines.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "").replace(/\n$/, "");
}
