/**
 * Finds the first of several texts in a stream of pieces. Holds back only what may still become one of them, so that
 * no part of a stop text is ever shown.
 */
export class StopMatcher {
  private held = "";
  private readonly stops: readonly string[];

  /** @param stops texts to look for; empty ones are ignored */
  constructor(stops: readonly string[]) {
    this.stops = stops.filter((stop) => stop.length > 0);
  }

  /** Takes the next piece; returns what can be shown, and whether one of the texts follows it. */
  push(piece: string): { text: string; stopped: boolean } {
    if (this.stops.length === 0) return { text: piece, stopped: false };
    const all = this.held + piece;
    let first = -1;
    for (const stop of this.stops) {
      const at = all.indexOf(stop);
      if (at >= 0 && (first < 0 || at < first)) first = at;
    }
    if (first >= 0) {
      this.held = "";
      return { text: all.slice(0, first), stopped: true };
    }
    let keep = 0;
    for (const stop of this.stops) {
      for (let n = Math.min(stop.length - 1, all.length); n > keep; n--) {
        if (all.endsWith(stop.slice(0, n))) keep = n;
      }
    }
    this.held = all.slice(all.length - keep);
    return { text: all.slice(0, all.length - keep), stopped: false };
  }

  /** What was held back when the stream ends without any of the texts. */
  end(): string {
    const rest = this.held;
    this.held = "";
    return rest;
  }
}

/** Low surrogates stand for marks, from this one on: decoded bytes never give a lone one. */
const FIRST_MARK = 0xdc00;

/**
 * The part of a sample's text that is shown: up to the first stop text, without marks (special tokens). A stop text may
 * hold marks, too: they match the token, not its spelling.
 */
export class ShownText {
  readonly #shown: StopMatcher;
  readonly #marked: StopMatcher;
  /** The marks that stop texts hold, and the character that stands for each. */
  readonly #characters = new Map<number, string>();

  /**
   * @param stops texts that end a sample
   * @param marks ids that are not shown, and how each is written in a stop text
   */
  constructor(
    stops: readonly string[],
    private readonly marks: ReadonlyMap<number, string>,
  ) {
    this.#shown = new StopMatcher(stops);
    const marked: string[] = [];
    for (const stop of marks.size > 0 ? stops : []) {
      let text = stop;
      for (const [id, mark] of [...marks].sort(([, a], [, b]) => b.length - a.length)) {
        if (!text.includes(mark)) continue;
        const known = this.#characters.get(id);
        const character = known ?? String.fromCharCode(FIRST_MARK + this.#characters.size);
        this.#characters.set(id, character);
        text = text.replaceAll(mark, character);
      }
      if (text !== stop) marked.push(text);
    }
    this.#marked = new StopMatcher(marked);
  }

  /**
   * Takes the token drawn next.
   * @param decode gives the text that a token adds; it is not called for marks
   */
  push(id: number, decode: (id: number) => string): { text: string; stopped: boolean } {
    return this.text(this.marks.has(id) ? (this.#characters.get(id) ?? "") : decode(id));
  }

  /** Takes text, such as that of an unfinished character at a sample's end. */
  text(piece: string): { text: string; stopped: boolean } {
    if (this.#characters.size === 0) return this.#shown.push(piece);
    const found = this.#marked.push(piece);
    const shown = this.#shown.push(withoutMarks(found.text));
    if (!found.stopped || shown.stopped) return shown;
    return { text: shown.text + this.#shown.end(), stopped: true };
  }

  /** What was held back when the sample ends without any of the texts. */
  end(): string {
    const { text, stopped } = this.#shown.push(withoutMarks(this.#marked.end()));
    return stopped ? text : text + this.#shown.end();
  }
}

const withoutMarks = (text: string): string => text.replace(/[\udc00-\udfff]/gu, "");
