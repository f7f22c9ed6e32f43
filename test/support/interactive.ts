import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type JsonLine, micro, parseLines, TEMPORARY } from "./spawn.js";
import { Terminal } from "./terminal.js";

/** readline writes a space behind a line that fills its row. */
export const PROMPT = /Model prompt >>> {1,2}$/;
export const ENDLESS = ["--length", "100000000", "--ignore_eos"];
export const [PASTE_ON, PASTE_OFF] = ["\x1b[?2004h", "\x1b[?2004l"];
export const CTRL_Z = "\x1a";
export const UP = "\x1b[A";
export const LEFT = "\x1b[D";

let sessions = 0;

/** A data folder of its own. */
export const dataFolder = (): string => join(TEMPORARY, `data ${process.pid} ${++sessions}`);

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** `gpt2 interactive` with the micro model on a terminal. */
export class Interactive extends Terminal {
  /** @param launcher what runs gpt2, if not Node itself */
  constructor(args: readonly string[], data: string = dataFolder(), launcher: readonly string[] = []) {
    super(["interactive", ...micro(...args)], { env: { XDG_DATA_HOME: data } }, launcher);
  }

  /** Started, and asking. */
  static async started(...args: ConstructorParameters<typeof Interactive>): Promise<Interactive> {
    const session = new Interactive(...args);
    await session.shows(PROMPT);
    return session;
  }

  /** Types a line and waits for the next prompt. */
  async line(text: string): Promise<string> {
    this.type(`${text}\r`);
    return this.shows(/\n[\s\S]*Model prompt >>> {1,2}$/);
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
