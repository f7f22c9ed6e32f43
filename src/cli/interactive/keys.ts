import { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { PasteSplitter, type Piece } from "./paste.js";

/** The bytes of a marker or key arrive within this time, even over a slow connection. */
const MARKER_MS = 100;
/** Text of this length that arrives at once is not typed: it is inserted at once, too. */
const LONG = 32;
const CTRL_C = "\x03";
const CTRL_Z = "\x1a";

/** Keys that readline cannot handle. */
export interface KeyHandlers {
  /** Ctrl-C while keys are held back. */
  interrupt(): void;
  /** Text to insert at the cursor as it is. */
  insert(text: string): void;
  /** Pasted text, as the terminal sent it. */
  paste(text: string): void;
  /** Ctrl-Z: stop the program until fg. */
  suspend(): void;
}

/**
 * Sits between the terminal and readline. Holds keys typed ahead until they are wanted, so that they do not echo amid a
 * sample; Ctrl-C and Ctrl-Z work at once. Pastes bypass readline.
 */
export class Keys extends Readable {
  private readonly decoder = new StringDecoder("utf8");
  private readonly splitter = new PasteSplitter();
  private kept: (Piece | "end")[] = [];
  private isOpen = false;
  private timer: NodeJS.Timeout | undefined;
  /** Called when something arrives. */
  private wake: () => void = () => {};
  /** Counts calls of next(): only the last one waits. */
  private turn = 0;

  constructor(
    private readonly terminal: NodeJS.ReadStream,
    private readonly handlers: KeyHandlers,
  ) {
    super({ read: () => {} });
    this.start();
  }

  /** Called by readline; in raw mode every key arrives at once. */
  setRawMode(isRaw: boolean): this {
    this.terminal.setRawMode(isRaw);
    return this;
  }

  /** Lets keys through until close(), which readline's "line" event calls. */
  open(): void {
    this.isOpen = true;
    this.flow();
  }

  close(): void {
    this.isOpen = false;
  }

  /** Waits for one key, which readline does not see; undefined at the end of the input or after cancel(). */
  async next(): Promise<string | undefined> {
    const turn = ++this.turn;
    for (;;) {
      if (turn !== this.turn) return undefined;
      const piece = this.kept.shift();
      if (piece === "end") {
        this.kept.unshift(piece);
        return undefined;
      }
      if (piece === undefined) {
        await new Promise<void>((resolve) => (this.wake = resolve));
      } else if (piece.type === "keys" && piece.text !== "") {
        // What begins with Escape is one key: Escape itself, an arrow key or the like.
        const [key] = piece.text.startsWith("\x1b") ? [piece.text] : piece.text;
        this.kept.unshift({ type: "keys", text: piece.text.slice(key.length) });
        return key;
      }
    }
  }

  /** Ends next()'s wait. */
  cancel(): void {
    this.turn++;
    this.wake();
  }

  /** Releases the terminal, and drops keys held back. */
  stop(): void {
    clearTimeout(this.timer);
    this.kept = [];
    this.terminal.off("data", this.receive).off("end", this.end).off("error", this.end);
    this.terminal.pause();
  }

  /** Takes the terminal again after stop(). */
  start(): void {
    this.terminal.on("data", this.receive).on("end", this.end).on("error", this.end);
    this.terminal.resume();
  }

  private readonly receive = (bytes: Buffer): void => {
    clearTimeout(this.timer);
    const text = this.decoder.write(bytes);
    // Ctrl-C alone is a key, even if the end of a paste was lost.
    if (text === CTRL_C && this.splitter.isPasting) this.accept(this.splitter.flush());
    this.accept(this.splitter.push(text));
    if (this.splitter.isWaiting) this.timer = setTimeout(() => this.accept(this.splitter.flush()), MARKER_MS);
  };

  private readonly end = (): void => {
    this.accept(this.splitter.flush());
    this.kept.push("end");
    this.flow();
    this.wake();
  };

  private accept(pieces: readonly Piece[]): void {
    for (const piece of pieces) {
      this.kept.push(piece);
      this.flow();
    }
    this.wake();
    // Only once the line that came with them is being answered.
    if (!this.isOpen) setImmediate(() => this.takeInterrupts());
  }

  /** Acts on keys that cannot wait. */
  private takeInterrupts(): void {
    if (this.isOpen) return; // readline has them already
    for (const [i, piece] of this.kept.entries()) {
      if (piece === "end" || piece.type === "paste") continue;
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the keys
      const urgent = piece.text.match(/[\x03\x1a]/g) ?? [];
      if (urgent.length === 0) continue;
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the keys
      this.kept[i] = { type: "keys", text: piece.text.replace(/[\x03\x1a]/g, "") };
      for (const key of urgent) {
        if (key === CTRL_C) this.handlers.interrupt();
        else this.handlers.suspend();
      }
    }
  }

  private flow(): void {
    while (this.isOpen) {
      const piece = this.kept.shift();
      if (piece === undefined) return;
      if (piece === "end") {
        this.emit("end");
      } else if (piece.type === "paste") {
        this.handlers.paste(piece.text);
      } else {
        // Only up to the next Enter: what follows may have to wait.
        const [line] = /^[^\r\n]*(\r\n|\r|\n|$)/.exec(piece.text) ?? [piece.text];
        if (line.length < piece.text.length)
          this.kept.unshift({ type: "keys", text: piece.text.slice(line.length) });
        this.type(line);
      }
    }
  }

  /** Passes keys to readline one by one: it appends several at once to the line, wherever the cursor is. */
  private type(text: string): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: keys, not text
    const [, long, rest] = /^([^\x00-\x1f\x7f]*)([\r\n]*)$/.exec(text) ?? ["", "", text];
    const isLong = long.length >= LONG;
    if (isLong) this.handlers.insert(long);
    for (const key of isLong ? rest : text) {
      if (key === CTRL_Z) this.handlers.suspend();
      else this.emit("data", key);
    }
  }
}
