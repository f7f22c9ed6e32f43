import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { Encoder, openAiVocabulary } from "../../dist/src/encoder/encoder.js";
import { pieceEnd } from "../../dist/src/encoder/split.js";
import { type TrainedVocabulary, trainVocabulary } from "../../dist/src/encoder/train.js";
import { loadDataset } from "../../dist/src/finetune/dataset/corpus.js";
import { documentTexts } from "../../dist/src/finetune/dataset/documents.js";
import { UsageError } from "../../dist/src/system/errors.js";
import { inProject } from "../support/models.js";

const END = "<|endoftext|>";

const encoderOf = ({ encoderJson, vocabBpe }: TrainedVocabulary): Encoder =>
  Encoder.fromFiles(encoderJson, vocabBpe, "");
const mergesOf = ({ vocabBpe }: TrainedVocabulary): string[] => vocabBpe.split("\n").slice(1, -1);

/** Whole numbers below n, the same in every run. */
function numbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** The characters that stand for bytes, from OpenAI's own file: its first 256 tokens. */
const openAiJson = readFileSync(join(openAiVocabulary(), "encoder.json"), "utf8");
const alphabet = Object.entries(JSON.parse(openAiJson) as Record<string, number>)
  .sort(([, a], [, b]) => a - b)
  .slice(0, 256)
  .map(([token]) => token);
const openAi = Encoder.fromFiles(openAiJson, readFileSync(join(openAiVocabulary(), "vocab.bpe"), "utf8"), "");
const characterOf = new Map(alphabet.map((token, id) => [openAi.tokenBytes(id)[0]!, token]));

/**
 * The method at its simplest: tokens are strings, and everything is recounted for every merge.
 * @returns the merges, and the text as it was merged
 */
function trainNaively(text: string, n_vocab: number): { merges: string[]; words: string[][] } {
  const words: string[][] = [];
  for (let start = 0, end: number; start < text.length; start = end) {
    end = pieceEnd(text, start);
    words.push([...Buffer.from(text.slice(start, end))].map((byte) => characterOf.get(byte)!));
  }
  const tokens = [...alphabet];
  const merges: string[] = [];
  while (tokens.length < n_vocab - 1) {
    const counts = new Map<string, number>();
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        const pair = `${word[i]} ${word[i + 1]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const ids = (pair: string): number[] => pair.split(" ").map((token) => tokens.indexOf(token));
    const [best] = [...counts].sort(([a, m], [b, n]) => {
      const [[left, right], [left2, right2]] = [ids(a), ids(b)];
      return n - m || left! - left2! || right! - right2!;
    });
    if (!best || best[1] < 2) break;
    const [left, right] = best[0].split(" ") as [string, string];
    merges.push(best[0]);
    tokens.push(left + right);
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        if (word[i] === left && word[i + 1] === right) word.splice(i, 2, left + right);
      }
    }
  }
  return { merges, words };
}

describe("merges", () => {
  test("agree with Hugging Face's trainer on a text of many languages", async () => {
    const fixture = JSON.parse(readFileSync(inProject("test/fixtures/bpe-train.json"), "utf8")) as {
      n_vocab: number;
      texts: string[];
      merges: string[];
    };
    const trained = await trainVocabulary(fixture.texts, fixture.n_vocab);
    assert.deepEqual(mergesOf(trained), fixture.merges);
    assert.equal(trained.n_vocab, fixture.merges.length + 257);
    // Beginning with what every English text begins with.
    assert.deepEqual(fixture.merges.slice(0, 3), ["Ġ t", "h e", "Ġ a"]);
    const backwards = await trainVocabulary([...fixture.texts].reverse(), fixture.n_vocab);
    assert.deepEqual(backwards, trained, "the order of the texts matters");
  });

  test("agree with the plainest trainer; texts are encoded as they were merged", async () => {
    const below = numbers(11);
    const alphabets = [
      "a",
      "ab",
      "aab ",
      "abc'st",
      "日本語 ",
      "ab12 .\n",
      "éè€😀 x",
      "\u0000\u0085\u00a0\ufeff",
    ];
    for (let round = 0; round < 120; round++) {
      const characters = [...alphabets[round % alphabets.length]!];
      const length = 1 + below(round % 10 === 0 ? 500 : 120);
      const text = Array.from({ length }, () => characters[below(characters.length)]!).join("");
      const n_vocab = 257 + below(60);
      const trained = await trainVocabulary([text], n_vocab);
      const { merges, words } = trainNaively(text, n_vocab);
      assert.deepEqual(mergesOf(trained), merges, JSON.stringify(text));
      const tokens = JSON.parse(trained.encoderJson) as Record<string, number>;
      assert.deepEqual(
        encoderOf(trained).encode(text),
        words.flat().map((token) => tokens[token]),
        JSON.stringify(text),
      );
    }
  });

  test("never cross from one text to the next, nor the borders of words", async () => {
    const trained = await trainVocabulary(Array(10).fill("a"), 300);
    assert.deepEqual(mergesOf(trained), []);
    const words = mergesOf(await trainVocabulary(["it's 12 it's 12 it's"], 300));
    assert.deepEqual(words, ["' s", "i t", "1 2", "Ġ it", "Ġ 12"]);
  });

  test("a pair that stands once is not merged; the true number of tokens is told", async () => {
    const trained = await trainVocabulary(["abcabd"], 1000);
    assert.deepEqual(mergesOf(trained), ["a b"]);
    assert.equal(trained.n_vocab, 258);
    assert.equal(encoderOf(trained).n_vocab, 258);
  });

  test("long runs without a border", async () => {
    const run = await trainVocabulary(["a".repeat(1_000_000)], 270);
    assert.deepEqual(mergesOf(run).slice(0, 3), ["a a", "aa aa", "aaaa aaaa"]);
    const below = numbers(3);
    const bases = Array.from({ length: 300_000 }, () => "ACGT"[below(4)]).join("");
    assert.equal((await trainVocabulary([bases], 400)).n_vocab, 400);
  });
});

describe("files", () => {
  test("are in OpenAI's formats", async () => {
    const trained = await trainVocabulary(["the theme of the day: naïve 日本 ".repeat(4)], 275);
    const first = openAiJson.slice(0, openAiJson.indexOf(': 255, "') + 7);
    assert.equal(trained.encoderJson.slice(0, first.length), first);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII
    assert.match(trained.encoderJson, /^[\x00-\x7e]*$/);
    assert.match(trained.encoderJson, /, "<\|endoftext\|>": 274\}$/);
    assert.match(trained.vocabBpe, /^#version: 0\.2\n([^ \n]+ [^ \n]+\n){18}$/);
    const tokens = Object.values(JSON.parse(trained.encoderJson) as Record<string, number>);
    assert.deepEqual(
      tokens.sort((a, b) => a - b),
      Array.from({ length: 275 }, (_, id) => id),
    );
    const encoder = encoderOf(trained);
    assert.deepEqual([encoder.n_vocab, encoder.endOfText], [275, 274]);
  });

  test("any text comes back from its ids", async () => {
    const encoder = encoderOf(await trainVocabulary(["Some words, some more words, and some others."], 300));
    const below = numbers(5);
    const every = Array.from({ length: 0x3000 }, (_, i) => String.fromCodePoint(i)).join("");
    for (const text of [every, "words 😀 __proto__ constructor <|endoftext|>", "\ufeff\r\n\u0000"]) {
      assert.equal(encoder.decode(encoder.encode(text)), text);
    }
    for (let round = 0; round < 200; round++) {
      const text = Array.from({ length: 20 }, () => String.fromCodePoint(below(0xd800))).join("");
      assert.equal(encoder.decode(encoder.encode(text)), text);
    }
  });

  test("tokens named as JavaScript's own properties", async () => {
    const encoder = encoderOf(
      await trainVocabulary([" __proto__ constructor toString 12 12".repeat(9)], 400),
    );
    assert.equal(encoder.encode(" __proto__ constructor").length, 4); // " __", "proto", "__", " constructor"
    assert.equal(encoder.encode(" 12").length, 1);
  });

  test("no text: the bytes and the end of text", async () => {
    for (const texts of [[], [""]]) {
      const trained = await trainVocabulary(texts, 5000);
      assert.equal(trained.n_vocab, 257);
      assert.equal(trained.vocabBpe, "#version: 0.2\n");
      assert.equal(encoderOf(trained).endOfText, 256);
    }
    for (const wrong of [256, 0, -1, 300.5, Number.NaN]) {
      await assert.rejects(trainVocabulary([], wrong), (error) => error instanceof UsageError);
    }
  });
});

describe("a vocabulary of a dataset", () => {
  const folder = mkdtempSync(join(tmpdir(), "gpt2-bpe-"));
  after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));

  test("the marks of a table's rows", async () => {
    const path = join(folder, "titles.csv");
    const titles = Array.from({ length: 200 }, (_, i) => `"Is it, in ${i} of the cases, legal?"`);
    writeFileSync(path, `title\n${titles.join("\n")}\n`);
    const trained = await trainVocabulary(documentTexts(path), 400);
    const encoder = encoderOf(trained);
    assert.equal(encoder.endOfText, trained.n_vocab - 1);
    assert.equal(encoder.encode("<|startoftext|>").length, 3); // `<|`, `startoftext`, `|>`
    assert.doesNotMatch(trained.vocabBpe, /endoftext/, "the end of text is counted as text");
    const { tokens, documents } = await loadDataset(path, encoder);
    assert.equal(documents, 200);
    assert.equal(tokens.filter((id) => id === encoder.endOfText).length, 200);
    assert.equal(
      encoder.decode(tokens.subarray(0, tokens.indexOf(encoder.endOfText!) + 1)),
      `<|startoftext|>Is it, in 0 of the cases, legal?${END}`,
    );
  });

  test("an abort ends the training; others have their turn; it tells how far it is", async (t) => {
    const below = numbers(8);
    const word = (): string => Array.from({ length: 6 }, () => "etaoinshrdlu"[below(12)]).join("");
    const text = Array.from({ length: 60_000 }, word).join(" ");
    // Whenever it looks at the clock a second has passed: turns are counted, not time.
    let now = 0;
    t.mock.method(Date, "now", () => (now += 1000));
    let turns = 0;
    let next: NodeJS.Immediate;
    const count = (): void => {
      turns++;
      next = setImmediate(count);
    };
    next = setImmediate(count);
    const seen: [number, number][] = [];
    const trained = await trainVocabulary([text], 5000, { onProgress: (...now) => seen.push(now) });
    clearImmediate(next);
    assert.ok(turns >= 100, `${turns} turns`);
    assert.deepEqual(seen.at(-1), [trained.n_vocab, 5000]);
    assert.ok(seen.length >= 2 && seen.every(([tokens], i) => i === 0 || tokens >= seen[i - 1]![0]));
    const controller = new AbortController();
    const aborted = trainVocabulary([text], 5000, {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await assert.rejects(aborted, { name: "AbortError" });
  });
});
