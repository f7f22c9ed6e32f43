import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ENDLESS, LEFT, pause, started, UP } from "../../support/interactive.js";
import { TEMPORARY } from "../../support/spawn.js";
import { CTRL_C, NO_TERMINAL } from "../../support/terminal.js";

const OPTIONS = ["--seed", "1", "--length", "2"];

describe("keys at the prompt", { concurrency: 2, skip: NO_TERMINAL }, () => {
  test("Escape alone is a key that does nothing; what is typed later is not taken for a part of it", async () => {
    const session = await started(OPTIONS);
    session.type("ab\x1b");
    await session.shows(/ab$/);
    await pause(900); // longer than readline waits for the rest of a key: nothing else tells that it has given up
    session.type("c");
    await session.shows(/c$/);
    await session.line("");
    // Soon before another key it is Alt: Escape b goes to the word's beginning.
    session.type("one two\x1b");
    session.type("b");
    session.type("X");
    await session.shows(/Xtwo/);
    await session.line("");
    assert.deepEqual(await session.prompts(), ["abc", "one Xtwo"]);
    await session.leave();
  });

  test("a letter or an arrow key whose bytes come one by one", async () => {
    const session = await started(OPTIONS);
    for (const byte of Buffer.from(`東é😀${LEFT}x`)) {
      session.type(Uint8Array.of(byte));
      await pause(20);
    }
    await session.line("");
    assert.deepEqual(await session.prompts(), ["東éx😀"]);
    await session.leave();
  });

  test("lines that end in CRLF, as some terminals paste them, are one line each", async () => {
    const session = await started(OPTIONS);
    session.type("one\r\ntwo\r\n");
    await session.shows(/SAMPLE 1[\s\S]*SAMPLE 1[\s\S]*Model prompt >>> $/);
    assert.deepEqual(await session.prompts(), ["one", "two"]);
    assert.doesNotMatch(session.raw, /should not be empty/);
    await session.leave();
  });

  test("what is typed while a sample is written is not shown in it; a paste without an end is kept", async () => {
    const session = await started(["--seed", "1", ...ENDLESS]);
    session.type("a\r");
    await session.shows(/SAMPLE 1 =+\r\n[\s\S]{10}/);
    session.type("QWERTYUIOP");
    session.type("\x1b[200~zxcvbnm\x1b[20");
    await session.shows(/[\s\S]{400}/);
    assert.doesNotMatch(session.raw, /QWERTY|zxcv/);
    session.type(CTRL_C);
    await session.shows(/interrupted\r\n={80}\r\nModel prompt >>> [\s\S]*QWERTYUIOPzxcvbnm\[20$/);
    session.type(CTRL_C);
    assert.equal((await session.ends()).code, 0);
  });

  test("a line of a block that looks like a command is recalled as it would be typed", async () => {
    const session = await started(OPTIONS);
    await session.line('  """ \r/help\r"""');
    session.type(UP);
    await session.shows(/\/\/help$/);
    await session.line("");
    assert.deepEqual(await session.prompts(), ["/help", "/help"]);
    await session.leave();
  });

  test("/save ~/FILE; one sample is one sample", async () => {
    mkdirSync(join(TEMPORARY, "home"), { recursive: true });
    const session = await started(OPTIONS);
    await session.line("of");
    const said = await session.line("/save ~/a session.txt");
    const path = join(TEMPORARY, "home", "a session.txt");
    assert.ok(said.includes(`wrote ${path}: 1 sample\r\n`), said);
    assert.match(readFileSync(path, "utf8"), /^Model prompt >>> of\n={40} SAMPLE 1 /);
    await session.leave();
  });
});
