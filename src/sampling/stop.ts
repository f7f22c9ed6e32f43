/**
 * Finds the first of several texts in a stream of pieces. Holds back no more than what may still become one of
 * them, so that a text that ends a sample is never shown by half.
 */
export class StopMatcher {
  private held = "";
  private readonly stops: readonly string[];

  /** @param stops texts to look for; empty ones are passed over */
  constructor(stops: readonly string[]) {
    this.stops = stops.filter((stop) => stop.length > 0);
  }

  /** Takes the next piece; returns what can be shown, and whether one of the texts was met just behind it. */
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
