import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  assertDone,
  assertFails,
  gpt2,
  type JsonLine,
  micro,
  parseLines,
  type SpawnOptions,
  TEMPORARY,
} from "../support/spawn.js";

const OPTIONS = micro("--seed", "8", "--length", "6");

/** What `generate` prints for a prompt. */
async function generate(args: readonly string[], options: SpawnOptions = {}): Promise<JsonLine> {
  const outcome = await gpt2(["generate", ...OPTIONS, "--format", "jsonl", ...args], options);
  assertDone(outcome);
  return parseLines(outcome.stdout)[0];
}

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(TEMPORARY, name);
  await writeFile(path, content);
  return path;
}

describe("where generate takes its prompt from", { concurrency: 2 }, () => {
  const reference = generate(["Speak, speak"]);

  test("argument, file and standard input, with and without a line's end: the same text", async () => {
    const wanted = await reference;
    assert.equal(wanted.prompt, "Speak, speak");
    for (const ending of ["", "\n", "\r\n"]) {
      assert.deepEqual(await generate([], { stdin: `Speak, speak${ending}` }), wanted);
    }
    const path = await file("a prompt – ü.txt", "Speak, speak\r\n");
    assert.deepEqual(await generate(["--prompt_file", path]), wanted);
    // Windows puts a byte order mark before a text; it is not part of it.
    assert.deepEqual(await generate([], { stdin: "\ufeffSpeak, speak\r\n" }), wanted);
  });

  test("text: the prompt, then its continuation; 20 `=` between samples", async () => {
    const outcome = await gpt2(["generate", ...OPTIONS, "--nsamples", "2", "Speak, speak"]);
    const { text } = await reference;
    const [first, second, ...rest] = outcome.stdout.split(`${"=".repeat(20)}\n`);
    assert.equal(first, `Speak, speak${text}\n`);
    assert.match(second, /^Speak, speak/);
    assert.deepEqual(rest, []);
  });

  test("only the last line's end goes; lines and line ends within stay", async () => {
    assert.equal((await generate([], { stdin: "\n one\r\ntwo\n\n" })).prompt, "\n one\ntwo\n");
  });

  test("NUL, control characters and every kind of Unicode", async () => {
    const prompt = "a\0b\x1b[31m\u2028\u0085 é 東京 👩‍👩‍👧 \u202e";
    const line = await generate([], { stdin: prompt });
    assert.deepEqual([line.prompt, line.tokens], [prompt, 6]);
  });

  test("bytes that are no UTF-8 become U+FFFD", async () => {
    const line = await generate([], { stdin: Uint8Array.of(0x61, 0xff, 0xc3, 0x28, 0xe6, 0x9d) });
    assert.equal(line.prompt, "a\ufffd\ufffd(\ufffd");
  });

  test("`<|endoftext|>` in a prompt is ordinary text", async () => {
    assert.equal((await generate(["<|endoftext|>"])).prompt, "<|endoftext|>");
  });

  test("behind `--` a prompt may begin with a dash", async () => {
    assert.equal((await generate(["--", "--top-k=3"])).prompt, "--top-k=3");
    assert.equal((await generate(["--", "-"])).prompt, "-");
  });

  test("no prompt, an empty one, two at once", async () => {
    const path = await file("empty.txt", "\n");
    const outcomes = await Promise.all([
      gpt2(["generate", ...OPTIONS]),
      gpt2(["generate", ...OPTIONS, ""]),
      gpt2(["generate", ...OPTIONS], { stdin: "\r\n" }),
      gpt2(["generate", ...OPTIONS, "--prompt_file", path]),
    ]);
    for (const outcome of outcomes) assertFails(outcome, 2, /prompt is empty: gpt2 unconditional/);
    assertFails(
      await gpt2(["generate", ...OPTIONS, "a", "--prompt_file", path]),
      2,
      /give the prompt once/,
      /--prompt_file/,
    );
  });

  test("a prompt file that is not there, or is a folder", async () => {
    const gone = join(TEMPORARY, "gone.txt");
    assertFails(await gpt2(["generate", "--prompt_file", gone]), 1, /cannot read .*gone\.txt: no such file/);
    assertFails(await gpt2(["generate", "--prompt_file", TEMPORARY]), 1, /cannot read .*: it is a folder/);
  });
});

describe("a prompt longer than the context", { concurrency: 2 }, () => {
  test("1 MB: a warning names both numbers; its newest tokens count", async () => {
    const ending = "\nSpeak, speak.";
    const start = "Before we proceed any further, hear me speak. ".repeat(23_000);
    const outcome = await gpt2(["generate", ...OPTIONS, "--format", "jsonl"], { stdin: start + ending });
    assertDone(outcome);
    const [, tokens] =
      /^warning: the prompt's (\d+) tokens are more than the context's 64: .*32/m.exec(outcome.stderr) ?? [];
    assert.ok(Number(tokens) > 300_000, outcome.stderr);
    const [line] = parseLines(outcome.stdout);
    assert.equal(line.prompt, start + ending);
    const shorter = await generate([], { stdin: start.slice(-460) + ending });
    assert.equal(line.text, shorter.text);
  });

  test("as long as the context: no warning, one token more: a warning", async () => {
    const options = micro("--seed", "1", "--format", "jsonl");
    const [full, over] = await Promise.all([
      gpt2(["generate", ...options, "!".repeat(64)]),
      gpt2(["generate", ...options, "--length", "40", "!".repeat(65)]),
    ]);
    assert.doesNotMatch(full.stderr, /warning/);
    assert.deepEqual(parseLines(full.stdout)[0].finish_reason, "context");
    assert.match(over.stderr, /warning: the prompt's 65 tokens .*64/);
    assert.equal(parseLines(over.stdout)[0].tokens, 40);
  });
});

describe("interactive from a pipe", { concurrency: 2 }, () => {
  test("CRLF, a byte order mark, no end of the last line, NUL, bad bytes, blank and long lines", async () => {
    const long = "the ".repeat(200);
    const stdin = Buffer.concat([
      Buffer.from("\ufefffirst\r\n\r\n \r\na\0b\r\n"),
      Buffer.of(0x61, 0xff, 0x0a),
      Buffer.from(`${long}\nlast`),
    ]);
    const args = ["--length", "2", "--seed", "1", "--format", "jsonl"];
    const outcome = await gpt2(["interactive", ...micro(...args)], { stdin });
    assertDone(outcome);
    const prompts = parseLines(outcome.stdout).map(({ prompt }) => prompt);
    assert.deepEqual(prompts, ["first", " ", "a\0b", "a\ufffd", long, "last"]);
    assert.equal((outcome.stderr.match(/^Prompt should not be empty!$/gm) ?? []).length, 1);
    assert.equal((outcome.stderr.match(/^warning: the prompt's \d+ tokens .* 64/gm) ?? []).length, 1);
    assert.ok(!outcome.stdout.includes("Model prompt"));
  });

  test("no prompt at all: nothing is written, exit code 0", async () => {
    const outcome = await gpt2(["interactive", ...micro("--seed", "1")]);
    assertDone(outcome);
    assert.equal(outcome.stdout + outcome.stderr, "");
  });

  test("a prompt is answered as generate continues it, and every prompt of a script starts from the same seed", async () => {
    const stdin = "of\nSpeak, speak\n";
    const outcome = await gpt2(["interactive", ...OPTIONS, "--format", "jsonl"], { stdin });
    assert.deepEqual(parseLines(outcome.stdout)[1], await generate(["Speak, speak"]));
  });
});
