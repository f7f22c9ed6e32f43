import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { assertDone, gpt2, type JsonLine, micro, parseLines, TEMPORARY } from "./spawn.js";
import { NO_TERMINAL, Terminal } from "./terminal.js";

/** readline writes a space after a line that fills its row. */
export const PROMPT = /Model prompt >>> {1,2}$/;
export const OPTIONS = ["--seed", "1", "--length", "8"];
export const ENDLESS = ["--length", "100000000", "--ignore_eos"];
export const [PASTE_ON, PASTE_OFF] = ["\x1b[?2004h", "\x1b[?2004l"];
export const pasted = (text: string): string => `\x1b[200~${text}\x1b[201~`;
export const CTRL_Z = "\x1a";
export const UP = "\x1b[A";
export const LEFT = "\x1b[D";

let sessions = 0;

/** A data folder of its own. */
export const dataFolder = (): string => join(TEMPORARY, `data ${process.pid} ${++sessions}`);

/** Lets time pass, where time itself is tested; for an event, wait for it. */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** `gpt2 interactive` with the micro model on a terminal, with a data folder of its own or the given one. */
export class Interactive extends Terminal {
  readonly data: string;

  /** @param launcher what runs gpt2, if not Node itself */
  constructor(
    args: readonly string[] = OPTIONS,
    env: Record<string, string> = {},
    launcher: readonly string[] = [],
  ) {
    const data = env["XDG_DATA_HOME"] ?? dataFolder();
    super(["interactive", ...micro(...args)], { env: { ...env, XDG_DATA_HOME: data } }, launcher);
    this.data = data;
  }

  /** Types a line and waits for the next prompt; what was shown between. */
  async line(text: string): Promise<string> {
    this.type(`${text}\r`);
    const shown = await this.shows(/\n[\s\S]*Model prompt >>> {1,2}$/);
    return shown.slice(shown.indexOf("\n") + 1, shown.lastIndexOf("Model prompt >>> "));
  }

  /** What a command says: every line of it. */
  async command(text: string): Promise<string[]> {
    return (await this.line(text)).split("\r\n").slice(0, -1);
  }

  /** What the session holds, through /save. */
  async records(): Promise<JsonLine[]> {
    const file = join(TEMPORARY, `saved ${++sessions}.jsonl`);
    await this.line(`/save ${file}`);
    return parseLines(await readFile(file, "utf8"));
  }

  async prompts(): Promise<string[]> {
    return (await this.records()).map(({ prompt }) => prompt);
  }

  async leave(): Promise<void> {
    this.type("/quit\r");
    const { code, stdout, stderr } = await this.ends();
    assert.equal(code, 0, stdout);
    assert.equal(stderr, "echo on");
  }
}

/** Started, and asking. */
export const started = async (...args: ConstructorParameters<typeof Interactive>): Promise<Interactive> => {
  const session = new Interactive(...args);
  await session.shows(PROMPT);
  return session;
};

/** The text of what `generate` writes. */
export async function generated(prompt: string, ...args: string[]): Promise<string> {
  const outcome = await gpt2(["generate", prompt, ...micro("--format", "jsonl", ...args)]);
  assertDone(outcome);
  return parseLines(outcome.stdout)[0].text;
}

export const posix = { concurrency: 2, skip: NO_TERMINAL };
