import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { Painting, piecesOf } from "../../dist/src/cli/samples/painting.js";
import { isPainted, painted } from "../../dist/src/cli/terminal/paint.js";
import { generateSamples, loadModel, score } from "../../dist/src/index.js";
import { levelOf } from "../../dist/src/probability-scale.js";
import type { DrawnToken } from "../../src/sampling/logprobs.js";
import { Interactive, OPTIONS, PROMPT } from "../support/interactive.js";
import { STORIES } from "../support/models.js";
import { expectedParts, paintedParts, unpainted } from "../support/paint.js";
import { assertDone, assertFails, gpt2, TEMPORARY } from "../support/spawn.js";
import { NO_TERMINAL, Terminal } from "../support/terminal.js";

const LEGEND = "probability of each token:  50% or more  20%  5%  1%  0.1%  less \n";
const MODEL = ["--model_name", STORIES.folder];
const WRITING = [...MODEL, "--seed", "1", "--length", "40"];
const model = await loadModel(STORIES.folder);
after(() => model.dispose());

/** How a sample's tokens are painted: by what the library says of them. */
async function sampleParts(prompt: string, nsamples = 1) {
  const parts = [];
  for await (const { token_logprobs = [] } of generateSamples(model, prompt, {
    ...{ seed: 1, length: 40, nsamples, logprobs: 0 },
  }))
    parts.push(expectedParts(token_logprobs));
  return parts;
}

describe("--color", { concurrency: 2 }, () => {
  test("generate: each token in the colours of its probability, and nothing else changes", async () => {
    const [plain, colour] = await Promise.all([
      gpt2(["generate", "Once upon a time", ...WRITING]),
      gpt2(["generate", "Once upon a time", ...WRITING, "--color", "always"]),
    ]);
    assertDone(plain);
    assertDone(colour);
    assert.equal(unpainted(colour.stdout), plain.stdout);
    const [parts] = await sampleParts("Once upon a time");
    assert.deepEqual(paintedParts(colour.stdout), [{ text: "Once upon a time" }, ...parts, { text: "\n" }]);
    assert.ok(new Set(parts.map(({ level }) => level)).size > 3);
    assert.equal(unpainted(colour.stderr).split(LEGEND).length, 2, "the legend, once");
    assert.deepEqual(
      paintedParts(colour.stderr).flatMap(({ level = [] }) => level),
      [0, 1, 2, 3, 4, 5],
    );
    assert.ok(!plain.stderr.includes("\x1b"));
  });

  test("several samples, computed at once, and prompts of a file", async () => {
    const file = join(TEMPORARY, "colour prompts.txt");
    writeFileSync(file, "Once upon a time\nThe dog\n");
    const [samples, prompts, plain] = await Promise.all([
      gpt2(["unconditional", ...WRITING, "--nsamples", "3", "--batch_size", "3", "--color", "always"]),
      gpt2(["generate", "--prompts", file, ...WRITING, "--batch_size", "2", "--color", "always"]),
      gpt2(["generate", "--prompts", file, ...WRITING, "--batch_size", "2"]),
    ]);
    const painted = paintedParts(samples.stdout).filter(({ level }) => level !== undefined);
    const expected = (await sampleParts("", 3)).flat().filter(({ level }) => level !== undefined);
    assert.deepEqual(painted, expected);
    assertDone(prompts);
    assert.equal(unpainted(prompts.stdout), plain.stdout);
    const both = [...(await sampleParts("Once upon a time")), ...(await sampleParts("The dog"))].flat();
    assert.deepEqual(
      paintedParts(prompts.stdout).filter(({ level }) => level !== undefined),
      both.filter(({ level }) => level !== undefined),
    );
  });

  test("a sample after one that a stop text cut", async () => {
    const args = ["unconditional", ...WRITING, "--stop", " a", "--color", "always"];
    const [both, second] = await Promise.all([
      gpt2([...args, "--nsamples", "2"]),
      gpt2([...args, "--nsamples", "1", "--first_sample", "2"]),
    ]);
    assertDone(both);
    const parts = paintedParts(second.stdout);
    assert.ok(parts.length > 15);
    assert.deepEqual(paintedParts(both.stdout).slice(-parts.length + 1), parts.slice(1)); // but for the first's newline
  });

  test("texts that a beam search finds, of one prompt and of a file", async () => {
    const file = join(TEMPORARY, "colour beams.txt");
    writeFileSync(file, "Once upon a time\n");
    const args = [...MODEL, "--num_beams", "3", "--length", "12", "--color", "always"];
    const [one, prompts] = await Promise.all([
      gpt2(["generate", "Once upon a time", ...args]),
      gpt2(["generate", "--prompts", file, ...args]),
    ]);
    const parts = [];
    const found = generateSamples(model, "Once upon a time", { num_beams: 3, length: 12, logprobs: 0 });
    for await (const { token_logprobs = [] } of found) parts.push(...expectedParts(token_logprobs));
    for (const outcome of [one, prompts]) {
      assertDone(outcome);
      const painted = paintedParts(outcome.stdout).filter(({ level }) => level !== undefined);
      assert.deepEqual(
        painted,
        parts.filter(({ level }) => level !== undefined),
      );
    }
  });

  test("score: the tokens of the table", async () => {
    const text = "Once upon a time, héllo 😀.\n";
    const args = ["score", ...MODEL, "--top", "2"];
    const [plain, colour] = await Promise.all([
      gpt2(args, { stdin: text }),
      gpt2([...args, "--color", "always"], { stdin: text }),
    ]);
    assertDone(colour);
    assert.equal(unpainted(colour.stdout), plain.stdout);
    const { token_logprobs = [] } = await score(model, text, { top: 0 });
    assert.deepEqual(
      paintedParts(colour.stdout).filter(({ level }) => level !== undefined),
      expectedParts(token_logprobs.map(({ text, logprob }) => ({ text: JSON.stringify(text), logprob }))),
    );
    assert.ok(unpainted(colour.stderr).includes(LEGEND));
  });

  test("no colours in a pipe unless they are asked for, in jsonl, in files; --quiet drops the legend", async () => {
    const args = ["generate", "The dog", ...WRITING];
    const plain = await gpt2(args);
    const file = join(TEMPORARY, "no colours.txt");
    const forced = { FORCE_COLOR: "1" };
    const [piped, asForced, jsonl, filed, quiet] = await Promise.all([
      gpt2([...args, "--color", "auto"]),
      gpt2([...args, "--color", "auto"], { env: forced }),
      gpt2([...args, "--color", "always", "--format", "jsonl"]),
      gpt2([...args, "--color", "always", "--out", file]),
      gpt2([...args, "--color", "always", "--quiet"], { env: { NO_COLOR: "1" } }),
    ]);
    assert.equal(piped.stdout, plain.stdout);
    assert.equal((await gpt2(args, { env: forced })).stdout, plain.stdout, "off by default");
    assert.notEqual(asForced.stdout, plain.stdout);
    assert.equal(unpainted(asForced.stdout), plain.stdout);
    assert.equal(JSON.parse(jsonl.stdout).token_logprobs, undefined);
    assertDone(filed);
    assert.equal(readFileSync(file, "utf8"), plain.stdout);
    for (const { stderr } of [piped, jsonl, filed]) assert.ok(!stderr.includes("\x1b"));
    assert.notEqual(quiet.stdout, plain.stdout);
    assert.equal(quiet.stderr, "");
    assertFails(await gpt2([...args, "--color", "yes"]), 2, /--color must be one of auto, always, never/);
  });

  describe("on a terminal", { skip: NO_TERMINAL }, () => {
    const env = { NO_COLOR: "" };

    test("generate --color auto paints, the legend comes first; $NO_COLOR and TERM=dumb turn it off", async () => {
      const args = ["generate", "Once upon a time", ...WRITING, "--color", "auto"];
      const { stdout: plain } = await gpt2(args);
      const { stdout, code } = await new Terminal(args, { env, limit: 120 }).ends(true);
      assert.equal(code, 0);
      const shown = unpainted(stdout).replaceAll("\r\n", "\n");
      assert.ok(shown.includes(`${LEGEND}${plain}`), shown);
      const [parts] = await sampleParts("Once upon a time");
      const painted = paintedParts(stdout).filter(({ level }) => level !== undefined);
      assert.deepEqual(
        painted.slice(6),
        parts.filter(({ level }) => level !== undefined),
      );
      for (const off of [{ NO_COLOR: "1" }, { ...env, TERM: "dumb" }])
        assert.ok(
          (await new Terminal(args, { env: off, limit: 120 }).ends()).stdout.includes("Once upon a time"),
        );
    });

    test("interactive: /set color turns it on; /choose paints what it takes; the legend comes once", async () => {
      const session = new Interactive([...OPTIONS, "--model_name", STORIES.folder], env);
      await session.shows(PROMPT);
      await session.line("The dog");
      assert.ok(!session.raw.includes("\x1b[38;"));
      assert.deepEqual(await session.command("/set color auto"), ["color auto"]);
      const before = session.raw.length;
      await session.line("The cat");
      session.type("/choose 2\r");
      await session.shows(/Escape none: $/);
      session.type("2");
      await session.shows(PROMPT);
      const parts = paintedParts(session.raw.slice(before)).filter(({ level }) => level !== undefined);
      const records = await session.records();
      assert.deepEqual(
        parts.slice(0, 6).map(({ level }) => level),
        [0, 1, 2, 3, 4, 5],
      );
      const expected = [];
      for await (const { token_logprobs = [] } of generateSamples(model, "The cat", {
        ...{ seed: 1, length: 8, nsamples: 2, logprobs: 0 },
      }))
        expected.push(...expectedParts(token_logprobs).filter(({ level }) => level !== undefined));
      assert.deepEqual(parts.slice(6), expected);
      assert.ok(records.every(({ text }) => !text.includes("\x1b")));
      session.type("/quit\r");
      assert.equal((await session.ends(true)).code, 0);
    });
  });
});

test("what decides under auto: $FORCE_COLOR, then $NO_COLOR, then the terminal", () => {
  const [terminal, pipe] = [{ isTTY: true }, { isTTY: false }];
  assert.equal(isPainted("auto", terminal, {}), true);
  assert.equal(isPainted("auto", pipe, {}), false);
  assert.equal(isPainted("auto", terminal, { NO_COLOR: "1" }), false);
  assert.equal(isPainted("auto", terminal, { NO_COLOR: "", FORCE_COLOR: "" }), true);
  assert.equal(isPainted("auto", terminal, { TERM: "dumb" }), false);
  assert.equal(isPainted("auto", pipe, { FORCE_COLOR: "1", NO_COLOR: "1" }), true);
  assert.equal(isPainted("auto", terminal, { FORCE_COLOR: "0" }), false);
  assert.equal(isPainted("always", pipe, { NO_COLOR: "1" }), true);
  assert.equal(isPainted("never", terminal, { FORCE_COLOR: "1" }), false);
});

/** A token of some bytes that adds a text. */
const drawn = (bytes: readonly number[], probability: number, added: string): DrawnToken => ({
  ...{ id: 0, text: "", bytes, rank: 1, top: [], logprob: Math.log(probability), added },
});
const spansOf = (text: string, tokens: readonly DrawnToken[]): { text: string; level: number }[] =>
  piecesOf(text, tokens).map(({ text, logprob }) => ({ text, level: levelOf(Math.exp(logprob)) }));
const letters = (text: string, probability: number): DrawnToken =>
  drawn([...Buffer.from(text)], probability, text);

describe("which text is painted by which token", () => {
  test("tokens that only together are a character: by the product of their probabilities", () => {
    const tokens = [letters("a", 0.9), drawn([0xc3], 0.3, ""), drawn([0xa9], 0.3, "é"), letters("b", 0.9)];
    assert.deepEqual(spansOf("aéb", tokens), [
      { text: "a", level: 0 },
      { text: "é", level: 2 },
      { text: "b", level: 0 },
    ]);
  });

  test("a character that the end left unfinished; a special token that is not shown; a text that was cut", () => {
    assert.deepEqual(spansOf("a\ufffd", [letters("a", 0.9), drawn([0xe2], 0.3, "")]), [
      { text: "a", level: 0 },
      { text: "\ufffd", level: 1 },
    ]);
    const special = drawn([...Buffer.from("<|sep|>")], 0.0001, "");
    assert.deepEqual(spansOf("ab", [letters("a", 0.9), special, letters("b", 0.9)]), [
      { text: "a", level: 0 },
      { text: "b", level: 0 },
    ]);
    assert.deepEqual(spansOf("a st", [letters("a", 0.9), letters(" stop", 0.1)]), [
      { text: "a", level: 0 },
      { text: " st", level: 2 },
    ]);
  });

  test("a token that is shown in parts, as its end could have begun a stop text", () => {
    const painting = new Painting();
    for (const token of [letters(" stop", 0.1), letters("!", 0.9)]) painting.push(token);
    const shown = [" s", "top", "!"].map((text) => painting.cut(text));
    assert.deepEqual(
      shown.flat().map(({ text, logprob }) => ({ text, level: levelOf(Math.exp(logprob)) })),
      [
        { text: " s", level: 2 },
        { text: "top", level: 2 },
        { text: "!", level: 0 },
      ],
    );
  });

  test("control characters become signs, colours end with each line", () => {
    const [{ level, text }] = paintedParts(painted("a\x1b[31mb\x07", 3));
    assert.deepEqual([level, text], [3, "a␛[31mb␇"]);
    assert.deepEqual(paintedParts(painted("a\n\n b", 1)), [
      { text: "a", level: 1 },
      { text: "\n\n" },
      { text: " b", level: 1 },
    ]);
  });
});
