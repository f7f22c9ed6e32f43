import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { pieceEnd } from "../../../dist/src/encoder/split.js";
import { loadDataset } from "../../../dist/src/finetune/dataset/corpus.js";
import { DocumentCutter, documentTexts } from "../../../dist/src/finetune/dataset/documents.js";
import { batchAt, fitContext, validationWindows } from "../../../dist/src/finetune/dataset/windows.js";
import { bytes, CHUNK, END, START, write } from "../../support/datasets.js";
import { inProject } from "../../support/models.js";

/** Whole numbers below n, the same in every run. */
function numbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** Merges happen within these alone. */
function piecesOf(text: string): string[] {
  const pieces: string[] = [];
  for (let start = 0, end: number; start < text.length; start = end) {
    end = pieceEnd(text, start);
    pieces.push(text.slice(start, end));
  }
  return pieces;
}

describe("pieces", () => {
  test("a cut never changes the tokens", () => {
    const below = numbers(4);
    const samples = [
      "'s",
      "'",
      "'ll",
      "''",
      " ",
      "  ",
      "\n",
      "\n\n",
      "\t",
      "\u00a0",
      "\u3000",
      "word",
      "é",
      "日本語",
      "\u{20000}",
      "\u{1d400}",
      "١٢",
      "12",
      "9",
      "!?",
      "...",
      "😀",
      "😀👍",
      "\ud83d",
      "e\u0301",
      "<|",
      "|>",
      "endoftext",
      END,
      START,
      "<",
      "<|endoftext",
      " a",
      "a ",
    ];
    let cuts = 0;
    for (let round = 0; round < 4000; round++) {
      const text = Array.from({ length: 1 + below(14) }, () => samples[below(samples.length)]!).join("");
      const characters = [...text]; // the reader of files never cuts a pair of surrogates
      const cutter = new DocumentCutter(true);
      const parts = [];
      for (let at = 0; at < characters.length; ) {
        const next = at + 1 + below(8);
        parts.push(...cutter.push(characters.slice(at, next).join("")));
        at = next;
      }
      parts.push(...cutter.end());
      cuts += parts.filter(({ isLast }) => !isLast).length;
      const whole = text.split(END).filter((document) => document.trim() !== "");
      assert.deepEqual(
        parts.flatMap((part) => [...piecesOf(part.text), ...(part.isLast ? [END] : [])]),
        whole.flatMap((document) => [...piecesOf(document), END]),
        JSON.stringify(text),
      );
    }
    assert.ok(cuts > 4000, `only ${cuts} cuts`);
  });

  test("what can be cut is handed on at once", () => {
    const cutter = new DocumentCutter(true);
    const texts = (chunk: string): string[] => cutter.push(chunk).map(({ text }) => text);
    assert.deepEqual(texts("x".repeat(50)), []);
    assert.deepEqual(texts(`${END}one two`), ["x".repeat(50), "one"]);
    assert.deepEqual(texts("!<|e"), [" two"]);
    assert.deepEqual(texts("e"), ["!<|"]);
    assert.deepEqual(cutter.end(), [{ text: "ee", isLast: true }]);
  });

  test("documentTexts: the same text without marks", async () => {
    const text = "The cat's 3 hats. ".repeat(30_000);
    const path = write("pieces.txt", `${text}${END}end`);
    const pieces: string[] = [];
    for await (const piece of documentTexts(path)) pieces.push(piece);
    assert.equal(pieces.join(""), `${text}end`);
    assert.ok(pieces.length > 2 && pieces.every(({ length }) => length <= 2 * CHUNK));
  });

  test("a run of some megabytes that cannot be cut", async () => {
    const { tokens } = await loadDataset(write("run.txt", `${"a".repeat(1e6)} ${"\n".repeat(4e5)}b`), bytes);
    assert.equal(tokens.length, 1.4e6 + 3);
  });

  test("a long text is never held whole", async () => {
    const words = " information development environment performance traditional significant";
    const megabytes = 32;
    const path = write("megabytes.txt", words.repeat(Math.ceil((megabytes << 20) / words.length)));
    const module = (name: string): string =>
      JSON.stringify(pathToFileURL(inProject(`dist/src/${name}`)).href);
    const script = `
      import { loadDataset } from ${module("finetune/dataset/corpus.js")};
      import { loadEncoder, openAiVocabulary } from ${module("encoder/encoder.js")};
      const encoder = await loadEncoder(openAiVocabulary());
      gc();
      const before = process.memoryUsage.rss();
      let most = 0;
      let calls = 0;
      const look = () => { if (calls++ % 8 > 0) return; gc(); most = Math.max(most, process.memoryUsage.rss() - before); };
      const { tokens } = await loadDataset(process.argv[1], encoder, { onProgress: look });
      calls = 0;
      look();
      console.log(JSON.stringify({ most, tokens: tokens.length }));`;
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--expose-gc", // or the figure would depend on when garbage is collected
      "--input-type=module",
      "-e",
      script,
      path,
    ]);
    const { most, tokens } = JSON.parse(stdout) as { most: number; tokens: number };
    assert.equal(tokens, 6 * Math.ceil((megabytes << 20) / words.length) + 1);
    // Measured: 0 to 25 MB, 6 of them tokens; the text read at once and encoded took 100.
    assert.ok(most < 48e6, `${(most / 1e6).toFixed(1)} MB more for ${megabytes} MiB of text`);
  });
});

describe("windows", () => {
  const tokens = Uint16Array.from({ length: 1000 }, (_, i) => i);
  const place = { seed: 1, step: 0, micro: 0, batch_size: 4, context_length: 16 };
  const starts = (changes: Partial<typeof place> = {}): number[] =>
    batchAt(tokens, { ...place, ...changes }).map((row) => row[0]!);

  test("rows of consecutive tokens, as many as wanted", () => {
    const rows = batchAt(tokens, place);
    assert.equal(rows.length, 4);
    for (const row of rows)
      assert.deepEqual(
        [...row],
        Array.from({ length: 17 }, (_, i) => row[0]! + i),
      );
  });

  test("a pure function of seed, step, micro and row", () => {
    assert.deepEqual(starts(), starts());
    const all = [{}, { seed: 2 }, { seed: 1 + 2 ** 32 }, { step: 1 }, { step: 2 ** 32 }, { micro: 1 }].map(
      (changes) => starts(changes).join(),
    );
    assert.equal(new Set(all).size, all.length);
    assert.equal(new Set(starts({ batch_size: 20 })).size > 15, true);
    assert.deepEqual(
      starts({ batch_size: 20 }).slice(0, 4),
      starts(),
      "a row does not depend on the batch's size",
    );
  });

  test("every place is as likely as any other, the first and the last too", () => {
    const n = 20; // places
    const few = tokens.subarray(0, 16 + n);
    const counts = new Array<number>(n).fill(0);
    const draws = 40_000;
    for (let step = 0; step < draws / 4; step++) {
      for (const row of batchAt(few, { ...place, step })) counts[row[0]!]!++;
    }
    const expected = draws / n;
    const chi2 = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 19 degrees of freedom: above 43.8 in one of a thousand
    assert.ok(chi2 < 43.8, `chi squared ${chi2}`);
  });

  test("the smallest dataset", () => {
    assert.deepEqual(
      [fitContext(2, 1024), fitContext(17, 16), fitContext(16, 16), fitContext(5000, 1024)],
      [1, 16, 15, 1024],
    );
    const rows = batchAt(tokens.subarray(0, 2), { ...place, context_length: 1 });
    assert.deepEqual(
      rows.map((row) => [...row]),
      Array(4).fill([0, 1]),
    );
    assert.throws(() => batchAt(tokens.subarray(0, 16), place), RangeError);
    assert.throws(() => batchAt(tokens, { ...place, context_length: 0 }), RangeError);
  });

  test("validation windows foretell every token once, where they fit", () => {
    const windows = validationWindows(tokens.subarray(0, 65), 16, 100);
    assert.deepEqual(
      windows.map((row) => [row[0], row.length]),
      [0, 16, 32, 48].map((start) => [start, 17]),
    );
    const uneven = validationWindows(tokens.subarray(0, 70), 16, 100);
    assert.deepEqual(
      uneven.map((row) => [row[0], row.length]),
      [0, 16, 32, 48, 53].map((start) => [start, 17]),
    );
    const foretold = new Set(uneven.flatMap((row) => [...row.subarray(1)]));
    assert.equal(foretold.size, 69);
  });

  test("no more validation windows than wanted, evenly spread; few tokens", () => {
    const spread = validationWindows(tokens, 16, 3);
    assert.deepEqual(
      spread.map((row) => [row[0], row.length]),
      [0, 491, 983].map((start) => [start, 17]),
    );
    assert.deepEqual(
      validationWindows(tokens, 16, 1).map((row) => row[0]),
      [0],
    );
    assert.deepEqual(
      validationWindows(tokens.subarray(0, 5), 16, 3).map((row) => [...row]),
      [[0, 1, 2, 3, 4]],
    );
    for (const n of [0, 1]) assert.deepEqual(validationWindows(tokens.subarray(0, n), 16, 3), []);
    assert.deepEqual(validationWindows(tokens, 16, 0), []);
  });
});
