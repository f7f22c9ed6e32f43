import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  CTRL_Z,
  dataFolder,
  ENDLESS,
  LEFT,
  PASTE_OFF,
  PASTE_ON,
  PROMPT,
  started,
} from "../../support/interactive.js";
import { BIN, MICRO, parseLines, TEMPORARY } from "../../support/spawn.js";
import { CTRL_C, CTRL_D, NO_TERMINAL, plain, Terminal } from "../../support/terminal.js";

let files = 0;

/**
 * A shell with job control in which gpt2 runs as a job. sh (dash on Debian) leaves the terminal as the job left it;
 * bash would set its own modes.
 */
class Shell extends Terminal {
  readonly saved = join(TEMPORARY, `jobs ${++files}.jsonl`);

  constructor(shell = "exec sh -i") {
    const gpt2 = `'${process.execPath}' '${BIN}' interactive --model_name '${MICRO}' --seed 1`;
    super([], { env: { XDG_DATA_HOME: dataFolder(), GPT2: gpt2, PS1: "$ " } }, ["sh", "-c", shell]);
  }

  /** Waits until the shell asks for a command. */
  async asks(): Promise<string> {
    return this.shows(/(^|\n)\S*[$#] $/);
  }

  /** Runs gpt2 with these options, and what may stand behind it, and waits for its prompt. */
  async runs(...args: string[]): Promise<void> {
    this.type(`eval $GPT2 ${args.join(" ")}\r`);
    await this.shows(PROMPT);
  }

  /** Waits until the shell has the terminal again, with echo, whole lines, signals, and pastes as they are. */
  async hasTerminal(): Promise<void> {
    await this.shows(/Stopped/);
    this.type("stty -a; echo AFT''ER\r");
    const modes = await this.shows(/AFTER\r?\n\S*[$#] $/);
    for (const mode of ["icanon", "echo", "isig", "icrnl", "opost"])
      assert.match(modes, new RegExp(`[ \\n]${mode}\\b`));
    assert.ok(this.raw.lastIndexOf(PASTE_OFF) > this.raw.lastIndexOf(PASTE_ON), "pastes are still marked");
  }

  async saves(): Promise<string[]> {
    this.type(`/save ${this.saved}\r`);
    await this.shows(/wrote [\s\S]*Model prompt >>> $/);
    return parseLines(await readFile(this.saved, "utf8")).map(({ prompt }) => prompt);
  }

  /** Leaves gpt2, then the shell. */
  async leaves(): Promise<void> {
    this.type("/quit\r");
    await this.asks();
    this.type("echo code=$?\r");
    await this.shows(/code=0\r?\n/);
    this.type("exit\r");
    await this.ends();
  }
}

describe("Ctrl-Z and fg", { concurrency: 2, skip: NO_TERMINAL }, () => {
  test("at the prompt: the shell gets its terminal; then the typed line goes on, again and again", async () => {
    const shell = new Shell();
    await shell.runs("--length", "4");
    shell.type("abc");
    await shell.shows(/abc$/);
    for (const more of ["def", "g"]) {
      shell.type(CTRL_Z);
      await shell.hasTerminal();
      shell.type("fg\r");
      await shell.shows(/Model prompt >>> abc\w*$/);
      assert.ok(
        shell.raw.lastIndexOf(PASTE_ON) > shell.raw.lastIndexOf(PASTE_OFF),
        "pastes are marked again",
      );
      shell.type(more);
      await shell.shows(new RegExp(`${more}$`));
    }
    shell.type("\r");
    await shell.shows(PROMPT);
    assert.deepEqual(await shell.saves(), ["abcdefg"]);
    await shell.leaves();
  });

  test("a line of several rows is shown again below what the shell wrote, and erases nothing of it", async () => {
    const shell = new Shell();
    await shell.runs("--length", "4");
    shell.type("x".repeat(200));
    await shell.shows(/x{17}$/);
    shell.type(CTRL_Z);
    await shell.hasTerminal();
    const before = shell.raw.length;
    shell.type("fg\r");
    await shell.shows(/Model prompt >>> x{200}$/);
    shell.type("y");
    await shell.shows(/y$/); // whatever was drawn again would stand before it
    assert.equal(plain(shell.raw.slice(before)).split("Model prompt >>>").length, 2, "shown once");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: moves the cursor up
    assert.doesNotMatch(shell.raw.slice(before), /\x1b\[\d*A/);
    shell.type(CTRL_C);
    await shell.asks();
    shell.type("exit\r");
    await shell.ends();
  });

  test("while a sample is written: it stands still, then goes on; Ctrl-C returns to the prompt", async () => {
    const shell = new Shell();
    await shell.runs(...ENDLESS);
    shell.type("abc\r");
    await shell.shows(/SAMPLE 1 =+\r\n[\s\S]{10}/);
    shell.type(CTRL_Z);
    await shell.hasTerminal();
    shell.type("echo LA''TER\r");
    assert.match(await shell.asks(), /^echo LA''TER\r\nLATER\r\n[$#] $/, "text comes while it is stopped");
    shell.type("fg\r");
    await shell.shows(/[\s\S]{1000}/);
    shell.type(CTRL_C);
    await shell.shows(/interrupted\r\n={80}\r\nModel prompt >>> $/);
    assert.deepEqual(await shell.saves(), ["abc"]);
    await shell.leaves();
  });

  test("the whole job stops: a pipe behind it, too", async () => {
    const shell = new Shell();
    await shell.runs("--length", "4", '"|"', "cat");
    shell.type("ab");
    await shell.shows(/ab$/);
    shell.type(CTRL_Z);
    await shell.hasTerminal();
    shell.type("fg\r");
    await shell.shows(/Model prompt >>> ab$/);
    shell.type("\r");
    await shell.shows(/length reached/);
    shell.type(CTRL_D);
    await shell.asks();
    shell.type("exit\r");
    await shell.ends();
  });

  for (const [signal, how] of [
    ["TSTP", "exec sh -i"],
    ["STOP", "exec bash --norc --noprofile -i"], // nothing can be done before it: the shell must
  ]) {
    test(`kill -${signal} from elsewhere, then fg`, async () => {
      const shell = new Shell(how);
      shell.type(`echo $$ > '${shell.saved}.pid'\r`);
      await shell.runs("--length", "4");
      const sid = (await readFile(`${shell.saved}.pid`, "utf8")).trim();
      shell.type("abc");
      await shell.shows(/abc$/);
      const { stdout } = spawnSync("pgrep", ["-P", sid], { encoding: "utf8" });
      for (const more of ["d", "e"]) {
        process.kill(Number(stdout.trim()), `SIG${signal}`);
        await shell.shows(/Stopped/);
        if (signal === "TSTP") assert.ok(shell.raw.lastIndexOf(PASTE_OFF) > shell.raw.lastIndexOf(PASTE_ON));
        shell.type("fg\r");
        await shell.shows(/Model prompt >>> [a-e]+$/);
        shell.type(`${LEFT}${more}`);
        await shell.shows(new RegExp(`${more}[a-e]+$`));
      }
      assert.doesNotMatch(shell.raw, /\^\[/, "the terminal itself shows the keys that were typed");
      shell.type("\r");
      await shell.shows(PROMPT);
      assert.deepEqual(await shell.saves(), ["abedc"]);
      await shell.leaves();
    });
  }

  test("where no shell could continue it, Ctrl-Z does nothing", async () => {
    const session = await started(["--seed", "1", "--length", "4"]);
    session.type(`ab${CTRL_Z}`);
    await session.shows(/ab[\s\S]*Model prompt >>> ab$/);
    session.type("c");
    await session.shows(/c$/);
    await session.line("");
    assert.deepEqual(await session.prompts(), ["abc"]);
    await session.leave();
  });
});
