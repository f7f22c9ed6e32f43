import { createInterface, type Interface } from "node:readline";
import { Keys } from "./keys.js";
import { PASTE_OFF, PASTE_ON, pastedText } from "./paste.js";

/** What came of a question: a line (or pasted lines), Ctrl-C, or the end: Ctrl-D, or nobody is there any more. */
export type Reply =
  | { readonly type: "line"; readonly text: string }
  | { readonly type: "interrupt" }
  | { readonly type: "end" };

/** What readline lets be set, though its types do not say so. */
interface Editable {
  line: string;
  cursor: number;
  /** How many rows above the cursor's the prompt begins. */
  prevRows: number;
}

/**
 * Stands for a newline on the line that is edited. readline edits one line; what it does with a newline in it differs
 * from one version of Node to the next.
 */
const NEWLINE = "\u240a";
const onOneLine = (text: string): string => text.replaceAll("\n", NEWLINE);
const asItIs = (line: string): string => line.replaceAll(NEWLINE, "\n");

/** Signals that end the process: the terminal must be left as it was found. */
const ENDING = ["SIGTERM", "SIGHUP"] as const;
const isWindows = process.platform === "win32";
/** Every process of the job, such as npx before gpt2 and a pipe behind it: as the terminal itself would do it. */
const JOB = 0;
/** A stopped process does not wait for this; one that cannot be stopped goes on after it. */
const STOPPING_MS = 100;

/**
 * The person's terminal: asks for lines, which can be edited and recalled, and takes pasted text whole. Where
 * stderr goes elsewhere, the terminal's own simple editing is used.
 */
export class Terminal {
  private readonly lines: Interface;
  private readonly keys: Keys | undefined;
  private readonly marksPastes: boolean;
  private readonly replies: Reply[] = [];
  private isAsking = false;
  private isOver = false;
  /** Another program has the terminal: Ctrl-C is for that one. */
  private isLent = false;
  private isAskingKey = false;
  private wake = (): void => {};
  private stopping: NodeJS.Timeout | undefined;
  /** readline's own list of what can be recalled, newest first. */
  private recalled: string[] = [];

  /**
   * @param history lines that can be recalled, newest first
   * @param onInterrupt called at a Ctrl-C that comes while nothing is asked
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
    // readline's own listener would draw the prompt into a sample, and over what stands above it.
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

  /** Sets what can be recalled, newest first. */
  remember(history: readonly string[]): void {
    this.recalled.splice(0, this.recalled.length, ...history.map(onOneLine));
  }

  /** Gives the terminal back as it was. */
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
      // What was typed goes, by the keys for it, so that readline knows.
      this.lines.write(null, { ctrl: true, name: "e" });
      this.lines.write(null, { ctrl: true, name: "u" });
    }
    this.reply({ type: "interrupt" });
  };

  /** Puts text where the cursor is, at once; readline would take it character by character. */
  private insert(text: string): void {
    const edited = this.lines as unknown as Editable;
    const inserted = onOneLine(text);
    edited.line = edited.line.slice(0, edited.cursor) + inserted + edited.line.slice(edited.cursor);
    edited.cursor += inserted.length;
    this.lines.prompt(true); // shows the line as it is now
  }

  /**
   * Draws the line for the new width. Some terminals have broken it anew by now, others have not: so no further up
   * than both would have it, for what is above is not ours.
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

  /** Gives the terminal back and stops, until someone continues the program: Ctrl-Z and fg. */
  private suspend(whom: number): void {
    if (isWindows) return;
    this.restore();
    this.keys?.setRawMode(false);
    process.off("SIGTSTP", this.stopBySignal);
    process.kill(whom, "SIGTSTP");
    // Where no shell could continue it, the system does not stop it: then it goes on.
    clearTimeout(this.stopping);
    this.stopping = setTimeout(() => {
      // A SIGCONT that waits comes first: the line is shown once.
      setImmediate(() => this.stopping && this.goOn());
    }, STOPPING_MS);
  }

  private readonly stopBySignal = (): void => this.suspend(process.pid);

  /** Takes the terminal again, which may be in any state now, and shows what is asked. */
  private readonly goOn = (): void => {
    clearTimeout(this.stopping);
    this.stopping = undefined;
    process.off("SIGTSTP", this.stopBySignal).on("SIGTSTP", this.stopBySignal);
    this.keys?.setRawMode(false).setRawMode(true);
    this.markPastes(true);
    if (!this.isAsking) return;
    (this.lines as unknown as Editable).prevRows = 0; // others have written since: nothing above is ours
    this.lines.prompt(true);
  };

  private readonly restore = (): void => this.markPastes(false);

  private readonly endBySignal = (signal: NodeJS.Signals): void => {
    this.close();
    process.kill(process.pid, signal); // nobody listens any more: it ends the process
  };
}
