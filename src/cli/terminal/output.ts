import { once } from "node:events";
import { fileError } from "../../system/files.js";
import { printable } from "./printable.js";

/**
 * Standard output. Waits for slow readers instead of filling memory, and ends quietly when the reader has gone
 * (`| head`).
 */
export class Output {
  /** Aborted when the reader has gone or the output cannot be written: nothing more need be computed. */
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

  /** Whether a person watches. */
  get isTerminal(): boolean {
    return this.stream.isTTY === true;
  }

  /** Writes text, to a terminal without its control characters; nothing once the reader has gone. */
  async write(text: string): Promise<void> {
    if (text === "" || this.closed.aborted) return;
    this.isLineOpen = !text.endsWith("\n");
    if (this.stream.write(this.isTerminal ? printable(text) : text)) return;
    // A stream that fails emits no "drain": the abort ends the wait.
    await once(this.stream, "drain", { signal: this.closed }).catch(() => {});
  }

  /** Ends the line that was begun, if one was. */
  async endLine(): Promise<void> {
    if (this.isLineOpen) await this.write("\n");
  }

  /**
   * Waits until all is written.
   * @throws UserError when the output could not be written, for any other reason than that the reader has gone
   */
  async finish(): Promise<void> {
    if (!this.closed.aborted) await new Promise<void>((done) => this.stream.write("", () => done()));
    if (this.error && this.error.code !== "EPIPE" && this.error.code !== "EOF") {
      throw fileError("write to", "standard output", this.error);
    }
  }
}

let isQuiet = false;

/** Switches notes off (`--quiet`) or on. */
export function silenceNotes(quiet: boolean): void {
  isQuiet = quiet;
}

/** Tells the user something beside the samples, on stderr, that is good to know: not with `--quiet`. */
export function note(line: string): void {
  if (!isQuiet) tell(line);
}

/** Tells the user something that must be known, on stderr. */
export function tell(line: string): void {
  process.stderr.write(`${process.stderr.isTTY ? printable(line) : line}\n`);
}

/** Whether the user can be asked: both the question and the answer go through a terminal. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

// A closed stderr (`2>&1 | head`) must not end the program with a stack.
process.stderr.on("error", () => {});
