import { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { PasteSplitter, type Piece } from "./paste.js";

/** A marker or a key of several bytes comes within this time, even over a slow line. */
const MARKER_MS = 100;
/** Text of this length came at once and is no key: it is inserted at once, too. */
const LONG = 32;
const CTRL_C = "\x03";
const CTRL_Z = "\x1a";

/** What the keys cannot tell readline. */
export interface KeyHandlers {
  /** Ctrl-C while the keys are kept. */
  interrupt(): void;
  /** Text to put where the cursor is, as it is. */
  insert(text: string): void;
  /** A paste, as the terminal sent it. */
  paste(text: string): void;
  /** Ctrl-Z: the program is to be stopped until fg. */
  suspend(): void;
}

/**
 * Stands between the terminal and readline. Keys that are typed ahead are kept until they are wanted, so that
 * they do not come between the words of a sample; Ctrl-C and Ctrl-Z work at once. Pastes go another way.
 */
export class Keys extends Readable {
  private readonly decoder = new StringDecoder("utf8");
  private readonly splitter = new PasteSplitter();
  private kept: (Piece | "end")[] = [];
  private isOpen = false;
  private timer: NodeJS.Timeout | undefined;
  /** Called when something has come. */
  private wake: () => void = () => {};
  /** Counts the calls of next(): only the last one's waits. */
  private turn = 0;

  constructor(
    private readonly terminal: NodeJS.ReadStream,
    private readonly handlers: KeyHandlers,
  ) {
    super({ read: () => {} });
    this.start();
  }

  /** readline switches the terminal by this: with it every key comes at once. */
  setRawMode(isRaw: boolean): this {
    this.terminal.setRawMode(isRaw);
    return this;
  }

  /** Lets keys through until close() is called, which readline's "line" event does. */
  open(): void {
    this.isOpen = true;
    this.flow();
  }

  close(): void {
    this.isOpen = false;
  }

  /** Waits for a single key, which readline does not get; undefined at the end of the input and at cancel(). */
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
        // Escape alone, or an arrow key and the like: what begins with Escape is one key.
        const [key] = piece.text.startsWith("\x1b") ? [piece.text] : piece.text;
        this.kept.unshift({ type: "keys", text: piece.text.slice(key.length) });
        return key;
      }
    }
  }

  /** Ends the wait of next(). */
  cancel(): void {
    this.turn++;
    this.wake();
  }

  /** Lets go of the terminal: nothing is kept. */
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
    // A Ctrl-C that comes alone is a key, even where the end of a paste was lost.
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
    // Not before the line that came with them is being answered.
    if (!this.isOpen) setImmediate(() => this.takeInterrupts());
  }

  /** Acts on the keys that do not wait. */
  private takeInterrupts(): void {
    if (this.isOpen) return; // readline has them by now
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
        // No further than the next Enter: what stands behind it may have to wait.
        const [line] = /^[^\r\n]*(\r\n|\r|\n|$)/.exec(piece.text) ?? [piece.text];
        if (line.length < piece.text.length)
          this.kept.unshift({ type: "keys", text: piece.text.slice(line.length) });
        this.type(line);
      }
    }
  }

  /** Hands keys to readline, one by one: it puts several at once behind the line's end, wherever the cursor is. */
  private type(text: string): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: keys that are no text
    const [, long, rest] = /^([^\x00-\x1f\x7f]*)([\r\n]*)$/.exec(text) ?? ["", "", text];
    const isLong = long.length >= LONG;
    if (isLong) this.handlers.insert(long);
    for (const key of isLong ? rest : text) {
      if (key === CTRL_Z) this.handlers.suspend();
      else this.emit("data", key);
    }
  }
}
