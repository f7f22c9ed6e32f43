import { createInterface, type Interface } from "node:readline";
import { Keys } from "./keys.js";
import { PASTE_OFF, PASTE_ON, pastedText } from "./paste.js";

/** The reply to a prompt: a line (or pasted lines), Ctrl-C, or the end, by Ctrl-D or a closed terminal. */
export type Reply =
  | { readonly type: "line"; readonly text: string }
  | { readonly type: "interrupt" }
  | { readonly type: "end" };

/** Properties of readline that can be set, although its types do not say so. */
interface Editable {
  line: string;
  cursor: number;
  /** How many rows above the cursor's the prompt begins. */
  prevRows: number;
}

/**
 * Stands for a newline in the line being edited, because readline's handling of newlines differs between versions of
 * Node.
 */
const NEWLINE = "\u240a";
const onOneLine = (text: string): string => text.replaceAll("\n", NEWLINE);
const asItIs = (line: string): string => line.replaceAll(NEWLINE, "\n");

/** Signals that end the process, before which the terminal must be restored. */
const ENDING = ["SIGTERM", "SIGHUP"] as const;
const isWindows = process.platform === "win32";
/** kill()'s number for every process of the job, such as npx before gpt2 and a pipe after it, as a terminal does. */
const JOB = 0;
/** A process that cannot be stopped goes on after this time; a stopped one does not notice it. */
const STOPPING_MS = 100;

/**
 * The user's terminal: asks for lines, which can be edited and recalled, and takes pasted text whole. If stderr goes
 * elsewhere, the terminal's own simple editing is used.
 */
export class Terminal {
  private readonly lines: Interface;
  private readonly keys: Keys | undefined;
  private readonly marksPastes: boolean;
  private readonly replies: Reply[] = [];
  private isAsking = false;
  private isOver = false;
  /** Whether another program, the editor, has the terminal, and Ctrl-C with it. */
  private isLent = false;
  private isAskingKey = false;
  private wake = (): void => {};
  private stopping: NodeJS.Timeout | undefined;
  /** readline's own list of lines to recall, newest first. */
  private recalled: string[] = [];

  /**
   * @param history lines to recall, newest first
   * @param onInterrupt called on Ctrl-C while nothing is asked
   */
  constructor(
    history: readonly string[],
    private readonly onInterrupt: () => void,
  ) {
    const isEditable = process.stderr.isTTY === true;
    this.marksPastes = isEditable && process.env["TERM"] !== "dumb";
    if (isEditable) {
      this.keys = new Keys(process.stdin, {
        interrupt: this.interrupt,
        insert: (text) => this.insert(text),
        paste: (text) => this.insert(pastedText(text)),
        suspend: () => this.suspend(JOB),
      });
    }
    const before = process.stderr.listeners("resize");
    this.lines = createInterface({
      input: this.keys ?? process.stdin,
      output: process.stderr,
      terminal: isEditable,
      history: history.map(onOneLine),
      historySize: Math.max(history.length, 1) + 1000,
    });
    // readline's own listener would draw the prompt into a sample, and over the lines above.
    for (const each of process.stderr.listeners("resize")) {
      if (!before.includes(each)) process.stderr.off("resize", each as () => void);
    }
    if (isEditable) process.stderr.on("resize", this.resize);
    this.lines.on("history", (list) => {
      this.recalled = list;
    });
    this.lines.on("line", (text) => {
      this.keys?.close();
      this.reply({ type: "line", text: asItIs(text) });
    });
    this.lines.on("close", () => {
      this.isOver = true;
      this.wake();
    });
    this.lines.on("SIGINT", this.interrupt);
    process.on("SIGINT", this.interrupt);
    process.on("exit", this.restore);
    for (const signal of ENDING) process.on(signal, this.endBySignal);
    if (this.keys && !isWindows) process.on("SIGTSTP", this.stopBySignal).on("SIGCONT", this.goOn);
    this.markPastes(true);
  }

  /** Asks for a line and waits for it. */
  async ask(prompt: string): Promise<Reply> {
    this.lines.setPrompt(prompt);
    if (this.replies.length === 0 && !this.isOver) {
      this.isAsking = true;
      this.lines.prompt(true);
      this.keys?.open();
    }
    while (this.replies.length === 0 && !this.isOver)
      await new Promise<void>((resolve) => (this.wake = resolve));
    return this.replies.shift() ?? { type: "end" };
  }

  /** Shows a question and waits for one key; undefined for Ctrl-C and the end of the input. */
  async key(question: string): Promise<string | undefined> {
    if (!this.keys) {
      const reply = await this.ask(question);
      return reply.type === "line" ? reply.text.trim().slice(0, 1) : undefined;
    }
    process.stderr.write(question);
    this.isAskingKey = true;
    const key = await this.keys.next();
    this.isAskingKey = false;
    process.stderr.write("\n");
    return key === "\x03" ? undefined : key;
  }

  /** Lends the terminal to another program while a piece of work runs. */
  async lend<T>(work: () => Promise<T>): Promise<T> {
    this.isLent = true;
    this.restore();
    if (!isWindows) process.off("SIGTSTP", this.stopBySignal);
    this.keys?.setRawMode(false);
    this.keys?.stop();
    try {
      return await work();
    } finally {
      this.isLent = false;
      this.keys?.start();
      this.keys?.setRawMode(true);
      if (this.keys && !isWindows) process.on("SIGTSTP", this.stopBySignal);
      this.markPastes(true);
    }
  }

  /** Sets the lines to recall, newest first. */
  remember(history: readonly string[]): void {
    this.recalled.splice(0, this.recalled.length, ...history.map(onOneLine));
  }

  /** Restores the terminal. */
  close(): void {
    this.lines.close();
    this.keys?.stop();
    this.restore();
    process.stderr.off("resize", this.resize);
    process.off("SIGINT", this.interrupt);
    process.off("exit", this.restore);
    for (const signal of ENDING) process.off(signal, this.endBySignal);
    clearTimeout(this.stopping);
    this.stopping = undefined;
    if (this.keys && !isWindows) process.off("SIGTSTP", this.stopBySignal).off("SIGCONT", this.goOn);
  }

  private reply(reply: Reply): void {
    this.isAsking = false;
    this.replies.push(reply);
    this.wake();
  }

  private readonly interrupt = (): void => {
    if (this.isLent) return;
    if (this.isAskingKey) {
      this.keys?.cancel();
      return;
    }
    if (!this.isAsking) {
      this.onInterrupt();
      return;
    }
    if (this.keys) {
      this.keys.close();
      // Deletes what was typed by the keys for it, so that readline knows.
      this.lines.write(null, { ctrl: true, name: "e" });
      this.lines.write(null, { ctrl: true, name: "u" });
    }
    this.reply({ type: "interrupt" });
  };

  /** Inserts text at the cursor at once; readline would do so character by character. */
  private insert(text: string): void {
    const edited = this.lines as unknown as Editable;
    const inserted = onOneLine(text);
    edited.line = edited.line.slice(0, edited.cursor) + inserted + edited.line.slice(edited.cursor);
    edited.cursor += inserted.length;
    this.lines.prompt(true); // shows the line as it is now
  }

  /**
   * Redraws the line for the new width. Some terminals have rewrapped it by now and others have not, so it starts no
   * higher than either would have it: what is above is not ours.
   */
  private readonly resize = (): void => {
    if (!this.isAsking) return;
    const edited = this.lines as unknown as Editable;
    edited.prevRows = Math.min(edited.prevRows, this.lines.getCursorPos().rows);
    this.lines.prompt(true);
  };

  private markPastes(on: boolean): void {
    if (this.marksPastes) process.stderr.write(on ? PASTE_ON : PASTE_OFF);
  }

  /** Restores the terminal and stops the program until someone continues it: Ctrl-Z and fg. */
  private suspend(whom: number): void {
    if (isWindows) return;
    this.restore();
    this.keys?.setRawMode(false);
    process.off("SIGTSTP", this.stopBySignal);
    process.kill(whom, "SIGTSTP");
    // If no shell could continue it, the system does not stop it: then it goes on.
    clearTimeout(this.stopping);
    this.stopping = setTimeout(() => {
      // A pending SIGCONT comes first, so that the line is shown once.
      setImmediate(() => this.stopping && this.goOn());
    }, STOPPING_MS);
  }

  private readonly stopBySignal = (): void => this.suspend(process.pid);

  /** Takes the terminal again, whatever its state, and shows the prompt. */
  private readonly goOn = (): void => {
    clearTimeout(this.stopping);
    this.stopping = undefined;
    process.off("SIGTSTP", this.stopBySignal).on("SIGTSTP", this.stopBySignal);
    this.keys?.setRawMode(false).setRawMode(true);
    this.markPastes(true);
    if (!this.isAsking) return;
    (this.lines as unknown as Editable).prevRows = 0; // others have written since: the lines above are not ours
    this.lines.prompt(true);
  };

  private readonly restore = (): void => this.markPastes(false);

  private readonly endBySignal = (signal: NodeJS.Signals): void => {
    this.close();
    process.kill(process.pid, signal); // without listeners, it ends the process
  };
}
