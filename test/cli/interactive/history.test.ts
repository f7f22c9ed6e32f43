import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { dataFolder, PROMPT, started, UP } from "../../support/interactive.js";
import { CTRL_C, CTRL_D, NO_TERMINAL } from "../../support/terminal.js";

const OPTIONS = ["--seed", "1", "--length", "1", "--quiet"];
const KEPT = 1000;

/** A data folder and the history in it. */
function history(lines: readonly string[] = []): { data: string; folder: string; file: string } {
  const data = dataFolder();
  const folder = join(data, "gpt2");
  const file = join(folder, "history");
  mkdirSync(folder, { recursive: true });
  if (lines.length > 0) writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return { data, folder, file };
}

/** The lines of a history, every one whole. */
function linesOf(file: string): string[] {
  const text = readFileSync(file, "utf8");
  assert.ok(text.endsWith("\n"), "the last line is whole");
  return text
    .slice(0, -1)
    .split("\n")
    .map((line) => JSON.parse(line) as string);
}

const old = (count: number): string[] => Array.from({ length: count }, (_, i) => `old ${i}`);

describe("several sessions with one history", { concurrency: 2, skip: NO_TERMINAL }, () => {
  for (const [what, before] of [
    ["a new file", 0],
    ["a file that becomes full meanwhile", KEPT - 10],
    ["a full file", KEPT],
  ] as const) {
    test(`${what}: no line is lost or mixed with another, however they end`, async () => {
      const { data, folder, file } = history(old(before));
      const sessions = await Promise.all([1, 2, 3].map(() => started(OPTIONS, { XDG_DATA_HOME: data })));
      const typed = sessions.map((_, who) =>
        Array.from({ length: 12 }, (_, i) => `session ${who} line ${i} 東京`),
      );
      // All at once; a prompt is answered before the next is read.
      await Promise.all(
        sessions.map(async (session, who) => {
          for (const line of typed[who]) session.type(`${line}\r`);
          await session.shows(/(SAMPLE 1 [\s\S]*){12}Model prompt >>> $/);
        }),
      );
      sessions[1].signal("SIGTERM");
      await sessions[1].ends();
      sessions[0].type("last of 0\r");
      await sessions[0].shows(PROMPT);
      sessions[2].type(CTRL_D);
      await sessions[2].ends();
      sessions[0].type(CTRL_C);
      await sessions[0].ends();
      const kept = linesOf(file);
      assert.equal(kept.length, Math.min(KEPT, before + 37));
      for (const [who, lines] of typed.entries()) {
        const own = kept.filter((line) => line.startsWith(`session ${who} `));
        assert.deepEqual(own, lines, `session ${who}`);
      }
      assert.equal(kept.at(-1), "last of 0");
      assert.deepEqual(kept.slice(0, kept.length - 37), old(before).slice(before - (kept.length - 37)));
      assert.deepEqual(readdirSync(folder), ["history"], "no lock and no half file stays");
    });
  }

  test("a session that is killed loses nothing of what it or another one typed", async () => {
    const { data, file } = history();
    const [one, two] = await Promise.all([
      started(OPTIONS, { XDG_DATA_HOME: data }),
      started(OPTIONS, { XDG_DATA_HOME: data }),
    ]);
    await one.line("of one");
    await two.line("of two");
    one.signal("SIGHUP");
    await one.ends();
    await two.line("after");
    await two.leave();
    assert.deepEqual(linesOf(file), ["of one", "of two", "after", "/quit"]);
    const three = await started(OPTIONS, { XDG_DATA_HOME: data });
    three.type(`${UP}${UP}${UP}`);
    await three.shows(/of two$/);
    three.type(CTRL_C);
    await three.ends();
  });

  test("a lock that a crash left is no obstacle, old or new, and the limit is kept again later", async () => {
    for (const age of [0, 60]) {
      const { data, file } = history(old(KEPT));
      const lock = `${file}.lock`;
      const session = await started(OPTIONS, { XDG_DATA_HOME: data });
      writeFileSync(lock, "");
      const made = Date.now() / 1000 - age;
      utimesSync(lock, made, made);
      await session.line("one");
      assert.equal(linesOf(file).at(-1), "one");
      // With a new lock someone may be at work there: the line is added, and none is taken out until the file is free.
      assert.equal(existsSync(lock), age === 0);
      assert.equal(linesOf(file).length, age === 0 ? KEPT + 1 : KEPT);
      if (age === 0) utimesSync(lock, 0, 0);
      await session.line("two");
      await session.line("three");
      await session.leave();
      assert.deepEqual(linesOf(file).slice(-4), ["one", "two", "three", "/quit"]);
      assert.equal(linesOf(file).length, KEPT);
      assert.ok(!existsSync(lock));
    }
  });

  test("a line that a crash left half, a file that is gone, a link to a file elsewhere", async () => {
    const { data, file } = history(["whole"]);
    writeFileSync(file, '"whole"\n"ha');
    const session = await started(OPTIONS, { XDG_DATA_HOME: data });
    await session.line("one");
    assert.equal(readFileSync(file, "utf8"), '"whole"\n"ha\n"one"\n');
    assert.equal(statSync(file).mode & 0o777, 0o600, "its user's alone by now");
    writeFileSync(file, "");
    await session.line("two");
    assert.deepEqual(linesOf(file), ["two"]);
    await session.leave();

    const linked = history();
    const elsewhere = join(linked.data, "elsewhere");
    writeFileSync(
      elsewhere,
      old(KEPT)
        .map((line) => `"${line}"\n`)
        .join(""),
    );
    symlinkSync(elsewhere, linked.file);
    const other = await started(OPTIONS, { XDG_DATA_HOME: linked.data });
    await other.line("one");
    await other.leave();
    assert.deepEqual(linesOf(elsewhere).slice(-3), ["old 999", "one", "/quit"]);
    assert.equal(linesOf(elsewhere).length, KEPT);
    assert.deepEqual(readFileSync(linked.file), readFileSync(elsewhere));
  });

  test("what is the newest line already, empty or very long is not added; control characters are not recalled", async () => {
    const { data, file } = history(["first", "\x1b[31mred\x07 line\x9b"]);
    const session = await started(OPTIONS, { XDG_DATA_HOME: data });
    session.type(UP);
    await session.shows(/\[31mred line$/);
    assert.ok(!session.raw.includes("\x1b[31m"));
    session.type("\x15");
    await session.line("same");
    await session.line("same");
    await session.line("   ");
    await session.line("");
    for (const [letter, length] of [
      ["x", 20_001],
      ["y", 20_000],
    ] as const) {
      session.type(`\x1b[200~${letter.repeat(length)}\x1b[201~`);
      await session.shows(new RegExp(`${letter}{${length}}`));
      session.type("\r");
      await session.shows(/SAMPLE 1[\s\S]*Model prompt >>> $/);
    }
    session.type(`${UP}${UP}`); // in this session both can be recalled
    await session.shows(/x{20001}/);
    session.type("\x05\x15");
    await session.leave();
    assert.deepEqual(linesOf(file).slice(2), ["same", "y".repeat(20_000), "/quit"]);
  });
});
