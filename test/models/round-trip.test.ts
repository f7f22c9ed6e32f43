/** A model that is imported, written by `gpt2 export` and imported once more is the same, byte for byte: each format. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { exportModel } from "../../dist/src/models/export.js";
import { importModel } from "../../dist/src/models/import.js";
import { writeModel } from "../support/huggingface.js";
import { ROOT, TEMPORARY } from "../support/spawn.js";

const FIXTURES = join(ROOT, "test/fixtures");
const read = (path: string): string => readFileSync(join(FIXTURES, path), "utf8");
const PAIR = {
  "vocab.json": read("huggingface/f32/vocab.json"),
  "merges.txt": read("huggingface/f32/merges.txt"),
};
const SIZES = { n_positions: 16, n_embd: 8, n_layer: 2, n_head: 2 };
const added = (special: boolean, more = {}) => ({
  lstrip: false,
  rstrip: false,
  single_word: false,
  special,
  ...more,
});

interface Kind {
  readonly name: string;
  readonly config: object;
  readonly files: Readonly<Record<string, string>>;
  /** Formats that do not hold it, which is refused. */
  readonly refused?: readonly string[];
}

const KINDS: readonly Kind[] = [
  { name: "GPT-2's own", config: { vocab_size: 400, bos_token_id: 399, eos_token_id: 399 }, files: PAIR },
  {
    name: "rows to spare, two tokens that end a text, another that begins it",
    config: { vocab_size: 448, bos_token_id: 5, eos_token_id: [7, 399] },
    files: PAIR,
  },
  {
    name: "added tokens of every kind, a space and a token before every text",
    config: { vocab_size: 405, bos_token_id: 400, eos_token_id: 399 },
    files: {
      ...PAIR,
      "tokenizer_config.json": JSON.stringify({
        tokenizer_class: "GPT2Tokenizer",
        add_prefix_space: true,
        add_bos_token: true,
        bos_token: "<s>",
        added_tokens_decoder: {
          400: { content: "<s>", ...added(true, { normalized: false }) },
          401: { content: "<mask>", ...added(true, { lstrip: true, normalized: true }) },
          402: { content: "caf\u00e9", ...added(false, { single_word: true, normalized: true }) },
          403: { content: "\u4f60\u597d", ...added(false, { rstrip: true, normalized: false }) },
          404: { content: "  ", ...added(false, { normalized: true }) },
        },
      }),
    },
  },
  {
    name: "options of the architecture",
    config: {
      vocab_size: 400,
      activation_function: "gelu",
      layer_norm_epsilon: 1e-6,
      n_inner: 20,
      scale_attn_by_inverse_layer_idx: true,
      tie_word_embeddings: false,
    },
    files: PAIR,
    refused: ["tensorflow", "gguf"],
  },
  {
    name: "WordPiece",
    config: { vocab_size: 600, tokenizer_class: "BertTokenizer" },
    files: { "vocab.txt": read("tokenizers/vocab.txt") },
    refused: ["tensorflow", "gguf"],
  },
  ...["wordpiece", "unigram", "character-bpe", "byte-level-digits"].map((name) => ({
    name,
    config: { vocab_size: 800, eos_token_id: 2 },
    files: { "tokenizer.json": read(`tokenizers/${name}.json`), "added_tokens.json": '{"<more>": 790}' },
    refused: ["tensorflow", "gguf"],
  })),
];

let count = 0;
const fresh = (): string => join(TEMPORARY, `round ${count++}`);
const imported = async (from: string): Promise<string> => {
  const target = fresh();
  await importModel(from, target, { dtype: "float32" });
  return target;
};
/** Every file's bytes, but for what model.json says of the format that the model came from. */
function filesOf(folder: string): Map<string, string> {
  return new Map(
    readdirSync(folder)
      .sort()
      .map((name) => [name, readFileSync(join(folder, name), "latin1").replace(/"generatedBy":"[^"]*"/, "")]),
  );
}

for (const { name, config, files, refused = [] } of KINDS) {
  describe(name, async () => {
    const source = fresh();
    writeModel(source, { ...SIZES, ...config }, files);
    const model = await imported(source);

    test("tfjs", async () => assert.deepEqual(filesOf(await imported(model)), filesOf(model)));

    for (const format of ["huggingface", "tensorflow", "gguf"] as const) {
      test(format, async () => {
        const write = async (from: string): Promise<string> => {
          const folder = fresh();
          mkdirSync(folder);
          const out = join(folder, format === "gguf" ? "model.gguf" : "out");
          await exportModel(from, out, { format });
          return out;
        };
        if (refused.includes(format))
          return void (await assert.rejects(write(model), /format: "huggingface"|another format/));
        const out = await write(model);
        const again = await imported(out);
        const first = filesOf(model);
        const second = filesOf(again);
        if (format === "gguf") {
          // A GGUF file has no place for an added token's flags, nor for the order of a table.
          for (const each of ["tokens.json", "encoder.json"]) [first, second].map((all) => all.delete(each));
        }
        assert.deepEqual(second, first);
        // Written again, it is the same file.
        const twice = await write(again);
        if (format === "gguf") assert.ok(readFileSync(twice).equals(readFileSync(out)));
        else assert.deepEqual(filesOf(twice), filesOf(out));
        assert.deepEqual(filesOf(await imported(twice)), filesOf(again));
      });
    }
  });
}

test("an export of another tokenizer in its place leaves no file of the older one", async () => {
  const [a, b] = await Promise.all(
    [KINDS[0], KINDS[5]].map(async (kind) => {
      const source = fresh();
      writeModel(source, { ...SIZES, ...kind?.config }, kind?.files ?? {});
      return imported(source);
    }),
  );
  const out = fresh();
  await exportModel(a as string, out, { format: "huggingface" });
  await exportModel(b as string, out, { format: "huggingface", overwrite: true });
  const clean = fresh();
  await exportModel(b as string, clean, { format: "huggingface" });
  assert.deepEqual(filesOf(out), filesOf(clean));
});
