import assert from "node:assert/strict";
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { printable } from "../../../dist/src/cli/terminal/printable.js";
import { assertDone, gpt2, MICRO, micro, shell, TEMPORARY } from "../../support/spawn.js";
import { NO_TERMINAL, Terminal } from "../../support/terminal.js";

// biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a terminal
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/;

suite("control characters on a terminal", { skip: NO_TERMINAL, concurrency: 2 }, () => {
  // The micro model's random weights write ESC, SO, SI and backspace within a few hundred tokens.
  const args = [
    "generate",
    "a\x1b[31mb",
    ...micro("--seed", "1", "--length", "300", "--ignore_eos", "--quiet"),
  ];

  test("of a model's text and a prompt are shown as signs; a pipe gets them as they are", async () => {
    const piped = await gpt2(args);
    assertDone(piped);
    assert.match(piped.stdout, CONTROLS);
    const terminal = new Terminal(args);
    const shown = (await terminal.ends()).stdout;
    const lines = shown.replaceAll("\r\n", "\n");
    assert.equal(lines, printable(piped.stdout));
    assert.ok(lines.includes("a\u241b[31mb"), lines);
    assert.doesNotMatch(lines, CONTROLS);
  });

  test("of folders' names are shown as signs: the table of models, messages", async () => {
    const models_dir = join(TEMPORARY, "models");
    mkdirSync(models_dir);
    cpSync(MICRO, join(models_dir, "evil\x1b]0;title\x07name"), { recursive: true });
    const table = await new Terminal(["models", "--models_dir", models_dir]).ends();
    assert.ok(table.stdout.includes("evil\u241b]0;title\u2407name"), table.stdout);
    assert.doesNotMatch(table.stdout.replaceAll("\r\n", "\n"), CONTROLS);
    const folder = join(TEMPORARY, "a\x1b[2Jb");
    const out = join(folder, "x.txt");
    mkdirSync(folder);
    const written = await new Terminal([
      "generate",
      "a",
      ...micro("--seed", "1", "--length", "2", "--out", out),
    ]).ends();
    assert.match(written.stdout, /wrote .*a\u241b\[2Jb.x\.txt/);
    assert.doesNotMatch(written.stdout.replaceAll("\r\n", "\n"), CONTROLS);
  });

  test("every one of them, and nothing else", () => {
    const all = Array.from({ length: 0x250 }, (_, code) => String.fromCharCode(code));
    const changed = all.filter((character) => printable(character) !== character);
    assert.deepEqual(
      changed,
      all.filter((character) => /\p{Cc}/u.test(character) && character !== "\n" && character !== "\t"),
    );
    for (const character of changed) assert.doesNotMatch(printable(character), /\p{Cc}/u);
    assert.equal(printable("日本 👩‍👧 é\n\tx"), "日本 👩‍👧 é\n\tx");
  });
});

test("files keep every byte", { skip: process.platform === "win32" && "needs sh" }, async () => {
  const outcome = await shell(
    `gpt2 generate "$(printf 'a\\033b')" --model_name "$MICRO" --seed 1 --length 1 --quiet`,
  );
  assertDone(outcome);
  assert.ok(outcome.stdout.startsWith("a\x1bb"));
});
