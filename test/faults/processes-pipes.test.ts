import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  assertDone,
  gpt2,
  micro,
  NO_SHELL,
  type Outcome,
  parseLines,
  shell,
  startGpt2,
  TEMPORARY,
} from "../support/spawn.js";
import { assertPlainEnd, chance, loading } from "./support/folders.js";

const MODEL = '--model_name "$MICRO"';
const FEW = `${MODEL} --length 3 --seed 1`;
const NOT_UTF8 = /^warning: (standard input|\S+) is not all valid UTF-8: invalid bytes become U\+FFFD$/m;

/** No stack trace and no bug of ours; the exit code is the expected one. */
function assertCode(outcome: Outcome, code: number, what: string): void {
  assert.equal(outcome.signal, null, what);
  assert.equal(outcome.code, code, `${what}: ${outcome.stderr}`);
  assert.doesNotMatch(outcome.stderr, /^ +at |unexpected error|undefined|\[object/m, what);
}

/** Bytes that are no text. */
function noise(length: number): Buffer {
  const random = chance("noise");
  return Buffer.from(Uint8Array.from({ length }, () => 256 * random()));
}

describe("a stream that is closed", { concurrency: 3, skip: NO_SHELL }, () => {
  // The command, its exit code without standard input, and what it says then.
  const commands: readonly (readonly [string, number, RegExp])[] = [
    [`generate ${FEW}`, 2, /^gpt2: the prompt is empty: [^\n]+\n$/],
    [`interactive ${FEW}`, 0, /^$/],
    [`score ${MODEL}`, 1, /^gpt2: standard input is empty: there is nothing to score\n$/],
    ["tokenize", 0, /^$/],
    [`unconditional ${FEW} --nsamples 1`, 0, /^3 tokens, [^\n]+\n$/],
    ["models", 0, /^$/],
  ];
  for (const [line, code, said] of commands) {
    test(line, async () => {
      const noStdin = await shell(`gpt2 ${line} <&-`);
      assertCode(noStdin, code, "standard input");
      assert.match(noStdin.stderr, said);
      const [noStdout, noStderr, none] = await Promise.all([
        shell(`echo speak | gpt2 ${line} >&-`),
        shell(`echo speak | gpt2 ${line} 2>&-`),
        shell(`gpt2 ${line} <&- >&- 2>&-`),
      ]);
      assertCode(noStdout, 0, "standard output");
      assertCode(noStderr, 0, "standard error");
      assert.notEqual(noStderr.stdout, "");
      assertCode(none, code, "all three");
    });
  }

  test("| head -1: each ends quietly, with the exit code 0", async () => {
    const text = join(TEMPORARY, "much.txt");
    writeFileSync(text, "Before we proceed any further, hear me speak. ".repeat(40_000));
    const head = (line: string): Promise<Outcome> =>
      shell(`{ gpt2 ${line}; echo "code $?" >&2; } | head -1`, { env: { TEXT: text } });
    const outcomes = await Promise.all([
      head(
        `generate a ${MODEL} --seed 1 --length 100000000 --ignore_eos --nsamples 9 --truncate no-such-text`,
      ),
      head(`generate a ${MODEL} --seed 1 --length 2 --nsamples 100000000 --format jsonl`),
      head('tokenize --file "$TEXT"'),
      head(`tokenize --file "$TEXT" --format jsonl`),
      head("generate --help"),
      shell(`head -c 20000 "$TEXT" | { gpt2 score ${MODEL}; echo "code $?" >&2; } | head -1`, {
        env: { TEXT: text },
      }),
    ]);
    for (const { stderr, stdout } of outcomes) {
      assert.match(stderr, /^(\d+ tokens?, [\d.]+ tokens per second\n)?code 0\n$/);
      assert.notEqual(stdout, "");
    }
  });
});

describe("10 MB", { concurrency: 2 }, () => {
  const line = "Before we proceed any further, hear me speak. ";
  const big = line.repeat(Math.ceil((10 << 20) / line.length)).slice(0, 10 << 20);
  const file = join(TEMPORARY, "big.txt");
  writeFileSync(file, big);
  const options = micro("--seed", "3", "--length", "5", "--format", "jsonl");

  test("as a prompt, from standard input, a file and to interactive: the same text", async () => {
    const outcomes = [
      await gpt2(["generate", ...options], { stdin: big }),
      await gpt2(["generate", ...options, "--prompt_file", file]),
      await gpt2(["interactive", ...options], { stdin: `${big}\n` }),
    ];
    const texts = outcomes.map((outcome) => {
      assertDone(outcome);
      assert.match(outcome.stderr, /^warning: the prompt's 5698782 tokens are more than the context's 64: /m);
      const [{ prompt, text, tokens }] = parseLines(outcome.stdout);
      assert.ok(prompt === big, "not the prompt that was given");
      assert.equal(tokens, 5);
      return text;
    });
    const short = await gpt2(["generate", ...options], { stdin: big.slice(-460) });
    assert.deepEqual(new Set(texts), new Set([parseLines(short.stdout)[0].text]));
  });

  test("tokenize: from both the same number, and the text comes back byte for byte", async () => {
    const count = await gpt2(["tokenize", "--count", "--file", file]);
    assert.equal(count.stdout, "2279513\n");
    const ids = await gpt2(["tokenize"], { stdin: big });
    const back = await gpt2(["tokenize", "--decode"], { stdin: ids.stdout });
    assert.ok(back.stdout.trimEnd() === big.trimEnd(), "another text");
  });

  test("score: Ctrl-C ends it soon, in one line", { skip: NO_SHELL }, async () => {
    const running = startGpt2(["score", ...micro()], { stdin: big, env: loading("tell-listening.mjs") });
    await running.until(/^listening$/m, "stderr"); // it has read all, and begins
    running.child.kill("SIGINT");
    const outcome = await running.ended;
    assert.equal(outcome.code, 130);
    assert.match(outcome.stderr, /\ngpt2: scoring stopped\n$/);
  });
});

describe("bytes that are no text", { concurrency: 2 }, () => {
  const bytes = noise(3000);
  const file = join(TEMPORARY, "noise");
  writeFileSync(file, bytes);
  const text = new TextDecoder().decode(bytes);

  test("generate: a warning, and the prompt is what UTF-8 makes of them", async () => {
    const options = micro("--seed", "1", "--length", "3", "--format", "jsonl");
    for (const outcome of [
      await gpt2(["generate", ...options], { stdin: bytes }),
      await gpt2(["generate", ...options, "--prompt_file", file]),
    ]) {
      assertDone(outcome);
      assert.match(outcome.stderr, NOT_UTF8);
      const wanted = text.replaceAll("\r\n", "\n").replace(/\n$/, "");
      assert.equal(parseLines(outcome.stdout)[0].prompt, wanted);
    }
  });

  test("score and tokenize, by file and by pipe: the same, with a warning; NUL is a character like any other", async () => {
    const [scored, piped, ids] = await Promise.all([
      gpt2(["score", ...micro("--format", "jsonl"), file]),
      gpt2(["score", ...micro("--format", "jsonl")], { stdin: bytes }),
      gpt2(["tokenize", "--file", file]),
    ]);
    for (const outcome of [scored, piped, ids]) {
      assertDone(outcome);
      assert.match(outcome.stderr, NOT_UTF8);
    }
    assert.equal(piped.stdout, scored.stdout);
    const { text: read, logprobs } = JSON.parse(scored.stdout) as { text: string; logprobs: number[] };
    assert.equal(read, text);
    assert.ok(
      logprobs.every((each) => Number.isFinite(each) && each < 0),
      "no logarithms of probabilities",
    );
    const back = await gpt2(["tokenize", "--decode"], { stdin: ids.stdout });
    assert.equal(back.stdout.trimEnd(), text.trimEnd());
    const good = await gpt2(["tokenize", "--count"], { stdin: "a\0b\0\0" });
    assert.deepEqual([good.stdout, good.stderr], ["5\n", ""]);
  });

  test("interactive: a prompt a line, none of them ends the program", async () => {
    const options = micro("--seed", "1", "--length", "2", "--format", "jsonl", "--quiet");
    const outcome = await gpt2(["interactive", ...options], { stdin: bytes });
    assertDone(outcome);
    assertPlainEnd(outcome);
    const prompts = text.split(/\r\n|\r|\n/).filter((line) => line !== "");
    assert.deepEqual(
      parseLines(outcome.stdout).map(({ prompt }) => prompt),
      prompts,
    );
  });

  test("tokenize --decode: one line that quotes no more than it must", async () => {
    const outcome = await gpt2(["tokenize", "--decode"], { stdin: bytes });
    assertCode(outcome, 2, "noise");
    assert.match(
      outcome.stderr,
      /^warning: [^\n]+\ngpt2: [^\n]+ is not a token id: ids are whole numbers from 0\n$/,
    );
  });
});
