import assert from "node:assert/strict";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  ENDLESS,
  generated,
  Interactive,
  LEFT,
  OPTIONS,
  PROMPT,
  pasted,
  pause,
  posix,
  started,
  UP,
} from "../../support/interactive.js";
import { micro, TEMPORARY } from "../../support/spawn.js";
import { CTRL_C, CTRL_D, Terminal } from "../../support/terminal.js";

describe("prompts of several lines", posix, () => {
  test("pasted lines are one prompt, sent by Enter; the paste can be cut anywhere", async () => {
    const session = await started();
    session.type(pasted("one\rtwo\r\n/three\nfour\r"));
    await session.shows(/one␊two␊\/three␊four$/);
    const answer = await session.line("");
    assert.match(answer, /^={40} SAMPLE 1 ={40}\r\n/);
    for (const piece of ["x\x1b", "[20", "0~a\tb\x1b[31m\x07", "\rc\x1b[2", "01~y"]) {
      session.type(piece);
      await pause(20);
    }
    await session.line("");
    // In the middle of a line; a short paste waits for Enter, too.
    session.type(`ab${LEFT}`);
    session.type(pasted("é\r東"));
    session.type(`Z${LEFT}${LEFT}Y`);
    await session.shows(/Y東Zb/);
    await session.line("");
    session.type(pasted("single\r"));
    await session.shows(/single$/);
    await session.line("");
    assert.deepEqual(
      (await session.records()).map(({ prompt }) => prompt),
      ["one\ntwo\n/three\nfour", "xa\tb[31m\ncy", "aé\nY東Zb", "single"],
    );
    const { text } = (await session.records())[0];
    assert.equal(text, await generated("one\ntwo\n/three\nfour", ...OPTIONS));
    await session.leave();
  });

  test("a paste whose end never comes does not lock the person out", async () => {
    const session = await started();
    session.type("\x1b[200~never ended");
    // Read together with the paste, a Ctrl-C is part of it: the person presses it again.
    let over = false;
    const ended = session.ends().finally(() => (over = true));
    while (!over) {
      session.type(CTRL_C);
      await Promise.race([ended, pause(100)]);
    }
    // One more while it leaves, and has given the terminal back, ends it as SIGINT does.
    const SIGINT = 256 - 2;
    assert.ok([0, SIGINT].includes((await ended).code!), `exit code ${(await ended).code}`);
  });

  test("pasting while a sample runs waits for the prompt", async () => {
    const session = await started(["--seed", "1", ...ENDLESS]);
    session.type("a\r");
    await session.shows(/SAMPLE 1 =+\r\n[\s\S]{10}/);
    session.type(`z${pasted("p\rq")}y`);
    await session.shows(/[\s\S]{40}/);
    session.type(CTRL_C);
    const rest = await session.shows(/zp␊qy$/);
    assert.match(rest, /interrupted\r\n={80}\r\nModel prompt >>> /);
    session.type("\r");
    await session.shows(/SAMPLE 1 =+\r\n[\s\S]{10}/);
    session.type(CTRL_C);
    await session.shows(PROMPT);
    assert.deepEqual(
      (await session.records()).map(({ prompt }) => prompt),
      ["a", "zp\nqy"],
    );
    await session.leave();
  });

  test('a block between lines of """: no command in it; Ctrl-C drops it, Ctrl-D leaves', async () => {
    const session = await started();
    session.type('"""\r');
    await session.shows(/\.\.\. $/);
    session.type("/quit\r\r  two\r");
    await session.shows(/\.\.\. $/);
    await session.line(' """ ');
    session.type('"""\r');
    await session.shows(/\.\.\. $/);
    session.type("dropped");
    await session.shows(/dropped$/);
    session.type(CTRL_C);
    await session.shows(PROMPT);
    await session.line("after");
    session.type('"""\r"""\r');
    await session.shows(/Prompt should not be empty!\r\nModel prompt >>> $/);
    session.type('"""\r/help\r"""\r');
    await session.shows(/={80}\r\nModel prompt >>> $/);
    assert.deepEqual(
      (await session.records()).map(({ prompt }) => prompt),
      ["/quit\n\n  two", "after", "/help"],
    );
    session.type('"""\rx\r');
    await session.shows(/\.\.\. $/);
    session.type(CTRL_D);
    assert.equal((await session.ends()).code, 0);
  });
});

describe("editing and history", posix, () => {
  const file = (session: Interactive): string => join(session.data, "gpt2", "history");

  test("lines are edited and recalled; kept between runs, for the user alone; blocks and pastes whole", async () => {
    const first = await started();
    first.type(`bd${LEFT}c${LEFT}${LEFT}a\x1b[F!`);
    await first.line("");
    await first.line('"""\rx\ry\r"""');
    await first.line("//slash");
    first.type(`${UP}${UP}`);
    await first.shows(/x␊y$/);
    first.type(`${UP}`);
    await first.shows(/abcd!$/);
    await first.line("");
    const prompts = (await first.records()).map(({ prompt }) => prompt);
    assert.deepEqual(prompts, ["abcd!", "x\ny", "/slash", "abcd!"]);
    await first.leave();
    assert.equal((await stat(file(first))).mode & 0o777, 0o600);
    assert.equal((await stat(join(first.data, "gpt2"))).mode & 0o777, 0o700);

    const second = await started(OPTIONS, { XDG_DATA_HOME: first.data });
    second.type(UP);
    await second.shows(/\/quit$/);
    second.type(`${UP}${UP}${UP}${UP}`);
    await second.shows(/x␊y$/);
    await second.line("");
    assert.deepEqual((await second.records())[0].prompt, "x\ny");
    await second.leave();
  });

  test("--no_history and $GPT2_NO_HISTORY: nothing is read or kept, arrows still recall this session", async () => {
    const data = join(TEMPORARY, "kept");
    await mkdir(join(data, "gpt2"), { recursive: true });
    const kept = '"an old line"\n';
    await writeFile(join(data, "gpt2", "history"), kept);
    for (const [args, env] of [
      [["--no_history"], {}],
      [["--no-history"], {}],
      [[], { GPT2_NO_HISTORY: "1" }],
    ] as const) {
      const session = await started([...OPTIONS, ...args], { ...env, XDG_DATA_HOME: data });
      await session.line("new");
      session.type(UP);
      await session.shows(/new$/);
      session.type(UP); // beyond the oldest line there is an empty one
      assert.match(await session.line(""), /Prompt should not be empty!/);
      await session.leave();
      assert.equal(await readFile(join(data, "gpt2", "history"), "utf8"), kept);
    }
  });

  test("a history that cannot be read or written is told once and stops nothing", async () => {
    const data = join(TEMPORARY, "no data");
    await writeFile(data, "a file where a folder should be");
    const session = new Interactive(OPTIONS, { XDG_DATA_HOME: data });
    await session.shows(PROMPT);
    await session.line("one");
    await session.line("two");
    session.type(UP);
    await session.shows(/two$/);
    await session.line("");
    const stdout = session.raw;
    assert.equal((stdout.match(/warning: cannot write the history to [^\n]*--no_history/g) ?? []).length, 1);
    await session.leave();
    assert.equal(await readFile(data, "utf8"), "a file where a folder should be");
  });

  test("the last 1000 are kept; lines that are not ours are no obstacle; ~/.local/share without XDG", async () => {
    const home = join(TEMPORARY, "a home");
    const folder = join(home, ".local", "share", "gpt2");
    await mkdir(folder, { recursive: true });
    const lines = Array.from({ length: 1500 }, (_, i) => `"line ${i}"`);
    lines[1490] = "not JSON";
    lines[1495] = '{"a":1}';
    await writeFile(join(folder, "history"), lines.join("\n")); // and no end of the last line
    const session = new Terminal(["interactive", ...micro(...OPTIONS)], { env: { HOME: home } });
    await session.shows(PROMPT);
    session.type(`${UP}`);
    await session.shows(/line 1499$/);
    session.type(" again\r");
    await session.shows(PROMPT);
    session.type(CTRL_D);
    await session.ends();
    const after = (await readFile(join(folder, "history"), "utf8")).split("\n");
    assert.deepEqual([after.length, after[999], after[1000]], [1001, '"line 1499 again"', ""]);
    assert.equal(after[0], '"line 501"');
    assert.equal((await stat(join(folder, "history"))).mode & 0o777, 0o600);
  });
});
