import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { shellQuote } from "../../../dist/src/cli/terminal/shell-quote.js";
import { NO_SHELL } from "../../support/spawn.js";

const NAMES = [
  ..."~!@#$%^&*()=+[]{}\\|;:'\",<>/?`",
  ...[
    "",
    "a b",
    "$(touch ran)",
    "`touch ran`",
    "x; touch ran",
    "a'b",
    "~/models",
    "=ls",
    "é 東京",
    "new\nline",
  ],
  ...["117M", "./models/my-run_2", "C:\\models\\a b", "--help", "!!"],
];

for (const shell of ["sh", "bash", "zsh", "fish"]) {
  const isThere = spawnSync(shell, ["-c", "exit 0"]).status === 0;
  test(`${shell} takes a quoted word for that word, and runs nothing in it`, {
    skip: NO_SHELL || (!isThere && `${shell} is not installed`),
  }, () => {
    const cwd = mkdtempSync(join(tmpdir(), "gpt2-quote-"));
    // A backslash in fish's single quotes may stand for itself, or for the quote behind it.
    const names = shell === "fish" ? NAMES.filter((name) => !/\\['\\]|\\$/.test(name)) : NAMES;
    const script = names.map((name) => `printf '%s\\0' ${shellQuote(name, "linux")}`).join("\n");
    const { stdout, stderr } = spawnSync(shell, ["-c", script], { cwd, encoding: "utf8" });
    assert.equal(stderr, "");
    assert.deepEqual(stdout.split("\0").slice(0, -1), names);
    assert.ok(!existsSync(join(cwd, "ran")));
  });
}

test("what needs no quotes has none", () => {
  for (const word of ["117M", "./models/my-run_2", "a=b", "x,y@1.5%"])
    assert.equal(shellQuote(word, "linux"), word);
  for (const word of ["117M", "C:\\models\\x", "..\\x"]) assert.equal(shellQuote(word, "win32"), word);
});

test("Windows: double quotes for cmd and PowerShell, single ones where PowerShell would expand", () => {
  assert.equal(shellQuote("C:\\my models\\x", "win32"), '"C:\\my models\\x"');
  assert.equal(shellQuote("C:\\my models\\", "win32"), '"C:\\my models\\\\"');
  assert.equal(shellQuote("$(calc)", "win32"), "'$(calc)'");
  assert.equal(shellQuote("%PATH% it's", "win32"), "'%PATH% it''s'");
});
