import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, suite, test } from "node:test";
import { loadEncoder } from "../../dist/src/encoder/encoder.js";
import { countWikitextWords, detokenizeWikitext } from "../../dist/src/sampling/wikitext.js";
import { pause } from "../support/interactive.js";
import { MICRO, SHAKESPEARE, withSource } from "../support/models.js";
import { assertDone, assertFails, gpt2, startGpt2, TEMPORARY } from "../support/spawn.js";
import { referenceLogits } from "../support/wasm-reference.js";

const encoder = await loadEncoder(MICRO.folder);
const START = encoder.startOfText!;
const N_CTX = 64;
const TEXT = "Speak, speak . First we are to die than famish ? It was the best of times . ".repeat(4);

/** log P(id) and whether it is the likeliest, in float64. */
function look(row: number[], id: number): { logprob: number; isBest: boolean } {
  const max = Math.max(...row);
  const sum = row.reduce((total, logit) => total + Math.exp(logit - max), 0);
  return { logprob: row[id] - max - Math.log(sum), isBest: row.indexOf(max) === id };
}

/** The micro model in float64: log-probabilities of `wanted`, which follow `before`. */
async function reference(before: readonly number[], wanted: readonly number[]) {
  return withSource(MICRO, async (hparams, source) => {
    const parameters = new Map<string, Float32Array>();
    for (const [name, { shape }] of source.tensors) {
      const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
      await source.read(name, values);
      parameters.set(name, values);
    }
    const rows = referenceLogits(hparams, parameters, [...before, ...wanted.slice(0, -1)]);
    return wanted.map((id, i) => look(rows[before.length - 1 + i], id));
  });
}

/** Sum of log-probabilities of a text in windows, straight from the definition: each token from its own window. */
async function referenceTotal(ids: readonly number[], stride: number): Promise<number> {
  const read = [START, ...ids];
  let total = 0;
  for (let i = 0; i < ids.length; ) {
    let begin = 0;
    while (begin + N_CTX <= i) begin += stride;
    const end = Math.min(begin + N_CTX, ids.length);
    const found = await reference(read.slice(begin, i + 1), ids.slice(i, end));
    for (const { logprob } of found) total += logprob;
    i = end;
  }
  return total;
}

const file = (name: string, text: string): string => {
  const path = join(TEMPORARY, name);
  writeFileSync(path, text);
  return path;
};

async function evaluate(...args: string[]): Promise<Record<string, number>> {
  const outcome = await gpt2(["evaluate", ...args, "--model_name", MICRO.folder, "--format", "jsonl"]);
  assertDone(outcome);
  return JSON.parse(outcome.stdout) as Record<string, number>;
}

const near = (value: number, expected: number, tolerance: number): void =>
  assert.ok(Math.abs(value / expected - 1) < tolerance, `${value}, not ${expected}`);

suite("gpt2 evaluate", { concurrency: 2 }, () => {
  for (const stride of [64, 32, 7]) {
    test(`perplexity in windows ${stride} tokens apart equals float64's`, async () => {
      const path = file(`text ${stride}.txt`, TEXT);
      const ids = encoder.encode(TEXT);
      assert.ok(ids.length > 2 * N_CTX);
      const total = await referenceTotal(ids, stride);
      const result = await evaluate(path, "--stride", String(stride));
      assert.equal(result["tokens"], ids.length);
      near(result["perplexity"], Math.exp(-total / ids.length), 1e-5);
      near(result["bits_per_byte"], -total / Math.LN2 / Buffer.byteLength(TEXT), 1e-5);
      assert.equal(result["words"], TEXT.trim().split(" ").length);
      near(result["word_perplexity"], Math.exp(-total / result["words"]), 1e-4);
    });
  }

  test("it is what gpt2 score says of the same text; --limit takes the first tokens", async () => {
    const path = file("as score.txt", TEXT);
    const result = await evaluate(path);
    const scored = await gpt2(["score", path, "--model_name", MICRO.folder, "--format", "jsonl"]);
    assert.equal(result["perplexity"], (JSON.parse(scored.stdout) as Record<string, number>)["perplexity"]);
    const ids = encoder.encode(TEXT).slice(0, 10);
    const limited = await evaluate(path, "--limit", "10");
    near(limited["perplexity"], Math.exp(-(await referenceTotal(ids, 32)) / 10), 1e-5);
    assert.equal(limited["words"], undefined);
  });

  test("WikiText: scored as it was before it was cut into words, per word of the original", async () => {
    const cut = ' = Robert = \n \n He was born in 1 @,@ 960 , " it " is said ; a well @-@ known man . \n';
    const whole = '= Robert =\n\nHe was born in 1,960, "it" is said; a well-known man.\n';
    const result = await evaluate(file("wiki.tokens", cut), "--detokenize", "wikitext");
    const ids = encoder.encode(whole);
    assert.equal(result["tokens"], ids.length);
    assert.equal(result["words"], cut.trim().split(/ +|\n/).filter(Boolean).length + 3);
    near(result["word_perplexity"], Math.exp(-(await referenceTotal(ids, 32)) / result["words"]), 1e-4);
  });

  test("last words: found where greedy finds them, and their perplexity", async () => {
    // The reference's own greedy continuations end some of the texts, so that some words are found.
    const texts = [
      ...MICRO.expected.texts.map(({ text }) => text),
      "Speak, speak",
      "First we are",
      `${"far too long a context ".repeat(30)}end`,
    ].filter((text) => /\S\s+\S/.test(text));
    const lines = texts.map((text) => `${JSON.stringify({ text })}\n`).join("\n");
    const result = await evaluate(file("words.jsonl", lines), "--task", "last_word");
    let [found, total] = [0, 0];
    for (const text of texts) {
      const [, context, word] = /^(.*\S)(\s+\S+)\s*$/s.exec(text)!;
      const wanted = encoder.encode(word);
      const before = encoder.encode(context).slice(-(N_CTX - wanted.length + 1));
      const looks = await reference(before, wanted);
      if (looks.every(({ isBest }) => isBest)) found++;
      for (const { logprob } of looks) total += logprob;
    }
    assert.deepEqual([result["texts"], result["found"]], [texts.length, found]);
    assert.equal(result["accuracy"], found / texts.length);
    near(result["word_perplexity"], Math.exp(-total / texts.length), 1e-4);
  });

  test("a model that knows its last words finds them", async () => {
    // What the Shakespeare model writes greedily, cut behind a word: greedy finds that word.
    const { prompt, greedy_text } = SHAKESPEARE.expected.prompts[0];
    const text = `${prompt}${greedy_text}`.replace(/\s+\S*$/, "");
    const path = file(
      "known.jsonl",
      `${JSON.stringify({ text })}\n${JSON.stringify({ text: "The zebra" })}\n`,
    );
    const outcome = await gpt2(["evaluate", path, "--task", "last_word", "--model_name", SHAKESPEARE.folder]);
    assertDone(outcome);
    assert.match(
      outcome.stdout,
      /^1 of 2 last words found, accuracy 50\.00 %, perplexity [\d.]+ per word\n$/,
    );
  });

  test("bad files: one line that names the place", async () => {
    const run = (path: string, ...args: string[]) =>
      gpt2(["evaluate", path, "--model_name", MICRO.folder, ...args]);
    const words = ["--task", "last_word"];
    assertFails(await run(file("empty.txt", "")), 1, /empty\.txt is empty/);
    assertFails(await run(join(TEMPORARY, "none")), 1, /cannot read .*none: no such file/);
    assertFails(
      await run(file("a.jsonl", '{"text":"a b"}\n{"txt":"a b"}\n'), ...words),
      1,
      /a\.jsonl:2 has no "text"/,
    );
    assertFails(
      await run(file("b.jsonl", '\n{"text":"alone"}\n'), ...words),
      1,
      /b\.jsonl:2: the text needs two words/,
    );
    assertFails(await run(file("c.jsonl", "text\n"), ...words), 1, /c\.jsonl:1 is not valid JSON/);
    assertFails(
      await run(file("d.txt", "a"), "--stride", "65"),
      2,
      /--stride must be at most the model's context, 64/,
    );
    assertFails(
      await run(file("e.txt", "a"), "--task", "all"),
      2,
      /--task must be one of perplexity, last_word/,
    );
  });
});

describe("evaluate --resume", () => {
  const text = TEXT.repeat(10);

  test("stopped again and again, it ends with the numbers of one run, to the last digit", async () => {
    const path = file("long.txt", text);
    const state = join(TEMPORARY, "long.state.json");
    const args = ["evaluate", path, "--model_name", MICRO.folder, "--format", "jsonl", "--stride", "1"];
    const whole = await gpt2(args);
    assertDone(whole);
    const doneOf = (): number =>
      (JSON.parse(readFileSync(state, "utf8")) as { sums: { done: number } }).sums.done;
    let [before, stops] = [-1, 0];
    for (;;) {
      const running = startGpt2([...args, "--resume", state]);
      if (stops === 0) while (!existsSync(state)) await pause(5);
      else if (before > 0) await running.until(/: continuing/, "stderr");
      if (stops < 3) {
        await pause(300); // when it is stopped is what is tested: anywhere will do
        running.child.kill("SIGINT");
      }
      const outcome = await running.ended;
      if (outcome.code === 0) {
        assert.equal(outcome.stdout, whole.stdout);
        break;
      }
      if (outcome.signal !== "SIGINT") {
        // it had not begun yet
        assert.equal(outcome.code, 130, outcome.stderr);
        assert.match(outcome.stderr, /evaluation stopped: the same command again continues it\n$/);
      }
      assert.ok(doneOf() >= before);
      before = doneOf();
      stops++;
    }
    assert.ok(stops > 0, "never stopped");
    assert.deepEqual(
      readdirSync(TEMPORARY).filter((name) => name.endsWith(".part")),
      [],
    );
    const again = await gpt2([...args, "--resume", state]);
    assert.equal(again.stdout, whole.stdout);
    assert.match(again.stderr, /holds (\d+) of \1 tokens: continuing/);
  });

  test("a file of another text, model or option, or of anything else, is refused and kept", async () => {
    const path = file("some.txt", TEXT);
    const state = join(TEMPORARY, "some.state.json");
    const base = ["evaluate", path, "--resume", state];
    assertDone(await gpt2([...base, "--model_name", MICRO.folder]));
    const kept = readFileSync(state, "utf8");
    assertFails(
      await gpt2([...base, "--model_name", MICRO.folder, "--stride", "3"]),
      1,
      /with another stride: choose/,
    );
    assertFails(
      await gpt2([...base, "--model_name", MICRO.folder, "--precision", "int8"]),
      1,
      /with another model/,
    );
    writeFileSync(path, `${TEXT}more`);
    assertFails(await gpt2([...base, "--model_name", MICRO.folder]), 1, /with another text/);
    assert.equal(readFileSync(state, "utf8"), kept);
    for (const other of ["[]", "{}", "no JSON", '{"measured":{},"sums":{"done":-1}}']) {
      writeFileSync(state, other);
      assertFails(
        await gpt2([...base, "--model_name", MICRO.folder]),
        1,
        /was not written by evaluate --resume/,
      );
      assert.equal(readFileSync(state, "utf8"), other);
    }
  });
});

test("WikiText's words become text again", () => {
  const cases: readonly (readonly [string, string])[] = [
    [" = = Early life = = ", "== Early life =="],
    [" the 2 @.@ 5 km ( 1 @.@ 6 mi ) road ", "the 2.5 km (1.6 mi) road"],
    [' he said , " No , not now . " and left ', 'he said, "No, not now." and left'],
    [" the king 's horse , the kings ' horses ", "the king's horse, the kings' horses"],
    [" they 're here ; I do n't know ! ", "they're here; I don't know!"],
    [" $ 5 and 40 % of <unk> ", "$5 and 40% of <unk>"],
    [" a – b ... c ", "a – b... c"],
    ["", ""],
  ];
  for (const [cut, whole] of cases) assert.equal(detokenizeWikitext(cut), whole);
  assert.equal(countWikitextWords(" = A = \n \n b c . \n"), 6 + 3);
});
