import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { loading } from "../faults/support/folders.js";
import {
  assertDone,
  assertFails,
  gpt2,
  type JsonLine,
  MICRO,
  micro,
  NO_SHELL,
  type Outcome,
  parseLines,
  type Running,
  shell,
  startGpt2,
  TEMPORARY,
} from "../support/spawn.js";

const PROMPT = "Speak";
const DELIMITER = `${"=".repeat(20)}\n`;
const SEED = ["--seed", "6", "--length", "30"];
const ENDLESS = ["--seed", "1", "--length", "1000000", "--ignore_eos"];

let count = 0;
function fresh(): string {
  const folder = join(TEMPORARY, `files ${count++} é`);
  mkdirSync(folder);
  return folder;
}
const read = (...path: string[]): string => readFileSync(join(...path), "utf8");
const generate = (cwd: string, ...args: string[]): Promise<Outcome> =>
  gpt2(["generate", ...micro(...SEED, ...args)], { cwd });

/** The seed's first samples, without any of the options. */
const SAMPLES: readonly JsonLine[] = await (async () => {
  const outcome = await generate(TEMPORARY, PROMPT, "--nsamples", "6", "--format", "jsonl");
  assertDone(outcome);
  return parseLines(outcome.stdout);
})();
const texts = (from: number, to: number): string[] => SAMPLES.slice(from, to).map(({ text }) => text);
/** What a file with these samples holds. */
const joined = (all: readonly string[], prompt = PROMPT, delimiter = DELIMITER): string =>
  all.map((text) => `${prompt}${text}\n`).join(delimiter);

/** Waits until the program has a matching file in the folder that has so many bytes; its name. */
async function fileIn(folder: string, pattern: RegExp, program: Running, size = 20): Promise<string> {
  let isOver = false;
  program.ended.catch(() => {}).finally(() => (isOver = true));
  const sizeOf = (name: string): number => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0; // it may just have got another name
  for (;;) {
    const names = existsSync(folder) ? readdirSync(folder) : [];
    const found = names.find((name) => pattern.test(name) && sizeOf(name) >= size);
    if (found !== undefined) return found;
    assert.ok(!isOver, `it ended without ${pattern}: ${names}\n${program.stderr}`);
    await sleep(10);
  }
}

describe("prefix, truncate, include_prefix, sample_delim", { concurrency: 2 }, () => {
  test("--prefix is the prompt; a prompt is given once", async () => {
    const cwd = fresh();
    const [argument, prefix] = await Promise.all([
      generate(cwd, PROMPT),
      generate(cwd, `--prefix=${PROMPT}`),
    ]);
    assertDone(prefix);
    assert.equal(prefix.stdout, argument.stdout);
    assert.equal(prefix.stdout, joined(texts(0, 1)));
    const once = /give the prompt once: as an argument, with --prefix, or with --prompt_file/;
    assertFails(await generate(cwd, "a", "--prefix", "b"), 2, once);
    assertFails(await generate(cwd, "--prefix", "b", "--prompt_file", "c"), 2, once);
    assertFails(await generate(cwd, "--prefix", ""), 2, /the prompt is empty/);
  });

  test("--include_prefix=False, with and without --truncate; jsonl keeps prompt and text apart", async () => {
    const cwd = fresh();
    const two = ["--nsamples", "2", PROMPT];
    for (const value of ["False", "false", "FALSE"]) {
      const { stdout } = await generate(cwd, ...two, `--include_prefix=${value}`);
      assert.equal(stdout, joined(texts(0, 2), ""));
    }
    assert.equal((await generate(cwd, ...two, "--include-prefix", "True")).stdout, joined(texts(0, 2)));
    const [line] = parseLines(
      (await generate(cwd, PROMPT, "--include_prefix=false", "--format", "jsonl")).stdout,
    );
    assert.deepEqual([line.prompt, line.text], [PROMPT, SAMPLES[0].text]);
  });

  test("--truncate ends a sample before the text, which may stand in the prefix too", async () => {
    const cwd = fresh();
    // A piece of the first sample over a token's border, which its beginning does not have.
    const { text } = SAMPLES[0];
    const cut = text.slice(9, 13);
    const at = text.indexOf(cut);
    assert.ok(at > 0 && cut.length === 4 && !cut.includes("\ufffd"), JSON.stringify(text));
    const args = [PROMPT, "--truncate", cut];
    assert.equal((await generate(cwd, ...args)).stdout, joined([text.slice(0, at)]));
    assert.equal((await generate(cwd, ...args, "--include_prefix=False")).stdout, `${text.slice(0, at)}\n`);
    const [line] = parseLines((await generate(cwd, ...args, "--format=jsonl")).stdout);
    assert.deepEqual([line.text, line.finish_reason], [text.slice(0, at), "stop"]);
    // With another text that occurs earlier: the first one counts.
    const sooner = text.slice(3, 6);
    const both = await generate(cwd, ...args, "--stop", sooner);
    assert.equal(both.stdout, joined([text.slice(0, text.indexOf(sooner))]));
    assert.equal((await generate(cwd, PROMPT, "--truncate", "peak")).stdout, joined(texts(0, 1)));
    assert.equal(
      (await generate(cwd, PROMPT, "--truncate", "nowhere to be found")).stdout,
      joined(texts(0, 1)),
    );
    assertFails(await generate(cwd, PROMPT, "--truncate", ""), 2, /--truncate must not be empty/);
  });

  test("--sample_delim: any text, \\n a new line, between the samples alone", async () => {
    const cwd = fresh();
    for (const [typed, meant] of [
      ["--\\n", "--\n"],
      ["", ""],
      ["<|endoftext|>", "<|endoftext|>"],
      ["a\\tb\\\\n\\r\\n", "a\tb\\n\r\n"],
      ["\n", "\n"],
    ]) {
      const { stdout } = await generate(cwd, PROMPT, "--nsamples=3", `--sample_delim=${typed}`);
      assert.equal(stdout, joined(texts(0, 3), PROMPT, meant));
    }
  });

  for (const value of ["", "0", "yes", "Falsch"]) {
    test(`--include_prefix=${value}`, async () => {
      const outcome = await generate(fresh(), PROMPT, `--include_prefix=${value}`);
      assertFails(outcome, 2, /--include_prefix must be true or false, not "/);
    });
  }
});

describe("nfiles and folder", { concurrency: 2 }, () => {
  test("three files of two samples: one stream of samples, the same for any batch", async () => {
    const contents = await Promise.all(
      ["1", "4", "16"].map(async (batch_size) => {
        const cwd = fresh();
        const outcome = await generate(cwd, PROMPT, "--nsamples=2", "--nfiles=3", "--batch_size", batch_size);
        assertDone(outcome);
        assert.equal(outcome.stdout, "");
        const names = readdirSync(join(cwd, "gen"));
        assert.equal(names.length, 3);
        for (const name of names) {
          assert.match(name, /^gpt2_gentext_20\d{6}_\d{6}(_[23])?\.txt$/);
          assert.ok(outcome.stderr.includes(`wrote ${join("gen", name)}\n`), outcome.stderr);
        }
        const paths = [...outcome.stderr.matchAll(/^wrote (.*)$/gm)].map(([, path]) => path);
        return paths.map((path) => read(cwd, path));
      }),
    );
    for (const files of contents) {
      assert.deepEqual(files, [joined(texts(0, 2)), joined(texts(2, 4)), joined(texts(4, 6))]);
    }
  });

  test("--folder alone: one file; what lies there stays; jsonl goes on counting", async () => {
    const cwd = fresh();
    mkdirSync(join(cwd, "out"));
    writeFileSync(join(cwd, "out", "diary.txt"), "mine");
    assertDone(await generate(cwd, PROMPT, "--folder", "out", "--include_prefix=False"));
    assertDone(
      await generate(cwd, PROMPT, "--folder", join("out", "deep", "er"), "--nfiles", "2", "--format=jsonl"),
    );
    const names = readdirSync(join(cwd, "out"));
    assert.deepEqual([names.length, read(cwd, "out", "diary.txt")], [3, "mine"]);
    const text = names.find((name) => name.startsWith("gpt2_")) as string;
    assert.equal(read(cwd, "out", text), `${SAMPLES[0].text}\n`);
    const deep = readdirSync(join(cwd, "out", "deep", "er"));
    assert.ok(deep.length === 2 && deep.every((name) => /^gpt2_gentext_\d{8}_\d{6}(_2)?\.jsonl$/.test(name)));
    const lines = deep.flatMap((name) => parseLines(read(cwd, "out", "deep", "er", name)));
    lines.sort((a, b) => a.sample - b.sample);
    assert.deepEqual(lines, SAMPLES.slice(0, 2));
  });

  test("five programs at once into one folder: ten files, none lost", async () => {
    const cwd = fresh();
    const seeds = ["11", "12", "13", "14", "15"];
    const args = (seed: string): string[] => [
      "generate",
      ...micro("--length=5", "--seed", seed, "--nfiles=2", PROMPT),
    ];
    const outcomes = await Promise.all(seeds.map((seed) => gpt2(args(seed), { cwd })));
    for (const outcome of outcomes) assertDone(outcome);
    const names = readdirSync(join(cwd, "gen"));
    assert.equal(names.length, 10);
    assert.ok(names.every((name) => !name.includes("unfinished")));
    assert.equal(new Set(names.map((name) => read(cwd, "gen", name))).size, 10);
  });

  test("Ctrl-C keeps what was written under a name that says so; what was whole before stays", {
    skip: NO_SHELL,
  }, async () => {
    for (const signal of ["SIGINT", "SIGKILL"] as const) {
      const cwd = fresh();
      const program = startGpt2(["generate", PROMPT, ...micro(...ENDLESS), "--nfiles", "2"], { cwd });
      const name = await fileIn(join(cwd, "gen"), /unfinished/, program);
      assert.match(name, /^gpt2_gentext_\d{8}_\d{6}\.unfinished\.txt$/);
      program.child.kill(signal);
      const { code, stdout, stderr } = await program.ended;
      assert.equal(code, signal === "SIGINT" ? 130 : null);
      assert.equal(stdout, "");
      assert.deepEqual(readdirSync(join(cwd, "gen")), [name]);
      assert.ok(read(cwd, "gen", name).startsWith(PROMPT));
      if (signal === "SIGINT") assert.ok(stderr.includes(`the samples so far are in ${join("gen", name)}\n`));
    }
  });

  test("a file that is whole before Ctrl-C has its name, and the next one's beginning is kept", {
    skip: NO_SHELL,
  }, async () => {
    const cwd = fresh();
    const endless = [PROMPT, ...micro(...ENDLESS), "--batch_size", "2"];
    const begun = await gpt2([
      "generate",
      ...endless,
      "--length",
      "30",
      "--nsamples",
      "2",
      "--format",
      "jsonl",
    ]);
    const [first, second] = parseLines(begun.stdout);
    // Ends the first sample soon; none of the others will say it.
    const stop = first.text.slice(5, 15);
    assert.ok(!second.text.includes(stop) && !stop.includes("\\"));
    const program = startGpt2(["generate", ...endless, "--stop", stop, "--nfiles", "3"], { cwd });
    await program.until(/^wrote gen/m, "stderr");
    const name = await fileIn(join(cwd, "gen"), /unfinished/, program);
    program.child.kill("SIGINT");
    const { code, stderr } = await program.ended;
    assert.equal(code, 130, stderr);
    const whole = readdirSync(join(cwd, "gen")).filter((each) => each !== name);
    assert.equal(whole.length, 1, String(whole));
    assert.equal(read(cwd, "gen", whole[0]), joined([first.text.slice(0, first.text.indexOf(stop))]));
    assert.ok(read(cwd, "gen", name).startsWith(PROMPT));
    assert.ok(stderr.includes(`the samples so far are in ${join("gen", name)}\n`), stderr);
  });

  test("wrong numbers and places: one line", async () => {
    const cwd = fresh();
    writeFileSync(join(cwd, "file"), "mine");
    for (const value of ["0", "-1", "x", "1000001"]) {
      assertFails(
        await generate(cwd, PROMPT, `--nfiles=${value}`),
        2,
        /--nfiles must be a whole number from 1/,
      );
    }
    assertFails(
      await generate(cwd, PROMPT, "--nfiles=1000000", "--nsamples=1001"),
      2,
      /--nsamples times --nfiles must be at most 1000000000, not 1001000000/,
    );
    assertFails(await generate(cwd, PROMPT, "--folder", "file"), 1, /cannot create file: /);
    assertFails(
      await generate(cwd, PROMPT, "--folder", join("file", "in")),
      1,
      /cannot create .*not a folder/,
    );
    assertFails(
      await generate(cwd, PROMPT, "--nfiles=2", "--out", "x"),
      2,
      /--out for one file, or --nfiles/,
    );
    assertFails(await generate(cwd, PROMPT, "--nfiles=2", "--overwrite"), 2, /--overwrite goes with --out/);
    assertFails(await generate(cwd, PROMPT, "--overwrite"), 2, /--overwrite goes with --out/);
    assert.deepEqual(readdirSync(cwd), ["file"]);
    assert.equal(read(cwd, "file"), "mine");
  });

  test("a model that is not there leaves an empty folder at most", async () => {
    const cwd = fresh();
    const args = ["generate", "a", "--model_name", "./none"];
    assertFails(await gpt2([...args, "--out", "x.txt"], { cwd }), 1, /none is not a model folder/);
    assert.deepEqual(readdirSync(cwd), []);
    assertFails(await gpt2([...args, "--folder", "gen"], { cwd }), 1, /none is not a model folder/);
    assert.deepEqual(readdirSync(join(cwd, "gen")), []);
  });
});

describe("out", { concurrency: 2 }, () => {
  test("one file with all samples, text or jsonl; an old one goes with --overwrite alone", async () => {
    const cwd = fresh();
    const outcome = await generate(cwd, PROMPT, "--nsamples=3", "--out", "my story.txt");
    assertDone(outcome);
    assert.equal(outcome.stdout, "");
    assert.match(outcome.stderr, /^wrote my story\.txt$/m);
    assert.equal(read(cwd, "my story.txt"), joined(texts(0, 3)));
    const again = [PROMPT, "--format=jsonl", "--nsamples=2", "--out", "my story.txt"];
    assertFails(await generate(cwd, ...again), 1, /my story\.txt already exists: .*--overwrite/);
    assert.equal(read(cwd, "my story.txt"), joined(texts(0, 3)));
    assertDone(await generate(cwd, ...again, "--overwrite"));
    assert.deepEqual(parseLines(read(cwd, "my story.txt")), SAMPLES.slice(0, 2));
    assert.deepEqual(readdirSync(cwd), ["my story.txt"]);
  });

  test("an interrupted one is kept beside the old one; a later one does not touch it", {
    skip: NO_SHELL,
  }, async () => {
    const cwd = fresh();
    writeFileSync(join(cwd, "story.txt"), "old");
    const args = ["generate", PROMPT, ...micro(...ENDLESS), "--out", "story.txt", "--overwrite"];
    for (const wanted of ["story.unfinished.txt", "story.unfinished-2.txt"]) {
      const program = startGpt2(args, { cwd });
      await fileIn(cwd, new RegExp(`^${wanted.replace(".", "\\.")}$`), program);
      program.child.kill("SIGINT");
      const { code, stderr } = await program.ended;
      assert.equal(code, 130);
      assert.ok(stderr.includes(`the samples so far are in ${wanted}\n`), stderr);
    }
    assert.equal(read(cwd, "story.txt"), "old");
    assert.deepEqual(readdirSync(cwd).sort(), [
      "story.txt",
      "story.unfinished-2.txt",
      "story.unfinished.txt",
    ]);
  });

  test("a file that comes there meanwhile stays, and so do the samples", { skip: NO_SHELL }, async () => {
    const cwd = fresh();
    // It stands still before its second step on the disk: creating the file was the first, flushing it is this one.
    const env = { ...loading("end-at-step.mjs"), END_AT: "2", END_WITH: "SIGSTOP" };
    const program = startGpt2(["generate", PROMPT, ...micro(...SEED), "--out", "story.txt"], { cwd, env });
    const samples = joined(texts(0, 1));
    await fileIn(cwd, /unfinished/, program, Buffer.byteLength(samples));
    writeFileSync(join(cwd, "story.txt"), "another's");
    const wake = setInterval(() => program.child.kill("SIGCONT"), 20); // once would be lost before it stands still
    const outcome = await program.ended.finally(() => clearInterval(wake));
    assert.equal(outcome.code, 1);
    assert.match(
      outcome.stderr,
      /\ngpt2: story\.txt was created by another program meanwhile: the samples are in story\.unfinished\.txt\n$/,
    );
    assert.equal(read(cwd, "story.txt"), "another's");
    assert.equal(read(cwd, "story.unfinished.txt"), samples);
  });

  test("no such folder, a folder, no plain file, a full disk: one line", async () => {
    const cwd = fresh();
    mkdirSync(join(cwd, "folder"));
    assertFails(
      await generate(cwd, PROMPT, "--out", "gone/x.txt"),
      1,
      /cannot write gone.x\.txt: no such file or folder/,
    );
    assertFails(
      await generate(cwd, PROMPT, "--out", "folder", "--overwrite"),
      1,
      /folder is not a regular file/,
    );
    if (NO_SHELL) return;
    assertFails(
      await generate(cwd, PROMPT, "--out", "/dev/null", "--overwrite"),
      1,
      /null is not a regular file/,
    );
    const line = `trap "" XFSZ; ulimit -f 1 || exit 9; gpt2 generate a --model_name "$MICRO" ${ENDLESS.join(" ")} --out "$TO/x.txt"`;
    const outcome = await shell(line, { env: { TO: cwd } });
    if (outcome.code !== 9) {
      assert.equal(outcome.code, 1);
      assert.match(
        outcome.stderr,
        /the samples so far are in .*x\.unfinished\.txt\ngpt2: cannot write .*x\.unfinished\.txt: /,
      );
      assert.deepEqual(readdirSync(cwd).sort(), ["folder", "x.unfinished.txt"]);
    }
  });

  test("~ and $VAR are expanded", async () => {
    const cwd = fresh();
    const args = ["generate", PROMPT, "--model_name", MICRO, ...SEED, "--out", "$WHERE/x.txt"];
    assertDone(await gpt2(args, { cwd, env: { WHERE: cwd } }));
    assert.equal(read(cwd, "x.txt"), joined(texts(0, 1)));
  });
});
