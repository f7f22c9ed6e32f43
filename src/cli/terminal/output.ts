import { once } from "node:events";
import { fileError } from "../../system/files.js";
import { type ColorWhen, isPainted, legend, painted } from "./paint.js";
import { printable } from "./printable.js";

/**
 * Standard output. Waits for slow readers instead of filling memory, and ends quietly when nobody reads any more
 * (`| head`).
 */
export class Output {
  /** Aborted when nobody reads any more or writing fails: nothing more need be computed. */
  readonly closed: AbortSignal;
  private readonly controller = new AbortController();
  private error: NodeJS.ErrnoException | undefined;
  private isLineOpen = false;

  constructor(private readonly stream: NodeJS.WriteStream = process.stdout) {
    this.closed = this.controller.signal;
    stream.on("error", (error: NodeJS.ErrnoException) => {
      this.error ??= error;
      this.controller.abort();
    });
  }

  /** Whether `--color` paints what is written here. */
  isPainted(when: ColorWhen): boolean {
    return isPainted(when, this.stream);
  }

  /** Whether a person is watching. */
  get isTerminal(): boolean {
    return this.stream.isTTY === true;
  }

  /** Writes text, without control characters to a terminal; nothing once nobody reads any more. */
  async write(text: string): Promise<void> {
    await this.send(text, this.isTerminal ? printable(text) : text);
  }

  /** Writes text in the colours of a level of probability; see painted(). */
  async paint(text: string, level: number): Promise<void> {
    await this.send(text, painted(text, level));
  }

  private async send(text: string, shown: string): Promise<void> {
    if (text === "" || this.closed.aborted) return;
    this.isLineOpen = !text.endsWith("\n");
    if (this.stream.write(shown)) return;
    // A failing stream emits no "drain": the abort ends the wait.
    await once(this.stream, "drain", { signal: this.closed }).catch(() => {});
  }

  /** Ends an unfinished line. */
  async endLine(): Promise<void> {
    if (this.isLineOpen) await this.write("\n");
  }

  /**
   * Waits until everything is written.
   * @throws UserError when the output could not be written, unless nobody reads it any more
   */
  async finish(): Promise<void> {
    if (!this.closed.aborted) await new Promise<void>((done) => this.stream.write("", () => done()));
    if (this.error && this.error.code !== "EPIPE" && this.error.code !== "EOF") {
      throw fileError("write to", "standard output", this.error);
    }
  }
}

let isQuiet = false;

/** Turns notes off (`--quiet`) or on. */
export function silenceNotes(quiet: boolean): void {
  isQuiet = quiet;
}

/** Tells the user something useful on stderr, unless `--quiet`. */
export function note(line: string): void {
  if (!isQuiet) tell(line);
}

let isLegendShown = false;

/** Explains the colours on stderr, once, unless `--quiet` or where stderr does not show them. */
export function noteLegend(when: ColorWhen): void {
  if (isQuiet || isLegendShown || !isPainted(when, process.stderr)) return;
  isLegendShown = true;
  process.stderr.write(`${legend()}\n`);
}

/** Tells the user something necessary on stderr. */
export function tell(line: string): void {
  process.stderr.write(`${process.stderr.isTTY ? printable(line) : line}\n`);
}

/** Whether the user can be asked: the question and the answer both need a terminal. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

// A closed stderr (`2>&1 | head`) must not end the program with a stack trace.
process.stderr.on("error", () => {});
