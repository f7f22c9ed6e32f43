import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { createCpuEngine } from "../../dist/src/engines/cpu/inference/engine.js";
import { logProbabilities, summarize } from "../../dist/src/sampling/score.js";
import { MICRO, SHAKESPEARE, STORIES, withSource } from "../support/models.js";
import { assertDone, assertFails, gpt2, TEMPORARY } from "../support/spawn.js";

interface Scored {
  text: string;
  ids: number[];
  logprobs: number[];
  total: number;
  perplexity: number;
  bits_per_byte: number;
}

suite("gpt2 score", { concurrency: 2 }, () => {
  for (const { name, folder, expected } of [MICRO, SHAKESPEARE, STORIES]) {
    test(`${name}: log-probabilities equal float64's to 1e-4`, async () => {
      for (const known of expected.texts) {
        const outcome = await gpt2(["score", "--model_name", folder, "--format", "jsonl"], {
          stdin: known.text,
        });
        assertDone(outcome);
        const scored = JSON.parse(outcome.stdout) as Scored;
        const { text, ids, logprobs, total, perplexity, bits_per_byte } = scored;
        assert.equal(text, known.text);
        assert.deepEqual(ids, known.ids);
        assert.equal(logprobs.length, ids.length);
        for (const [i, logprob] of logprobs.entries()) {
          assert.ok(
            Math.abs(logprob - known.logprobs[i]) < 1e-4,
            `token ${i}: ${logprob}, not ${known.logprobs[i]}`,
          );
        }
        assert.ok(Math.abs(total - known.total) < 1e-3);
        assert.ok(Math.abs(perplexity / known.perplexity - 1) < 1e-3);
        assert.ok(Math.abs(bits_per_byte + total / Math.LN2 / Buffer.byteLength(text)) < 1e-9);
      }
    });
  }

  test("a text longer than the context: windows overlap, the first tokens do not depend on the stride", async () => {
    const text = "Every line of this is longer than the sixty-four tokens that it can see. ".repeat(6);
    const file = join(TEMPORARY, "long text.txt");
    writeFileSync(file, text);
    const score = async (...args: string[]): Promise<Scored> => {
      const outcome = await gpt2(["score", file, "--model_name", MICRO.folder, "--format", "jsonl", ...args]);
      assertDone(outcome);
      return JSON.parse(outcome.stdout) as Scored;
    };
    const [half, one, whole] = await Promise.all([score(), score("--stride", "1"), score("--stride", "64")]);
    assert.ok(half.ids.length > 200);
    assert.deepEqual(half.logprobs.slice(0, 64), one.logprobs.slice(0, 64));
    assert.notDeepEqual(half.logprobs, one.logprobs);
    // With stride 64 the windows do not overlap: token 64 is scored from the one token before it.
    const second = await gpt2([
      "score",
      "--model_name",
      MICRO.folder,
      "--stride",
      "64",
      "--format",
      "text",
      file,
    ]);
    assertDone(second);
    assert.equal(second.stdout.trimEnd().split("\n").length, half.ids.length + 1);
    assert.notEqual(whole.total, half.total);
    assert.equal(whole.logprobs.length, half.logprobs.length);
  });

  test("each window is scored as a text of its own that begins with the token before it", async () => {
    const engine = await withSource(MICRO, (hparams, source) =>
      createCpuEngine(hparams, source, { threads: 1 }),
    );
    const ids = Array.from({ length: 150 }, (_, i) => (i * 37) % 400);
    const all = await logProbabilities(engine, 399, ids, 40);
    // The window from 40 on scores 64 to 103; the one from 80 on 104 to 143; the last the rest.
    for (const [begin, from, to] of [
      [0, 0, 64],
      [40, 64, 104],
      [80, 104, 144],
      [120, 144, 150],
    ]) {
      const start = begin === 0 ? 399 : ids[begin - 1];
      const own = await logProbabilities(engine, start, ids.slice(begin, to), 64);
      assert.deepEqual(all.slice(from, to), own.slice(from - begin));
    }
    await engine.dispose();
  });

  test("wrong usage and empty texts: one line", async () => {
    const micro = ["--model_name", MICRO.folder];
    assertFails(await gpt2(["score", ...micro], { stdin: "" }), 1, /empty/);
    assertFails(await gpt2(["score", ...micro, "--stride", "65"], { stdin: "a" }), 2, /--stride.*64/);
    assertFails(await gpt2(["score", ...micro, "--stride", "0"], { stdin: "a" }), 2, /--stride/);
    assertFails(await gpt2(["score", ...micro, "/no/such/file"]), 1, /\/no\/such\/file/);
  });

  test("summarize: sums, means, bits", () => {
    const { total, perplexity, bits_per_byte } = summarize([Math.log(0.25), Math.log(0.25)], 4);
    assert.ok(Math.abs(total - Math.log(1 / 16)) < 1e-12);
    assert.ok(Math.abs(perplexity - 4) < 1e-12);
    assert.ok(Math.abs(bits_per_byte - 1) < 1e-12);
  });
});

suite("gpt2 tokenize", { concurrency: 2 }, () => {
  const lines = readFileSync(new URL("../fixtures/tokenizer.jsonl", import.meta.url), "utf8")
    .trimEnd()
    .split("\n");
  const known = lines.map((line) => JSON.parse(line) as { text: string; ids: number[] });

  test("OpenAI's ids without a download, from an argument, a file and a pipe, and back", async () => {
    const { text, ids } = known.filter((each) => each.text.length > 20 && !each.text.includes("\ufeff"))[0];
    const file = join(TEMPORARY, "tokenize.txt");
    writeFileSync(file, text);
    const outcomes = await Promise.all([
      gpt2(["tokenize", text]),
      gpt2(["tokenize", "--file", file]),
      gpt2(["tokenize"], { stdin: text }),
    ]);
    for (const outcome of outcomes) {
      assertDone(outcome);
      assert.equal(outcome.stdout, `${ids.join(" ")}\n`);
    }
    const back = await gpt2(["tokenize", "--decode"], { stdin: `[${ids.join(", ")}]\n` });
    assertDone(back);
    assert.equal(back.stdout, text);
    const count = await gpt2(["tokenize", "--count", text]);
    assert.equal(count.stdout, `${ids.length}\n`);
    const jsonl = await gpt2(["tokenize", "--format", "jsonl", "--decode", ...ids.map(String)]);
    assert.deepEqual(JSON.parse(jsonl.stdout), { text, ids });
  });

  test("a model's own vocabulary", async () => {
    const { text, ids } = MICRO.expected.texts[0];
    const outcome = await gpt2(["tokenize", "--model_name", MICRO.folder, text]);
    assertDone(outcome);
    assert.equal(outcome.stdout, `${ids.join(" ")}\n`);
  });

  test("wrong usage: one line", async () => {
    assertFails(await gpt2(["tokenize", "--decode", "12x"]), 2, /"12x"/);
    assertFails(await gpt2(["tokenize", "--decode", "50257"]), 1, /50257/);
    assertFails(await gpt2(["tokenize", "two", "words"]), 2, /quote the text/);
    assertFails(await gpt2(["tokenize", "a", "--file", "b"]), 2, /--file/);
    assertFails(await gpt2(["tokenize", "a", "--model_name", "nonsense"]), 2, /nonsense/);
  });
});
