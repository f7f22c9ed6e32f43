import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  assertDone,
  assertFails,
  gpt2,
  type JsonLine,
  micro,
  NO_SHELL,
  type Outcome,
  parseLines,
  startGpt2,
  TEMPORARY,
} from "../support/spawn.js";

const SEED = ["--seed", "6", "--length", "12"];

let count = 0;
function fresh(): string {
  const folder = join(TEMPORARY, `unconditional ${count++} é`);
  mkdirSync(folder);
  return folder;
}
const read = (...path: string[]): string => readFileSync(join(...path), "utf8");
const unconditional = (cwd: string, ...args: string[]): Promise<Outcome> =>
  gpt2(["unconditional", ...micro(...SEED, ...args)], { cwd });
const generate = (cwd: string, ...args: string[]): Promise<Outcome> =>
  gpt2(["generate", "Speak", ...micro(...SEED, ...args)], { cwd });
/** A folder's files, in the order they were started. */
const files = (folder: string): string[] =>
  readdirSync(folder)
    .sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
    .map((name) => read(folder, name));

/** The seed's first samples, without files. */
const SAMPLES: readonly JsonLine[] = await (async () => {
  const outcome = await unconditional(TEMPORARY, "--nsamples", "6", "--format", "jsonl");
  assertDone(outcome);
  return parseLines(outcome.stdout);
})();
/** The text output of samples with these numbers, from 1. */
const shown = (...numbers: number[]): string =>
  numbers
    .map((number) => `${"=".repeat(40)} SAMPLE ${number} ${"=".repeat(40)}\n${SAMPLES[number - 1]!.text}\n`)
    .join("");
const lines = (...numbers: number[]): string =>
  numbers.map((number) => `${JSON.stringify(SAMPLES[number - 1])}\n`).join("");

describe("unconditional to files", { concurrency: 2 }, () => {
  test("--out: one file with what standard output would have; an old one goes with --overwrite alone", async () => {
    const cwd = fresh();
    const outcome = await unconditional(cwd, "--nsamples=3", "--out", "all.txt");
    assertDone(outcome);
    assert.equal(outcome.stdout, "");
    assert.match(outcome.stderr, /^wrote all\.txt$/m);
    assert.equal(read(cwd, "all.txt"), shown(1, 2, 3));
    assert.equal(read(cwd, "all.txt"), (await unconditional(cwd, "--nsamples=3")).stdout);
    const again = ["--nsamples=2", "--format=jsonl", "--out", "all.txt"];
    assertFails(await unconditional(cwd, ...again), 1, /all\.txt already exists: .*--overwrite/);
    assert.equal(read(cwd, "all.txt"), shown(1, 2, 3));
    assertDone(await unconditional(cwd, ...again, "--overwrite"));
    assert.equal(read(cwd, "all.txt"), lines(1, 2));
    assert.deepEqual(readdirSync(cwd), ["all.txt"]);
  });

  test("--nfiles: files of one numbered stream, in gen or where --folder or --out_dir says", async () => {
    for (const [where, ...args] of [
      ["gen"],
      ["a b", "--folder", "a b"],
      ["c", "--out_dir", "c"],
      ["d", "--out-dir=d"],
    ]) {
      const cwd = fresh();
      const outcome = await unconditional(cwd, "--nsamples=2", "--nfiles=3", "--batch_size=2", ...args);
      assertDone(outcome);
      assert.equal(outcome.stdout, "");
      assert.deepEqual(readdirSync(cwd), [where]);
      const names = readdirSync(join(cwd, where!));
      for (const name of names) assert.match(name, /^gpt2_gentext_\d{8}_\d{6}(_\d)?\.txt$/);
      assert.deepEqual(names.map((name) => read(cwd, where!, name)).sort(), [
        shown(1, 2),
        shown(3, 4),
        shown(5, 6),
      ]);
    }
  });

  test("--folder alone: one file; what is there stays; jsonl", async () => {
    const cwd = fresh();
    for (let i = 1; i <= 2; i++) {
      assertDone(await unconditional(cwd, "--nsamples=2", "--folder=f", "--format=jsonl"));
      assert.deepEqual(files(join(cwd, "f")), new Array(i).fill(lines(1, 2)));
    }
    assert.match(readdirSync(join(cwd, "f"))[0]!, /\.jsonl$/);
  });

  test("for ever is no file: --nsamples must be said; nothing is begun", async () => {
    const cwd = fresh();
    const wanted = /a file needs an end: pass --nsamples/;
    for (const args of [
      ["--out", "x"],
      ["--nfiles=2"],
      ["--folder=f"],
      ["--out_dir=f"],
      ["--out=x", "--nsamples=0"],
    ]) {
      assertFails(await unconditional(cwd, ...args), 2, wanted);
    }
    assert.deepEqual(readdirSync(cwd), []);
  });

  test("options that contradict each other, here and with generate: one line", async () => {
    for (const run of [unconditional, generate]) {
      const cwd = fresh();
      writeFileSync(join(cwd, "old.jsonl"), "");
      const n = "--nsamples=2";
      assertFails(
        await run(cwd, n, "--folder=a", "--out_dir=b"),
        2,
        /--out_dir is another name for --folder: give one/,
      );
      assertFails(
        await run(cwd, n, "--out=x", "--out_dir=b"),
        2,
        /--out for one file, or --nfiles and --folder/,
      );
      assertFails(
        await run(cwd, n, "--out=x", "--nfiles=2"),
        2,
        /--out for one file, or --nfiles and --folder/,
      );
      assertFails(await run(cwd, n, "--out_dir=b", "--overwrite"), 2, /--overwrite goes with --out FILE/);
      assertFails(await run(cwd, n, "--overwrite"), 2, /--overwrite goes with --out FILE/);
      for (const other of ["--out=x", "--nfiles=2", "--folder=a", "--out_dir=b"]) {
        assertFails(await run(cwd, n, "--resume=old.jsonl", other), 2, /--resume names the file itself/);
      }
      assertFails(
        await run(cwd, "--nsamples=1001", "--nfiles=1000000"),
        2,
        /at most 1000000000, not 1001000000/,
      );
      assert.deepEqual(readdirSync(cwd), ["old.jsonl"]);
    }
  });

  test("Ctrl-C: whole files stay, the begun one is kept under a name that says so", {
    skip: NO_SHELL,
  }, async () => {
    const cwd = fresh();
    const args = ["--seed", "1", "--length", "400", "--ignore_eos", "--nsamples", "2", "--nfiles", "100000"];
    const program = startGpt2(["unconditional", ...micro(...args)], { cwd });
    const folder = join(cwd, "gen");
    await program.until(/^wrote gen/m, "stderr");
    program.child.kill("SIGINT");
    const { code, stderr } = await program.ended;
    assert.equal(code, 130, stderr);
    const names = readdirSync(folder);
    assert.ok(names.filter((name) => name.includes("unfinished")).length <= 1, String(names));
    for (const name of names) {
      const { length } = read(folder, name).match(/^={40} SAMPLE \d+ ={40}$/gm) ?? [];
      if (!name.includes("unfinished")) assert.equal(length, 2, name);
    }
  });
});

describe("files of a part of the stream", { concurrency: 2 }, () => {
  test("--shard and --first_sample: whole files with this machine's samples alone", async () => {
    const cwd = fresh();
    assertDone(await unconditional(cwd, "--nsamples=5", "--shard=2/2", "--out", "second.txt"));
    assertDone(await unconditional(cwd, "--nsamples=5", "--shard=1/2", "--out", "first.txt"));
    assertDone(await unconditional(cwd, "--nsamples=2", "--first_sample=3", "--out", "later.txt"));
    assert.deepEqual(readdirSync(cwd).sort(), ["first.txt", "later.txt", "second.txt"]);
    assert.equal(read(cwd, "first.txt"), shown(1, 3, 5));
    assert.equal(read(cwd, "second.txt"), shown(2, 4));
    assert.equal(read(cwd, "later.txt"), shown(3, 4));
  });

  test("--nfiles with --shard: the last file has what is left, and is whole, too", async () => {
    for (const run of [unconditional, generate]) {
      const cwd = fresh();
      const outcome = await run(cwd, "--nsamples=2", "--nfiles=3", "--shard=1/2", "--format=jsonl");
      assertDone(outcome);
      assert.doesNotMatch(outcome.stderr, /unfinished/);
      const numbers = files(join(cwd, "gen")).map((text) => parseLines(text).map(({ sample }) => sample));
      assert.deepEqual(numbers, [[1, 3], [5]]);
    }
  });

  test("generate --out with --shard is written under its own name", async () => {
    const cwd = fresh();
    assertDone(await generate(cwd, "--nsamples=4", "--shard=1/2", "--out", "x.txt"));
    assert.deepEqual(readdirSync(cwd), ["x.txt"]);
    assert.equal(read(cwd, "x.txt").split(`${"=".repeat(20)}\n`).length, 2);
  });
});
