import assert from "node:assert/strict";
import { type Encoder, loadEncoder } from "../../../../dist/src/encoder/encoder.js";
import { readTokenizer } from "../../../../dist/src/formats/huggingface/tokenizer.js";
import { BPE, JSON_TEXT } from "../../../support/vocabulary.js";
import { changeBytes } from "../bytes.js";
import type { Draw } from "../draw.js";
import { JsonMutator } from "../json.js";
import { type Files, filesIn, type Target } from "../target.js";

const TEXT = "The quick brown fox, 3 times: naïve \u{1f600}\n";

/**
 * An encoder that was made must be a whole one.
 * @param isByteLevel it gives every text back; other tokenizers may change one, or know only a part of it
 */
function checkEncoder(encoder: Encoder, isByteLevel = true): void {
  const { n_vocab, endOfText } = encoder;
  assert.ok(Number.isSafeInteger(n_vocab) && n_vocab >= (isByteLevel ? 256 : 1), `n_vocab is ${n_vocab}`);
  assert.ok(endOfText === undefined || (endOfText >= 0 && endOfText < n_vocab), `endOfText is ${endOfText}`);
  const ids = encoder.encode(TEXT);
  assert.ok(
    (ids.length > 0 || !isByteLevel) && ids.every((id) => Number.isInteger(id) && id >= 0 && id < n_vocab),
    `ids ${ids}`,
  );
  const text = encoder.decode(ids);
  if (isByteLevel) assert.equal(text, TEXT);
  for (let id = 0; id < n_vocab; id++) encoder.tokenBytes(id);
}

const LINES = [
  "a b",
  "ab c",
  "\u0120 the",
  "x",
  " ",
  "a  b",
  "a b c",
  "\u009b [",
  "\u001b\u001b \u001b",
  "\ud83d\ude00 a",
].concat(["#version: 9", "", "\0", `${"a".repeat(3000)} b`, `a ${"\u001b".repeat(300)}`]);

/** A list of merges with lines left out, repeated, exchanged or new. */
function changeLines(file: Buffer, draw: Draw): Buffer {
  const lines = file.toString().split("\n");
  const [at, other] = [draw.below(lines.length), draw.below(lines.length)];
  draw.weighted([
    [2, () => lines.splice(at, 1 + draw.below(3))],
    [2, () => lines.splice(at, 0, lines[other] ?? "")],
    [2, () => lines.splice(at, 1, lines[other] ?? "")],
    [3, () => lines.splice(at, draw.below(2), draw.pick(LINES))],
    [1, () => lines.splice(at, 1, draw.pick(LINES) + draw.pick(lines))],
    [1, () => lines.splice(at)],
  ]);
  return Buffer.from(lines.join(draw.once(5) ? "\r\n" : "\n"));
}

/** encoder.json and vocab.bpe, which a scanner in WebAssembly reads first. */
export function encoderTarget(): Target {
  const bases = [
    filesIn("test/fixtures/micro", /^(encoder\.json|vocab\.bpe)$/),
    new Map([
      ["encoder.json", Buffer.from(JSON_TEXT)],
      ["vocab.bpe", Buffer.from(BPE)],
    ]),
  ];
  const mutators = bases.map((files) => new JsonMutator(String(files.get("encoder.json"))));
  return {
    bases,
    mutate: (draw, base) => {
      const json = bases[base]?.get("encoder.json") as Buffer;
      const bpe = bases[base]?.get("vocab.bpe") as Buffer;
      return draw.weighted<Files>([
        [4, () => new Map([["encoder.json", (mutators[base] as JsonMutator).mutate(draw)]])],
        [3, () => new Map([["encoder.json", changeBytes(json, draw)]])],
        [2, () => new Map([["vocab.bpe", changeBytes(bpe, draw)]])],
        [3, () => new Map([["vocab.bpe", changeLines(bpe, draw)]])],
      ]);
    },
    run: async (folder) => {
      checkEncoder(await loadEncoder(folder));
    },
    reached: [
      /is not valid JSON/,
      /is not a table of tokens/,
      /must be a whole number from 0/,
      /two tokens have the id/,
      /has no token .* for the byte/,
      /stands for no byte/,
      /does not begin with a line/,
      /has no token/,
      /is not two tokens with a space/,
      /it may be cut short/,
    ],
  };
}

const TOKENIZER_CONFIG = JSON.stringify({
  tokenizer_class: "GPT2Tokenizer",
  model_max_length: 64,
  added_tokens_decoder: { 399: { content: "<|endoftext|>", special: true }, 400: { content: "<pad>" } },
});

/** Hugging Face's tokenizer files: vocab.json with merges.txt, or tokenizer.json, and the tokens that were added. */
export function tokenizerTarget(): Target {
  const wanted = /^(vocab\.json|merges\.txt|tokenizer\.json|added_tokens\.json)$/;
  const config = Buffer.from(TOKENIZER_CONFIG);
  const bases = ["bf16", "f16"].map((name) => {
    const files = filesIn(`test/fixtures/huggingface/${name}`, wanted);
    const single = files.get("tokenizer.json");
    if (single) {
      const json = JSON.parse(String(single)) as object;
      files.set("tokenizer.json", Buffer.from(JSON.stringify({ normalizer: null, ...json })));
    }
    return files.set("tokenizer_config.json", config);
  });
  const mutators = bases.map(
    (files) =>
      new Map(
        [...files]
          .filter(([name]) => name.endsWith(".json"))
          .map(([name, text]) => [
            name,
            new JsonMutator(String(text), ["<a>", "[b]", "ab", "BPE", "ByteLevel", "<|endoftext|>"]),
          ]),
      ),
  );
  return {
    bases,
    mutate: (draw, base) => {
      const files = bases[base] as Files;
      const name = draw.pick([...files.keys()]);
      const content = files.get(name) as Buffer;
      const mutator = mutators[base]?.get(name);
      if (mutator && !draw.once(5)) return new Map([[name, mutator.mutate(draw)]]);
      return new Map([
        [name, mutator || draw.once(2) ? changeBytes(content, draw) : changeLines(content, draw)],
      ]);
    },
    run: async (folder) => {
      const tokenizer = await readTokenizer(folder, 402);
      assert.ok(tokenizer);
      checkEncoder(tokenizer.encoder, tokenizer.vocabulary.has("encoder.json"));
    },
    reached: [
      /is not valid JSON/,
      /its tokenizer cannot be read/,
      /describes no tokenizer/,
      /is not two tokens/,
      /the id of/,
      /an added token has no text or no id/,
      /in another file/,
      /conflicts with/,
      /it may be cut short/,
    ],
  };
}
