import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { CTRL_Z, dataFolder, ENDLESS, Interactive, LEFT, PROMPT, UP } from "../../support/interactive.js";
import { screenRows } from "../../support/screen.js";
import { micro, TEMPORARY } from "../../support/spawn.js";
import { CTRL_C, CTRL_D, NO_TERMINAL, Terminal } from "../../support/terminal.js";

const OPTIONS = ["--seed", "1", "--length", "4"];
let ttys = 0;

/** A session on a terminal of this many columns, which can be resized. */
class Sized extends Interactive {
  private readonly tty: string;

  private constructor(args: readonly string[], columns: number) {
    const tty = join(TEMPORARY, `tty ${++ttys}`);
    super(args, {}, ["sh", "-c", `tty > '${tty}'; stty cols ${columns}; exec "$@"`, "sh"]);
    this.tty = tty;
  }

  static async of(columns: number, args: readonly string[] = OPTIONS): Promise<Sized> {
    const session = new Sized(args, columns);
    await session.shows(PROMPT);
    return session;
  }

  resize(columns: number): void {
    const file = process.platform === "darwin" ? "-f" : "-F";
    const tty = readFileSync(this.tty, "utf8").trim();
    assert.equal(spawnSync("stty", [file, tty, "cols", String(columns)]).status, 0);
  }

  /** Waits until the prompt and what was typed are shown as a terminal of so many columns breaks them into rows. */
  async showsRows(columns: number, typed: string): Promise<void> {
    const rows = `Model prompt >>> ${typed}`.match(new RegExp(`.{1,${columns}}`, "g")) ?? [];
    const wanted = rows.map((row) => row.trimEnd());
    await this.becomes(() => isDeepStrictEqual(this.rows(columns), wanted));
  }

  /** The rows that are shown from the last prompt on, for a terminal that never had another width. */
  rows(columns: number): string[] {
    const rows = screenRows(this.raw, columns);
    while (rows.at(-1) === "") rows.pop(); // the cursor's row, below a full one
    return rows.slice(rows.findLastIndex((row) => row.startsWith("Model prompt".slice(0, columns))));
  }
}

describe("sizes of the terminal", { concurrency: 2, skip: NO_TERMINAL }, () => {
  for (const columns of [10, 17, 3]) {
    test(`${columns} columns: typing, editing, recalling and pasting over several rows`, async () => {
      const session = await Sized.of(columns);
      session.type("abcdefghijklmnop");
      await session.shows(/p ?$/);
      session.type(`${LEFT}${LEFT}X`);
      await session.shows(/Xop/);
      session.type("\x1b[HY");
      await session.shows(/YabcdefghijklmnXop/);
      session.type("\x1b[FZ");
      await session.showsRows(columns, "YabcdefghijklmnXopZ");
      await session.line("");
      session.type(UP);
      await session.shows(/YabcdefghijklmnXopZ ?$/);
      session.type("\x1b[H");
      session.type("\x1b[200~one two three\rfour\x1b[201~");
      await session.shows(/fourYabc/);
      await session.showsRows(columns, "one two three\u240afourYabcdefghijklmnXopZ");
      await session.line("");
      const typed = "YabcdefghijklmnXopZ";
      assert.deepEqual(await session.prompts(), [typed, `one two three\nfour${typed}`]);
      await session.leave();
    });
  }

  test("resized while a line is typed: it is drawn anew, never over what is above, and goes on", async () => {
    const session = await Sized.of(80);
    session.type("abcdefghijklmnop");
    await session.shows(/p ?$/);
    const redrawn = async (columns: number): Promise<number> => {
      const before = session.raw.length;
      session.resize(columns);
      await session.shows(/Model prompt >>> abcdefghijklmnop ?$/);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: moves the cursor up
      return Number(/\x1b\[(\d*)A/.exec(session.raw.slice(before))?.[1] ?? 0);
    };
    assert.equal(await redrawn(10), 0);
    assert.equal(await redrawn(20), 1);
    assert.equal(await redrawn(12), 1);
    assert.equal(await redrawn(200), 0);
    session.type(`${LEFT}${LEFT}Q`);
    await session.line("");
    assert.deepEqual(await session.prompts(), ["abcdefghijklmnQop"]);
    await session.leave();
  });

  test("resized while a sample is written: nothing is drawn into it", async () => {
    const session = await Sized.of(80, ["--seed", "1", ...ENDLESS]);
    session.type("a\r");
    await session.shows(/SAMPLE 1 =+\r\n[\s\S]{10}/);
    for (const columns of [10, 200, 40]) {
      session.resize(columns);
      await session.shows(/[\s\S]{200}/);
    }
    session.type(CTRL_C);
    const rest = await session.shows(PROMPT);
    assert.equal(session.raw.split("Model prompt >>> ").length, 3, "once before the sample, once after");
    assert.match(rest, /interrupted\r\n={80}\r\nModel prompt >>> $/);
    await session.leave();
  });

  test("a terminal that does not tell its width, and one of a single column", async () => {
    for (const columns of [0, 1]) {
      const session = await Sized.of(columns);
      await session.line("ab");
      assert.deepEqual(await session.prompts(), ["ab"]);
      await session.leave();
    }
  });

  test("TERM=dumb: no control sequence, whatever is typed, pasted or done to the terminal", async () => {
    const session = new Terminal(
      ["interactive", ...micro(...OPTIONS)],
      { env: { TERM: "dumb", XDG_DATA_HOME: dataFolder() } },
      ["sh", "-c", 'stty cols 10; exec "$@"', "sh"],
    );
    await session.shows(PROMPT);
    for (const line of [
      "abcdefghijklmnopqrst",
      `ab${LEFT}c`,
      `${UP}`,
      `d${CTRL_Z}e`,
      '"""\rx\r"""',
      "/show",
      "/nothing",
    ]) {
      session.type(`${line}\r`);
      await session.shows(/\n[\s\S]*Model prompt >>> $/);
    }
    session.type(CTRL_D);
    assert.equal((await session.ends()).code, 0);
    // What the terminal itself echoes as typed is not ours: readline echoes no arrow key.
    assert.ok(!session.raw.includes("\x1b"), JSON.stringify(session.raw));
  });
});
