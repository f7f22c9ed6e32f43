import assert from "node:assert/strict";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { type GenerateOptions, generateSamples, loadModel } from "../../dist/src/index.js";
import {
  assertDone,
  assertFails,
  gpt2,
  type JsonLine,
  MICRO,
  micro,
  parseLines,
  TEMPORARY,
} from "../support/spawn.js";

const model = await loadModel(MICRO);
after(() => model.dispose());

/** The texts that `generate PROMPT` writes. */
async function alone(prompt: string, options: GenerateOptions & { nsamples?: number }): Promise<string[]> {
  const texts: string[] = [];
  for await (const { text } of generateSamples(model, prompt, options)) texts.push(text);
  return texts;
}

const file = (name: string, text: string): string => {
  const path = join(TEMPORARY, name);
  writeFileSync(path, text);
  return path;
};

type PromptLine = JsonLine & { readonly prompt_number: number };

const generate = (path: string, ...args: string[]) =>
  gpt2(["generate", "--prompts", path, ...micro(...args)]);
async function lines(path: string, ...args: string[]): Promise<PromptLine[]> {
  const outcome = await generate(path, "--format", "jsonl", ...args);
  assertDone(outcome);
  return parseLines(outcome.stdout) as PromptLine[];
}

const WORDS = [
  "of",
  "the king",
  "Speak, speak",
  "a",
  "First we are all",
  "to be or not",
  "far",
  "And then the",
];
/** Longer ones too: they end at different times, and one slides. */
const PROMPTS = Array.from({ length: 20 }, (_, i) => WORDS[i % 8].repeat(1 + Math.floor(i / 3)));

describe("generate --prompts", { concurrency: 2 }, () => {
  const path = file("prompts.txt", `${PROMPTS.join("\n")}\n`);
  const OPTIONS = ["--seed", "5", "--length", "30", "--top_k", "40"];

  test("each text is what its prompt alone gets, in order, whatever the batch", async () => {
    const wanted: (string | number)[][] = [];
    for (const [i, prompt] of PROMPTS.entries()) {
      const texts = await alone(prompt, { seed: 5, length: 30, top_k: 40, nsamples: 2 });
      for (const [k, text] of texts.entries()) wanted.push([i + 1, k + 1, prompt, text]);
    }
    for (const batch of ["1", "3", "8"]) {
      const found = await lines(path, ...OPTIONS, "--nsamples", "2", "--batch_size", batch);
      assert.deepEqual(
        found.map(({ prompt_number, sample, prompt, text }) => [prompt_number, sample, prompt, text]),
        wanted,
      );
      assert.ok(found.every(({ seed, tokens }) => seed === 5 && tokens <= 30));
    }
  });

  test("as text: a line with the prompt's number before each, or what --sample_delim says", async () => {
    const short = file("short.txt", "of\r\n\r\nthe\r\n");
    const [of, the] = [
      ...(await alone("of", { seed: 1, length: 4 })),
      ...(await alone("the", { seed: 1, length: 4 })),
    ];
    const head = (n: number): string => `${"=".repeat(40)} PROMPT ${n} ${"=".repeat(40)}\n`;
    const args = ["--seed", "1", "--length", "4"];
    assert.equal((await generate(short, ...args)).stdout, `${head(1)}of${of}\n${head(3)}the${the}\n`);
    const bare = await generate(short, ...args, "--include_prefix", "false", "--sample_delim", "--\\n");
    assert.equal(bare.stdout, `${of}\n--\n${the}\n`);
    const out = join(TEMPORARY, "out.txt");
    assertDone(await generate(short, ...args, "--out", out));
    assert.equal(readFileSync(out, "utf8"), `${head(1)}of${of}\n${head(3)}the${the}\n`);
  });

  test(".jsonl: a line's own options win; a template takes fields", async () => {
    const own = file(
      "own.jsonl",
      '{"prompt":"of","seed":9}\n\n{"prompt":"the","temperature":0,"length":3,"stop":["x"]}\n{"prompt":"a"}\n',
    );
    const found = await lines(own, "--seed", "1", "--length", "6", "--batch_size", "3");
    assert.deepEqual(
      found.map(({ prompt_number, seed, text }) => [prompt_number, seed, text]),
      [
        [1, 9, (await alone("of", { seed: 9, length: 6 }))[0]],
        [3, 1, (await alone("the", { seed: 1, temperature: 0, length: 3, stop: "x" }))[0]],
        [4, 1, (await alone("a", { seed: 1, length: 6 }))[0]],
      ],
    );
    const data = file("data.jsonl", '{"title":"The king","year":1599,"id":"x","seed":2}\n');
    const [{ prompt, seed }] = await lines(
      data,
      "--template",
      "{title}, {year}\\n",
      "--length",
      "2",
      "--seed",
      "1",
    );
    assert.deepEqual([prompt, seed], ["The king, 1599\n", 2]);
    const [column] = await lines(data, "--column", "title", "--length", "2", "--seed", "1");
    assert.equal(column.prompt, "The king");
  });

  test(".csv and .tsv: a column or a template", async () => {
    const csv = file("table.csv", '\ufeffname,prompt\nTom,"of, the\nking"\nAnn,a\n');
    const args = ["--length", "2", "--seed", "1"];
    const prompts = async (...more: string[]): Promise<[number, string][]> =>
      (await lines(csv, ...args, ...more)).map(({ prompt_number, prompt }) => [prompt_number, prompt]);
    assert.deepEqual(await prompts(), [
      [1, "of, the\nking"],
      [2, "a"],
    ]);
    assert.deepEqual(await prompts("--column", "name"), [
      [1, "Tom"],
      [2, "Ann"],
    ]);
    assert.deepEqual(await prompts("--template", "{name}: {prompt}"), [
      [1, "Tom: of, the\nking"],
      [2, "Ann: a"],
    ]);
    const tsv = file("table.tsv", "text\tid\nof\t1\n");
    assert.deepEqual(
      (await lines(tsv, ...args)).map(({ prompt }) => prompt),
      ["of"],
    );
  });

  test("--shard parts the prompts: all shards together are one run", async () => {
    const whole = await lines(path, ...OPTIONS);
    const parts = await Promise.all([1, 2, 3].map((i) => lines(path, ...OPTIONS, "--shard", `${i}/3`)));
    assert.deepEqual(
      parts.flat().sort((a, b) => a.prompt_number - b.prompt_number),
      whole,
    );
    assert.deepEqual(
      parts.map(({ length }) => length),
      [7, 7, 6],
    );
  });

  test("--resume writes what is missing, and refuses another run's file", async () => {
    const out = join(TEMPORARY, "resumed.jsonl");
    const args = [...OPTIONS, "--nsamples", "2", "--batch_size", "4", "--resume", out];
    assertDone(await generate(path, ...args));
    const whole = readFileSync(out, "utf8");
    const kept = parseLines(whole);
    assert.equal(kept.length, 2 * PROMPTS.length);
    truncateSync(out, Math.floor(whole.length / 3)); // in the middle of a line
    const again = await generate(path, ...args);
    assertDone(again);
    assert.match(again.stderr, /holds \d+ samples: continuing/);
    assert.equal(readFileSync(out, "utf8"), whole);
    assertFails(
      await generate(path, ...OPTIONS, "--nsamples", "2", "--top_p", "0.5", "--resume", out),
      1,
      /other options/,
    );
    const other = file("other.txt", `${PROMPTS.toReversed().join("\n")}\n`);
    assertFails(await generate(other, ...args), 1, /holds samples of another prompt/);
    assertFails(await gpt2(["generate", "of", ...micro(...args)]), 1, /holds samples of another prompt/);
    assert.equal(readFileSync(out, "utf8"), whole);
    const seeds = file("seeds.jsonl", '{"prompt":"of","seed":9}\n{"prompt":"the"}\n');
    const own = join(TEMPORARY, "own.out.jsonl");
    assertDone(await generate(seeds, "--length", "3", "--resume", own));
    const before = readFileSync(own, "utf8");
    truncateSync(own, before.indexOf("\n") + 1);
    const [, seed] = before.match(/"prompt_number":2,"seed":(\d+)/)!;
    assertDone(await generate(seeds, "--length", "3", "--seed", seed, "--resume", own));
    assert.equal(readFileSync(own, "utf8"), before);
  });

  test("what is wrong is told with its file and line, before the model is loaded", async () => {
    const fails = async (name: string, text: string, args: string[], code: number, ...said: RegExp[]) =>
      assertFails(await generate(file(name, text), ...args), code, ...said);
    await fails(
      "a.jsonl",
      '{"prompt":"of"}\n{"prompt":"of","topk":3}\n',
      [],
      1,
      /a\.jsonl:2: there is no option "topk"/,
    );
    await fails("b.jsonl", '{"prompt":"of","top_k":-3}\n', [], 2, /b\.jsonl:1: --top_k must be .*, not "-3"/);
    await fails(
      "c.jsonl",
      '{"text":"of"}\n',
      ["--column", "prompt"],
      1,
      /c\.jsonl:1 has no "prompt": it has "text"/,
    );
    await fails("d.jsonl", '\n["of"]\n', [], 1, /d\.jsonl:2 is not an object such as/);
    await fails("e.jsonl", '{"prompt":"of",\n', [], 1, /e\.jsonl:1 is not valid JSON/);
    await fails("f.jsonl", '{"prompt":["of"]}\n', [], 1, /f\.jsonl:1: "prompt" is not a text/);
    await fails("g.jsonl", '{"prompt":""}\n', [], 1, /g\.jsonl:1: the prompt is empty/);
    await fails("h.csv", "a,b\nof\n", [], 1, /h\.csv cannot be read as a table: /);
    await fails(
      "i.csv",
      "a,b\nof,the\n",
      ["--template", "{c}"],
      1,
      /i\.csv: row 1 has no "c": it has "a", "b"/,
    );
    await fails("j.txt", "\n \n", [], 1, /j\.txt holds no prompts/);
    await fails("k.txt", "of\n", ["--template", "{a}"], 2, /--template needs a \.jsonl, \.csv or \.tsv/);
    await fails(
      "l.csv",
      "a\nof\n",
      ["--template", "{a}", "--column", "a"],
      2,
      /give --template or --column, not both/,
    );
    await fails("m.txt", "of\n", ["--nfiles", "2"], 2, /--prompts goes with --out or --resume/);
    await fails("n.txt", "of\n", ["--prefix", "of"], 2, /--prompts names a file of prompts/);
    assertFails(
      await gpt2(["generate", "of", ...micro("--template", "x")]),
      2,
      /--template goes with --prompts FILE/,
    );
    assertFails(await generate(join(TEMPORARY, "none.txt")), 1, /cannot read .*none\.txt: no such file/);
  });

  test("Ctrl-C ends it; what was printed is whole and in order", {
    skip: process.platform === "win32",
  }, async () => {
    const { startGpt2 } = await import("../support/spawn.js");
    const many = file("many.txt", "of\n".repeat(3000));
    const args = [
      "generate",
      "--prompts",
      many,
      ...micro("--seed", "1", "--length", "60", "--batch_size", "8"),
    ];
    const running = startGpt2([...args, "--format", "jsonl"]);
    await running.until(/"prompt_number":5/);
    running.child.kill("SIGINT");
    const outcome = await running.ended;
    assert.equal(outcome.code, 130, outcome.stderr);
    const found = parseLines(outcome.stdout) as PromptLine[];
    assert.ok(found.length >= 5 && found.length < 3000);
    assert.deepEqual(
      found.map(({ prompt_number }) => prompt_number),
      found.map((_, i) => i + 1),
    );
  });
});
