import assert from "node:assert/strict";
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { findModelFolder as storedFolder } from "../../dist/src/models/find.js";
import { modelsDirs } from "../../dist/src/models/store.js";
import type { Check } from "../../dist/src/verify/check.js";
import {
  assertDone,
  assertFails,
  gpt2,
  MICRO,
  NO_SHELL,
  type Outcome,
  shell,
  TEMPORARY,
} from "../support/spawn.js";
import { CTRL_C, NO_TERMINAL, Terminal } from "../support/terminal.js";
import { copyMicro, DATA, flip } from "../support/verifying.js";

const parse = (stdout: string): Check[] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Check);

/** It wrote its checks, then one line on stderr, and exit code 1. */
function assertFound({ stdout, stderr, code }: Outcome, check: RegExp, next: RegExp): void {
  assert.equal(code, 1, stderr);
  assert.match(stdout, check);
  assert.match(stderr, /^gpt2: [^\n]* is not what it should be: \d+ of \d+ checks failed: [^\n]+\n$/);
  assert.match(stderr, next);
}

describe("gpt2 verify", { concurrency: 2 }, () => {
  test("a whole model: a line a check, a last one that sums up, nothing on stderr", async () => {
    const outcome = await gpt2(["verify", "shakespeare"]);
    assertDone(outcome);
    assert.equal(outcome.stderr, "");
    const lines = outcome.stdout.trimEnd().split("\n");
    assert.equal(lines.pop(), `shakespeare is what it should be: ${lines.length} checks ok`);
    for (const line of lines) assert.match(line, /^ok {8}\S.{28,} {2}\S/);
    assert.match(
      outcome.stdout,
      /^ok {8}recognition {21}these are the weights of the demo model shakespeare$/m,
    );
  });

  test("--format jsonl: the same checks, an object each", async () => {
    const [text, jsonl] = await Promise.all([
      gpt2(["verify", MICRO]),
      gpt2(["verify", MICRO, "--format", "jsonl"]),
    ]);
    assertDone(text);
    assertDone(jsonl);
    assert.match(text.stdout, /\nmicro is what it should be: 11 checks ok, 2 left out\n$/);
    const checks = parse(jsonl.stdout);
    for (const check of checks) assert.deepEqual(Object.keys(check), ["part", "check", "result", "detail"]);
    assert.deepEqual(
      checks.map(({ result, check, detail }) => `${result.padEnd(8)}  ${check.padEnd(30)}  ${detail}`),
      text.stdout.trimEnd().split("\n").slice(0, -1),
    );
  });

  test("a damaged model: FAILED, exit code 1, and what to do; nothing is changed", async () => {
    const folder = copyMicro("my model é");
    const convert = await gpt2(["convert", folder]);
    assertDone(convert);
    flip(join(folder, "group1-shard1of1.bin"), 1000);
    const state = (): unknown =>
      readdirSync(folder).map((name) => [
        name,
        statSync(join(folder, name)).mtimeMs,
        readFileSync(join(folder, name)),
      ]);
    const before = state();
    const found = await gpt2(["verify", folder]);
    assertFound(
      found,
      /^FAILED {4}weights: checksums .*1 of 40: .*shard1of1\.bin is damaged/m,
      /checkpoint is right: gpt2 convert '?/,
    );
    assert.ok(
      found.stderr.includes("gpt2: my model é is not what it should be: 1 of 16 checks failed: "),
      found.stderr,
    );
    const jsonl = await gpt2(["verify", folder, "--format=jsonl"]);
    assert.equal(jsonl.code, 1);
    assert.equal(jsonl.stderr, found.stderr);
    assert.equal(parse(jsonl.stdout).filter(({ result }) => result === "failed").length, 1);
    assert.deepEqual(state(), before);
    assertDone(await gpt2(["convert", folder])); // as it said
    assertDone(await gpt2(["verify", folder]));
  });

  test("the next step: a download for OpenAI's, a removal where a download would not see it", async () => {
    const next = async (name: string, spoil: (folder: string) => void): Promise<string> => {
      const folder = copyMicro(name);
      spoil(folder);
      const outcome = await gpt2(["verify", folder]);
      assertFound(outcome, /^FAILED/m, /./);
      return outcome.stderr;
    };
    const nothing = (): void => {};
    const damaged = (folder: string): void => flip(join(folder, DATA), 5);
    assert.match(
      await next("124M", nothing),
      /failed: gpt2 download 117M fetches what is missing or damaged\n$/,
    );
    assert.match(
      await next("355M", damaged),
      /failed: remove it with gpt2 models rm \S+ and fetch .* gpt2 download 345M\n$/,
    );
    assert.match(
      await next("mine", damaged),
      /failed: fix what the failed checks name, or remove the model with gpt2 models rm \S+ and import, convert or train/,
    );
  });

  test("names: either of OpenAI's, --models_dir, a path; 117M by default; a model that is not whole", async () => {
    const folder = copyMicro("124M");
    const dir = join(folder, "..");
    rmSync(join(folder, "hparams.json"));
    for (const name of [["117M"], ["124M"], []]) {
      const outcome = await gpt2(["verify", ...name, "--models_dir", dir]);
      assertFound(
        outcome,
        /^FAILED {4}hparams\.json {20}it is missing$/m,
        /^gpt2: 124M is not .*gpt2 download 117M/,
      );
    }
    cpSync(MICRO, join(dir, "own"), { recursive: true });
    assertDone(await gpt2(["verify", "own"], { env: { GPT2_MODELS_DIR: dir } }));
    assertDone(await gpt2(["verify", "./own"], { cwd: dir }));
  });

  test("a name of nothing: one line", async () => {
    const empty = join(TEMPORARY, "no models");
    mkdirSync(empty, { recursive: true });
    const args = ["--models_dir", empty];
    assertFails(await gpt2(["verify", "nonsense", ...args]), 2, /unknown model "nonsense"/);
    assertFails(
      await gpt2(["verify", ...args]),
      1,
      /the model 117M is not on this machine: .*gpt2 download 117M/,
    );
    assertFails(await gpt2(["verify", empty]), 1, /no models is not a model folder/);
    assertFails(
      await gpt2(["verify", "shakespeare", "--format", "xml"]),
      2,
      /--format must be one of text, jsonl/,
    );
    assertFails(await gpt2(["verify", "shakespeare", "--backend", "abacus"]), 2, /--backend must be one of/);
    assertFails(await gpt2(["verify", "a", "b"]), 2, /too many arguments/);
  });

  test("another backend computes the same", async () => {
    const outcome = await gpt2(["verify", "shakespeare", "--backend", "tfjs-cpu"]);
    assertDone(outcome);
    assert.match(outcome.stdout, /^ok {8}"ROMEO:" .*the same 40 tokens/m);
  });

  test("a reader that goes: a quiet end; a model that may only be read", { skip: NO_SHELL }, async () => {
    const outcome = await shell('gpt2 verify "$MICRO" | head -n 1');
    assertDone(outcome);
    assert.equal(outcome.stderr, "");
    assert.match(outcome.stdout, /^ok {8}checkpoint {22}77 bytes\n$/);
    const folder = copyMicro();
    chmodSync(folder, 0o555);
    assertDone(await gpt2(["verify", folder]));
    chmodSync(folder, 0o755);
  });

  test("a full disk behind stdout: one line", { skip: NO_SHELL }, async () => {
    const { code, stderr } = await shell('[ -c /dev/full ] || exit 9; gpt2 verify "$MICRO" > /dev/full');
    if (code !== 9) assert.match(stderr, /^gpt2: cannot write to standard output: the disk is full\n$/);
  });
});

describe("on a terminal", { skip: NO_TERMINAL }, () => {
  test("a bar that goes away before the next line, no colours", async () => {
    const { code, stdout } = await new Terminal(["verify", MICRO]).ends();
    assert.equal(code, 0, stdout);
    assert.match(stdout, /checkpoint [█░]+ +\d+%/);
    for (const line of stdout.split("\n").filter((each) => /^ok/.test(each)))
      assert.doesNotMatch(line, /[█░]/);
    assert.match(stdout, /\nmicro is what it should be: 11 checks ok, 2 left out\r\n$/);
  });

  test("Ctrl-C: a line, exit code 130", async () => {
    const terminal = new Terminal(["verify", "shakespeare", "--backend", "tfjs-cpu"]);
    await terminal.shows(/these are the weights of the demo model/);
    terminal.type(CTRL_C);
    const { code, stdout } = await terminal.ends();
    assert.equal(code, 130, stdout);
    assert.match(stdout, /gpt2: verification stopped; nothing was changed\r\n$/);
    assert.doesNotMatch(stdout, /is what it should be/);
  });
});

describe("OpenAI's 117M", () => {
  const folder = storedFolder("117M");
  const skip = folder ? false : `the model 117M is not installed in ${modelsDirs().join(" or ")}`;

  test("is what was published, and computes what was published", { skip }, async () => {
    const outcome = await gpt2(["verify", folder!, "--format", "jsonl"], { limit: 300 });
    assertDone(outcome);
    const checks = parse(outcome.stdout);
    assert.ok(checks.some(({ detail }) => detail === "these are the weights of OpenAI's 117M"));
    assert.equal(checks.filter(({ part, result }) => part === "reference" && result === "ok").length, 7);
  });
});
