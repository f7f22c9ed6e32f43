import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { sideBySide } from "../../../dist/src/cli/interactive/columns.js";
import { generateSamples, loadModel } from "../../../dist/src/index.js";
import { isRunning } from "../../../dist/src/system/lock.js";
import {
  dataFolder,
  ENDLESS,
  type Interactive,
  OPTIONS,
  PROMPT,
  posix,
  started,
} from "../../support/interactive.js";
import { assertFails, gpt2, MICRO, micro, TEMPORARY } from "../../support/spawn.js";
import { CTRL_C } from "../../support/terminal.js";

const model = await loadModel(MICRO);
after(() => model.dispose());

/** The text of the n-th sample that `generate` writes with a seed and the session's length. */
async function seeded(prompt: string, seed: number, n = 1): Promise<string> {
  let last = "";
  for await (const { text } of generateSamples(model, prompt, { seed, length: 8, nsamples: n })) last = text;
  return last;
}

const texts = async (session: Interactive): Promise<string[]> =>
  (await session.records()).map(({ prompt, text }) => prompt + text);

const file = (name: string, text: string): string => {
  const path = join(TEMPORARY, name);
  writeFileSync(path, text);
  return path;
};

describe("the writer's loop", posix, () => {
  test("/undo takes steps back, one by one; /more goes on from what is left", async () => {
    const session = await started();
    const [one, two] = [`of${await seeded("of", 1)}`, `the${await seeded("the", 1)}`];
    await session.line("of");
    await session.line("the");
    assert.deepEqual(await texts(session), [one, two]);
    assert.match((await session.command("/undo"))[0], /^back to: of/);
    assert.deepEqual(await texts(session), [one]);
    await session.line("/more");
    assert.deepEqual(await texts(session), [one, one + (await seeded(one, 1))]);
    await session.line("/undo");
    assert.deepEqual(await session.command("/undo"), ["nothing left: type a prompt"]);
    assert.deepEqual(await session.command("/undo"), ["there is nothing to undo: type a prompt"]);
    assert.deepEqual(await session.command("/more"), ["there is nothing to continue yet: type a prompt"]);
    assert.deepEqual(await session.command("/retry"), ["there is no sample to write again: type a prompt"]);
    await session.leave();
  });

  test("/retry writes the last sample with the next seed, /retry -1 with the one before", async () => {
    const session = await started();
    await session.line("the");
    assert.match(await session.line("/retry"), /, seed 2, /);
    assert.deepEqual(await texts(session), [`the${await seeded("the", 2)}`]);
    assert.match(await session.line("/retry 5"), /, seed 7, /);
    assert.match(await session.line("/retry -7"), /, seed 0, /);
    assert.deepEqual(await texts(session), [`the${await seeded("the", 0)}`]);
    assert.deepEqual(await session.command("/retry -1"), ["there is no seed -1"]);
    assert.deepEqual(await texts(session), [`the${await seeded("the", 0)}`]);
    assert.match((await session.command("/retry x"))[0], /^\/retry takes a whole number, .*"x"$/);
    await session.leave();
  });

  test("/choose shows candidates side by side; a key takes one, Escape and Ctrl-C none", async () => {
    const session = await started();
    const wanted = [1, 2, 3].map((n) => seeded("the", 1, n));
    await session.line("the");
    session.type("/choose 3\r");
    const shown = await session.shows(/1-3 takes one, Escape none: $/);
    assert.match(shown, /\[1\] {5,}\[2\] {5,}\[3\]/);
    session.type("x2");
    const after = await session.shows(/\n[\s\S]*Model prompt >>> {1,2}$/);
    assert.match(after, /= SAMPLE 2 =/);
    assert.deepEqual(await texts(session), [`the${await wanted[1]}`]);
    for (const key of ["\x1b", CTRL_C]) {
      session.type("/choose 2\r");
      await session.shows(/1-2 takes one, Escape none: $/);
      session.type(key);
      assert.match(await session.shows(/Model prompt >>> {1,2}$/), /nothing was changed/);
    }
    assert.deepEqual(await texts(session), [`the${await wanted[1]}`]);
    for (const wrong of ["/choose", "/choose 1", "/choose 10", "/choose x"])
      assert.match((await session.command(wrong))[0], /^\/choose takes a number from 2 to 9/);
    await session.leave();
  });

  test("/choose is stopped by Ctrl-C while it computes", async () => {
    const session = await started(ENDLESS);
    session.type("the\r");
    await session.shows(/SAMPLE 1[\s\S]*\n./);
    session.type(CTRL_C);
    await session.shows(PROMPT);
    session.type("/choose 3\r");
    await session.shows(/choose 3\r+\n/);
    session.type(CTRL_C);
    assert.match(await session.shows(PROMPT), /nothing was changed/);
    await session.leave();
  });

  test("/load takes a file's text, /more goes on from it, /choose chooses what follows", async () => {
    const session = await started();
    const path = file("begun.txt", "of the\r\nking\n");
    assert.match(
      (await session.command(`/load ${path}`))[0],
      /^loaded .*begun\.txt: \d+ tokens, the context has 64/,
    );
    await session.line("/more");
    const text = "of the\nking";
    assert.deepEqual(await texts(session), [text + (await seeded(text, 1))]);
    await session.line("/undo");
    session.type("/choose 2\r");
    await session.shows(/Escape none: $/);
    session.type("2");
    await session.shows(PROMPT);
    assert.deepEqual(await texts(session), [text + (await seeded(text, 1, 2))]);
    assert.match((await session.command("/load"))[0], /^\/load needs a file name/);
    assert.match(
      (await session.command(`/load ${join(TEMPORARY, "none")}`))[0],
      /cannot read .*none: no such file/,
    );
    assert.match((await session.command(`/load ${file("void.txt", "\n")}`))[0], /is empty/);
    await session.leave();
  });

  test("/tokens shows the last text's tokens: gpt2 tokenize's ids", async () => {
    const session = await started();
    assert.match((await session.command("/tokens"))[0], /^there is no text yet/);
    await session.line("the king");
    const shown = await session.command("/tokens");
    const [text] = await texts(session);
    const ids = model.encoder.encode(text);
    const all = shown.slice(0, -1).join("  ");
    assert.deepEqual(
      [...all.matchAll(/(\d+) "(?:[^"\\]|\\.)*"/g)].map(([, id]) => Number(id)),
      ids,
    );
    assert.equal(shown.at(-1), `${ids.length} tokens; the context has 64`);
    await session.leave();
  });

  test("/why shows the last sample's tokens with their alternatives: what generateSamples says", async () => {
    const session = await started();
    assert.match((await session.command("/why"))[0], /^there is no sample yet/);
    await session.line("the king");
    const options = { seed: 1, length: 8, logprobs: 5 };
    for await (const { token_logprobs = [] } of generateSamples(model, "the king", options)) {
      const wanted = token_logprobs.map(({ logprob, id, rank, top }) => [
        logprob.toFixed(4),
        String(id),
        String(rank),
        ...top.map((each) => each.logprob.toFixed(4)),
      ]);
      assert.equal(wanted.length, 8);
      const shown = (await session.command("/why")).map((line) => {
        const [, logprob, id, rank, list] = /^ *(\S+) +(\d+) {2}".*" {2}rank (\d+): (.*)$/.exec(line) ?? [];
        return [logprob, id, rank, ...[...list.matchAll(/" (-?[\d.]+)(?=, "|$)/g)].map(([, each]) => each)];
      });
      assert.deepEqual(shown, wanted);
    }
    await session.line("of");
    await session.line("/undo");
    assert.match(
      (await session.command("/why"))[0],
      /^only the sample that was written last is explained: \/retry 0/,
    );
    await session.line("/retry 0");
    assert.equal((await session.command("/why")).length, 8);
    await session.leave();
  });

  test("/edit: the last text in the editor; nothing changes where it gives up", async () => {
    const script = file(
      "editor.mjs",
      `import { readFileSync, writeFileSync } from "node:fs";
       const path = process.argv.at(-1);
       writeFileSync(path, readFileSync(path, "utf8").replace(/^of/, "The king of"));`,
    );
    const editor = `"${process.execPath}" "${script}"`;
    const session = await started(OPTIONS, { VISUAL: editor, EDITOR: "false", TMPDIR: TEMPORARY });
    assert.match((await session.command("/edit"))[0], /^there is nothing to edit yet/);
    await session.line("of");
    const before = `of${await seeded("of", 1)}`;
    assert.match(await session.line("/edit"), /^edited: \d+ tokens/);
    await session.line("/more");
    const after = `The king ${before}`;
    assert.deepEqual(await texts(session), [before, after + (await seeded(after, 1))]);
    assert.match(await session.line("/edit"), /nothing was changed/); // nothing to replace at its beginning
    await session.leave();
    const quitting = await started(OPTIONS, { EDITOR: "false" });
    await quitting.line("of");
    assert.match(await quitting.line("/edit"), /the editor failed: nothing was changed/);
    assert.deepEqual(await texts(quitting), [before]);
    await quitting.leave();
    const none = await started(OPTIONS, { EDITOR: "", VISUAL: "" });
    await none.line("of");
    assert.match(await none.line("/edit"), /there is no editor: set \$VISUAL or \$EDITOR/);
    await none.leave();
    assert.deepEqual(
      readdirSync(TEMPORARY).filter((name) => name.startsWith("gpt2-edit-")),
      [],
    );
  });

  test("/pin stands before every prompt and is shown; alone it goes", async () => {
    const session = await started();
    assert.match(
      (await session.command("/pin Speak, king"))[0],
      /^pinned before every prompt \(\d+ tokens\)/,
    );
    assert.ok((await session.command("/show")).includes("pinned: Speak, king"));
    await session.line("of");
    assert.equal((await session.records())[0].text, await seeded("Speak, king\nof", 1));
    assert.match(
      (await session.command(`/pin ${"much ".repeat(30)}`))[0],
      /^the text has \d+ tokens: pin at most 16/,
    );
    assert.deepEqual(await session.command("/pin"), ["nothing is pinned"]);
    await session.line("of");
    assert.equal((await session.records())[1].text, await seeded("of", 1));
    await session.leave();
  });

  test("a conversation: /undo and /retry take its turns back; what continues a text is refused", async () => {
    const session = await started([...OPTIONS, "--turns"]);
    await session.line("of");
    const first = await session.line("the");
    await session.line("/undo");
    const rate = /[\d.]+ tokens per second/;
    assert.equal((await session.line("the")).replace(rate, ""), first.replace(rate, ""));
    await session.line("/retry");
    assert.equal((await session.line("/retry -1")).replace(rate, ""), first.replace(rate, ""));
    for (const command of ["/more", "/choose 2", "/edit", "/load x", "/pin x"])
      assert.match((await session.command(command))[0], /continues a text, not a conversation/);
    await session.leave();
  });
});

describe("--session", posix, () => {
  const pathOf = (data: string, name: string): string => join(data, "gpt2", "sessions", `${name}.json`);

  test("is gone on with the next day: text, /undo and what is pinned; where it lies is shown", async () => {
    const data = dataFolder();
    const env = { XDG_DATA_HOME: data };
    const args = [...OPTIONS, "--session", "novel"];
    const session = await started(args, env);
    assert.ok(session.raw.includes(`a new session, kept in ${pathOf(data, "novel")}`));
    await session.line("of");
    await session.line("/more");
    await session.line("/pin king");
    const before = await session.records();
    const { pid } = JSON.parse(readFileSync(`${pathOf(data, "novel")}.lock`, "utf8")) as { pid: number };
    session.signal("SIGKILL"); // the terminal goes, with all that runs on it
    await session.ends().catch(() => undefined);
    while (isRunning(pid)) await nextTurn(); // the terminal may be gone before it
    const next = await started(args, env);
    assert.match(next.raw, /novel\.json: 2 steps; the last text ends: /);
    assert.deepEqual(await next.records(), before);
    assert.ok((await next.command("/show")).includes("pinned: king"));
    assert.match((await next.command("/save"))[0], /^the session is kept in .*novel\.json/);
    await next.line("/pin");
    await next.line("/undo");
    await next.line("/more");
    assert.deepEqual(await next.records(), before);
    await next.leave();
    assert.deepEqual(readdirSync(join(data, "gpt2", "sessions")), ["novel.json"]);
  });

  test("has one process at a time", async () => {
    const env = { XDG_DATA_HOME: dataFolder() };
    const args = [...OPTIONS, "--session", "novel"];
    const first = await started(args, env);
    const { Interactive } = await import("../../support/interactive.js");
    const second = await new Interactive(args, env).ends();
    assert.equal(second.code, 1);
    assert.match(
      second.stdout,
      /^gpt2: another gpt2 interactive --session novel is (at work|running) in .*: wait/m,
    );
    await first.leave();
  });

  test("a conversation goes on with what was said", async () => {
    const env = { XDG_DATA_HOME: dataFolder() };
    const whole = await started([...OPTIONS, "--turns"]);
    await whole.line("of");
    await whole.line("the");
    const wanted = await whole.records();
    await whole.leave();
    const args = [...OPTIONS, "--turns", "--session", "talk"];
    const first = await started(args, env);
    await first.line("of");
    await first.leave();
    const second = await started(args, env);
    await second.line("the");
    assert.deepEqual(await second.records(), wanted);
    await second.leave();
  });

  test("what cannot be saved is told, and the session goes on", async () => {
    const data = dataFolder();
    const session = await started([...OPTIONS, "--session", "novel"], { XDG_DATA_HOME: data });
    await session.line("of");
    rmSync(join(data, "gpt2", "sessions"), { recursive: true });
    assert.match(await session.line("the"), /warning: the session was not saved: .*trying again/);
    assert.equal((await session.records()).length, 2);
    await session.leave();
  });

  test("a file that is something else is refused and kept; so is a pipe", async () => {
    const { Interactive } = await import("../../support/interactive.js");
    for (const text of ["", "{}", '{"kind":"gpt2 session 1","pin":"","steps":[{"samples":[]}]}', "a novel"]) {
      const path = file("other.json", text);
      const outcome = await new Interactive([...OPTIONS, "--session", path]).ends();
      assert.equal(outcome.code, 1);
      assert.match(outcome.stdout, /other\.json is not a session of gpt2 interactive: choose another name/);
      assert.equal(readFileSync(path, "utf8"), text);
    }
    const piped = await gpt2(["interactive", ...micro("--session", "x")], { stdin: "of\n" });
    assertFails(piped, 2, /--session needs a terminal/);
  });
});

test("candidates stand side by side where there is room, one below the other where there is not", () => {
  assert.deepEqual(sideBySide(["one two three four five six", "a\nb"], 52), [
    `${"[1]".padEnd(27)}[2]`,
    `${"one two three four five".padEnd(27)}a`,
    `${"six".padEnd(27)}b`,
  ]);
  assert.deepEqual(sideBySide(["one", "two"], 40), ["[1]", "one", "[2]", "two"]);
});
