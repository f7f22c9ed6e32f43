/**
 * Tokenizers as Hugging Face's tokenizer.json describes them, one of each kind, beside npm's @huggingface/tokenizers: ids
 * of 300 nasty texts, texts of ids, token by token and at once. test/fixtures/tokenizers/make.mjs makes them.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Tokenizer } from "@huggingface/tokenizers";
import type { Encoder } from "../../dist/src/encoder/encoder.js";
import { readTokenizer } from "../../dist/src/formats/huggingface/tokenizer.js";
import { ROOT, TEMPORARY } from "../support/spawn.js";

const FIXTURES = join(ROOT, "test/fixtures/tokenizers");
const NAMES = [
  "byte-level",
  "byte-level-prefix",
  "byte-level-digits",
  "wordpiece",
  "unigram",
  "character-bpe",
] as const;
const TEXTS = readFileSync(join(ROOT, "test/fixtures/tokenizer.jsonl"), "utf8")
  .split("\n")
  .filter((line) => line !== "")
  .map((line) => (JSON.parse(line) as { text: string }).text);
/** Around the tokens that the fixtures have added. */
const MARKED = [
  "<|user|>hi<|endoftext|>",
  "a <mask> b<mask>c  <sep>  d",
  "<|user|>s and <|user|>",
  "  two  spaces  ",
  "[CLS] he said [SEP]",
  "[MASK]ed, QUX and qux, Quxes",
  "<s>Hello</s> </s>world<unk>",
  "x<usr>y <USR> z",
  "\u{20000}\u4e2d\u6587 \uac00\ub098 ABC \uff21\uff22\uff23 \u00e9e\u0301 \ufb01",
];

interface Json {
  readonly [name: string]: unknown;
}
const read = (name: string): Json => JSON.parse(readFileSync(join(FIXTURES, `${name}.json`), "utf8")) as Json;

let count = 0;
/** The encoder that an import makes of a folder with these files. */
async function encoderOf(files: Readonly<Record<string, string>>, n_vocab = 10_000): Promise<Encoder> {
  const folder = join(TEMPORARY, `tokenizer-${count++}`);
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const tokenizer = await readTokenizer(folder, n_vocab);
  assert.ok(tokenizer);
  return tokenizer.encoder;
}
const ours = (json: Json): Promise<Encoder> => encoderOf({ "tokenizer.json": JSON.stringify(json) });

const plain = { skip_special_tokens: false, clean_up_tokenization_spaces: false };

/** Text of ids that come one at a time. */
function streamed(encoder: Encoder, ids: readonly number[], before: readonly number[] = []): string {
  const decoder = encoder.decoder(before);
  return ids.map((id) => decoder.push(id)).join("") + decoder.end();
}

/** Whole numbers below n, the same in every run. */
function numbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

describe("beside npm's @huggingface/tokenizers", () => {
  for (const name of NAMES) {
    test(`${name}: the ids of ${TEXTS.length + MARKED.length} texts`, async () => {
      const json = read(name);
      const [encoder, library] = [await ours(json), new Tokenizer(json, {})];
      for (const text of [...TEXTS, ...MARKED]) {
        const { ids } = library.encode(text, { add_special_tokens: false });
        assert.deepEqual(encoder.encode(text), ids, JSON.stringify(text.slice(0, 200)));
      }
    });

    test(`${name}: the text of ids, at once and token by token`, async () => {
      const json = read(name);
      const [encoder, library] = [await ours(json), new Tokenizer(json, {})];
      const draw = numbers(1);
      const random = Array.from({ length: 50 }, () =>
        Array.from({ length: 1 + draw(40) }, () => draw(encoder.n_vocab)),
      );
      const all = [...random, ...[...TEXTS, ...MARKED].map((text) => encoder.encode(text))];
      for (const ids of all.filter(({ length }) => length > 0)) {
        const wanted = library.decode(ids, plain);
        assert.equal(encoder.decode(ids), wanted);
        assert.equal(streamed(encoder, ids), wanted, `${ids}`);
        // Behind a prompt: what both give together.
        const at = draw(ids.length);
        const marks = new Set(encoder.marks.keys());
        if (at > 0 && !marks.has(ids[at - 1])) {
          const [before, rest] = [ids.slice(0, at), ids.slice(at)];
          const start = library.decode(before, plain);
          if (!start.endsWith("\ufffd")) assert.equal(start + streamed(encoder, rest, before), wanted);
        }
      }
    });
  }
});

test("whole words: the library is wrong, it finds an added token of single_word inside others", async () => {
  const word = {
    id: 400,
    content: "cat",
    single_word: true,
    lstrip: false,
    rstrip: false,
    normalized: false,
  };
  const json = { ...read("byte-level"), added_tokens: [{ ...word, special: false }] };
  const encoder = await ours(json);
  const found = (ids: readonly number[]): number => ids.filter((id) => id === 400).length;
  const text = "cat concat cats, cat.";
  assert.equal(found(encoder.encode(text)), 2);
  assert.equal(found(new Tokenizer(json, {}).encode(text, { add_special_tokens: false }).ids), 4);
  const other = { ...read("wordpiece"), added_tokens: [{ ...word, id: 700, special: false }] };
  assert.equal((await ours(other)).encode(text).filter((id) => id === 700).length, 2);
});

test("long texts: the library's ids, where it is given all at once; a word without an end takes no minutes", async () => {
  for (const name of ["wordpiece", "unigram", "character-bpe", "byte-level-digits"] as const) {
    const json = read(name);
    const [encoder, library] = [await ours(json), new Tokenizer(json, {})];
    const words = TEXTS.join(" ").match(/[a-zA-Z,.]+/g) ?? [];
    const text = words.join(" ").slice(0, 9000);
    assert.ok(text.length > 8500);
    assert.deepEqual(encoder.encode(text), library.encode(text, { add_special_tokens: false }).ids, name);
    const word = "\u4e2dabc\u{1f600}".repeat(10_000);
    assert.ok(encoder.encode(word).length > 0);
  }
});

test("a text that goes on has no space before it; behind a token there is one where the tokenizer says so", async () => {
  const unigram = await ours(read("unigram"));
  const [alone, going] = [unigram.encode("the"), unigram.encode("the", { continues: true })];
  assert.equal(unigram.decode([...alone, ...alone]), "the the");
  assert.equal(unigram.decode([...alone, ...going]), "thethe");
  assert.equal(unigram.decode(unigram.encode("a<s>the")), "a<s> the"); // "always"
  const first = await ours(read("character-bpe"));
  assert.equal(first.decode(first.encode("a<usr>the")), "a<usr>the"); // "first"
});
