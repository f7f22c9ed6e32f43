import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";
import {
  assertDone,
  assertFails,
  gpt2,
  micro,
  NO_SHELL,
  type Outcome,
  parseLines,
  shell,
  startGpt2,
} from "../support/spawn.js";

const ENDLESS = 'unconditional --model_name "$MICRO" --seed 1';
const NO_FULL = existsSync("/dev/full") ? false : "needs /dev/full";

describe("stdout carries samples and nothing else", { concurrency: 2 }, () => {
  test("seed and rate go to stderr; no escape codes, whatever the environment says", async () => {
    for (const env of [{}, { NO_COLOR: "1" }, { FORCE_COLOR: "1", TERM: "xterm-256color" }]) {
      const args = micro("--length", "8", "--top_k", "5", "--nsamples", "1");
      const { stdout, stderr } = await gpt2(["unconditional", ...args], { env });
      assert.match(stdout, /^={40} SAMPLE 1 ={40}\n/);
      assert.match(stderr, /^seed \d+ [^\n]+\n8 tokens, [\d.]+ tokens per second\n$/);
      assert.ok(!stderr.includes("\x1b"), "escape codes on stderr");
    }
  });

  test("gpt2 help, and gpt2 help COMMAND, are --help", async () => {
    const pairs = [
      [["help"], ["--help"]],
      [
        ["help", "convert"],
        ["convert", "--help"],
      ],
    ];
    for (const [words, option] of pairs) {
      const [asked, long] = await Promise.all([gpt2(words), gpt2(option)]);
      assertDone(asked);
      assert.equal(asked.stdout, long.stdout);
    }
  });

  test("help and errors have no escape codes", async () => {
    const [help, all, error] = await Promise.all([
      gpt2(["generate", "--help"], { env: { NO_COLOR: "1" } }),
      gpt2([]),
      gpt2(["generate", "--seed", "x"], { env: { FORCE_COLOR: "1" } }),
    ]);
    assertDone(help);
    assert.match(help.stdout, /^Example: gpt2 generate "/);
    for (const option of [
      "model_name",
      "models_dir",
      "seed",
      "nsamples",
      "batch_size",
      "length",
      "temperature",
    ]) {
      assert.match(help.stdout, new RegExp(`--${option} `));
    }
    assertDone(all);
    assert.match(all.stdout, /^Example: gpt2 /);
    for (const command of ["interactive", "unconditional", "generate", "download", "convert"]) {
      assert.match(all.stdout, new RegExp(`^ +${command} `, "m"));
    }
    assert.ok(![help, all, error].some(({ stdout, stderr }) => (stdout + stderr).includes("\x1b")));
    assert.equal(help.stderr + all.stderr, "");
  });

  test("--version names the program, Node and what computes", async () => {
    const { stdout, stderr } = await gpt2(["--version"]);
    assert.match(
      stdout,
      /^gpt2 \d+\.\d+\.\d+, Node v[\d.]+, (native kernels|WebAssembly|TensorFlow\.js) [^\n]+\n$/,
    );
    assert.equal(stderr, "");
  });
});

describe("readers that go away", { concurrency: 2, skip: NO_SHELL }, () => {
  /** Runs `line | head -1`; the code of the program before the pipe is the last line of stderr. */
  const head = (line: string): Promise<Outcome> => shell(`{ gpt2 ${line}; echo "code $?" >&2; } | head -1`);

  test("endless unconditional | head -1 ends quietly", async () => {
    const outcome = await head(ENDLESS);
    assert.match(outcome.stdout, /^={40} SAMPLE 1 ={40}\n$/);
    assert.match(outcome.stderr, /^(\d+ tokens?, [\d.]+ tokens per second\n)?code 0\n$/);
  });

  test("endless jsonl in batches, and interactive, | head -1", async () => {
    const jsonl = await head(`${ENDLESS} --format jsonl --batch_size 3 --length 4`);
    assert.equal(parseLines(jsonl.stdout).length, 1);
    assert.match(jsonl.stderr, /^(\d+ tokens?, [\d.]+ tokens per second\n)?code 0\n$/);
    const answers = await shell(
      'yes the | { gpt2 interactive --model_name "$MICRO" --seed 1 --length 2; echo "code $?" >&2; } | head -1',
    );
    assert.match(answers.stderr, /^(\d+ tokens?, [\d.]+ tokens per second\n)*code 0\n$/);
    assert.match(answers.stdout, /SAMPLE 1/);
  });

  test("stderr closed, and stderr's reader gone", async () => {
    const args = 'generate a --model_name "$MICRO" --length 3';
    const closed = await shell(`gpt2 ${args} 2>&-`);
    assertDone(closed);
    assert.match(closed.stdout, /^a/);
    const gone = await shell(`{ gpt2 ${args} 2>&1 >&3; echo "code $?" >&3; } 3>&1 | true`);
    assert.equal(gone.stderr, "");
  });

  test("stdout closed: no stack", async () => {
    const outcome = await shell('gpt2 generate a --model_name "$MICRO" --seed 1 --length 3 >&-');
    assert.doesNotMatch(outcome.stderr, /^ +at /m);
    assert.ok([0, 1].includes(outcome.code ?? -1), outcome.stderr);
  });

  test("a full disk: one line, exit code 1, even when the samples would never end", {
    skip: NO_FULL,
  }, async () => {
    const full = /^gpt2: cannot write to standard output: the disk is full$/m;
    const endless = await shell(`gpt2 ${ENDLESS} > /dev/full`);
    assert.equal(endless.code, 1);
    assert.match(endless.stderr, /^(\d+ tokens?, [^\n]+\n)?gpt2: [^\n]+\n$/);
    assert.match(endless.stderr, full);
    const interactive = 'echo a | gpt2 interactive --model_name "$MICRO" --seed 1 --length 2 > /dev/full';
    for (const line of ["gpt2 --help > /dev/full", "gpt2 --version > /dev/full", interactive]) {
      const outcome = await shell(line);
      assert.equal(outcome.code, 1, line);
      assert.match(outcome.stderr, full);
      assert.doesNotMatch(outcome.stderr, /^ +at /m);
    }
    // Nothing printed besides the samples may end the program.
    assertDone(await shell('gpt2 generate a --model_name "$MICRO" --length 2 2> /dev/full'));
  });
});

describe("Ctrl-C", { concurrency: 2, skip: NO_SHELL }, () => {
  async function interrupted(args: readonly string[], ready: RegExp, stdin?: "open"): Promise<Outcome> {
    const running = startGpt2(args, { stdin });
    await running.until(ready);
    running.child.kill("SIGINT");
    const outcome = await running.ended;
    assert.deepEqual([outcome.code, outcome.signal], [130, null], outcome.stderr);
    return outcome;
  }

  test("during an endless unconditional: the line is ended, exit code 130", async () => {
    const outcome = await interrupted(["unconditional", ...micro("--seed", "1")], /SAMPLE 2 =+\n[\s\S]{5}/);
    assert.ok(outcome.stdout.endsWith("\n"));
    assert.match(outcome.stderr, /^\d+ tokens, [\d.]+ tokens per second\n$/);
  });

  test("during a very long generate", async () => {
    const args = ["generate", "a", ...micro("--seed", "1", "--length", "100000000", "--ignore_eos")];
    const outcome = await interrupted(args, /^a[\s\S]{20}/);
    assert.match(outcome.stderr, /^\d+ tokens, [\d.]+ tokens per second\n$/);
  });

  test("while interactive waits for a pipe that stays open", async () => {
    const running = startGpt2(["interactive", ...micro("--seed", "1", "--length", "3")], { stdin: "open" });
    running.child.stdin?.write("a\n");
    await running.until(/={80}\n/);
    running.child.kill("SIGINT");
    const outcome = await running.ended;
    assert.equal(outcome.code, 130);
  });

  test("during a sample of interactive from a pipe: the prompts that follow are not answered", async () => {
    const args = ["interactive", ...micro("--seed", "1", "--length", "100000000", "--ignore_eos")];
    const running = startGpt2(args, { stdin: "a\nb\n" });
    await running.until(/SAMPLE 1 =+\n[\s\S]{9}/);
    running.child.kill("SIGINT");
    const outcome = await running.ended;
    assert.equal(outcome.code, 130);
    assert.equal((outcome.stdout.match(/SAMPLE/g) ?? []).length, 1);
  });

  test("wrong usage is told before anything is read", async () => {
    assertFails(await gpt2(["generate", "--seed", "x"], { stdin: "open", limit: 20 }), 2, /--seed/);
  });
});
