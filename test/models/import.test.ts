import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { writeCheckpoint } from "../../dist/src/formats/tensorflow/write-checkpoint.js";
import { sizeOf } from "../../dist/src/model/parameters.js";
import { convert } from "../../dist/src/models/convert.js";
import { exportModel } from "../../dist/src/models/export.js";
import { loadFolder, openModel } from "../../dist/src/models/folder.js";
import { importModel } from "../../dist/src/models/import.js";
import { UserError } from "../../dist/src/system/errors.js";
import { readInPieces } from "../support/conformance.js";
import { MICRO as KNOWN } from "../support/models.js";
import { joinSafetensors, type Parts, splitSafetensors } from "../support/safetensors.js";
import { assertDone, assertFails, gpt2, MICRO, NO_SHELL, ROOT, shell, TEMPORARY } from "../support/spawn.js";

const FIXTURES = join(ROOT, "test/fixtures/huggingface");

let count = 0;
const fresh = (): string => join(TEMPORARY, `import-${count++}`);

/** A copy of a fixture with something changed. */
function changed(name: string, change: (folder: string) => void): string {
  const folder = fresh();
  cpSync(name === "micro" ? MICRO : join(FIXTURES, name), folder, { recursive: true });
  change(folder);
  return folder;
}

type Json = Record<string, unknown>;
const readJson = (path: string): Json => JSON.parse(readFileSync(path, "utf8")) as Json;
function editJson(path: string, edit: (json: Json) => void): void {
  const json = readJson(path);
  edit(json);
  writeFileSync(path, JSON.stringify(json));
}
function editWeights(folder: string, edit: (parts: Parts) => void): void {
  const path = join(folder, "model.safetensors");
  const parts = splitSafetensors(readFileSync(path));
  edit(parts);
  writeFileSync(path, joinSafetensors(parts.header, parts.data));
}

async function tensorsOf(folder: string): Promise<Map<string, Float32Array>> {
  const source = await openModel(folder);
  const all = new Map<string, Float32Array>();
  for (const [name, { shape }] of source.tensors) {
    const values = new Float32Array(sizeOf(shape));
    await source.read(name, values);
    all.set(name, values);
  }
  return all;
}
const ORIGINAL = await tensorsOf(MICRO);

/** The logits that an independent float64 implementation computed from micro. */
async function checkLogits(folder: string, tolerance: number): Promise<void> {
  const { engine } = await loadFolder(folder);
  try {
    for (const known of KNOWN.expected.sequences) {
      const logits = await readInPieces(engine, known.ids, 64);
      const scale = Math.max(...known.top8_logits.map(Math.abs));
      const wanted = [
        ...known.last_logits_first_16.map((logit, id) => [id, logit]),
        ...known.top8_ids.map((id, i) => [id, known.top8_logits[i]]),
      ];
      for (const [id, logit] of wanted) {
        assert.ok(Math.abs(logits[id] - logit) <= tolerance * scale, `logit ${id}: ${logits[id]} ${logit}`);
      }
    }
  } finally {
    await engine.dispose();
  }
}

describe("Hugging Face's files", () => {
  test("float32, with masks and a tied head: micro's values bit for bit, its logits and its texts", async () => {
    const target = fresh();
    const result = await importModel(join(FIXTURES, "f32"), target, { dtype: "float32" });
    assert.deepEqual(result, { parameters: 53_024, tensors: 40, bytes: 212_096, notices: [] });
    assert.deepEqual(await tensorsOf(target), ORIGINAL);
    for (const name of ["encoder.json", "hparams.json"]) {
      assert.deepEqual(readJson(join(target, name)), readJson(join(MICRO, name)));
    }
    assert.ok(readFileSync(join(target, "vocab.bpe")).equals(readFileSync(join(MICRO, "vocab.bpe"))));
    assert.equal(readJson(join(target, "model.json"))["generatedBy"], "Hugging Face");
    await checkLogits(target, 2e-5);
  });

  test("float16 without prefix and head, padded, tokenizer.json alone: the padding is cut off and told", async () => {
    const [from16, from32] = [fresh(), fresh()];
    const { notices, parameters } = await importModel(join(FIXTURES, "f16"), from16, { dtype: "float16" });
    await importModel(join(FIXTURES, "f32"), from32, { dtype: "float16" });
    assert.equal(parameters, 53_024);
    assert.deepEqual(notices, [
      "the tokenizer has 400 tokens and the embedding 408 rows: the last 8 are cut off",
    ]);
    // Python's struct rounded the one, this program the other.
    assert.deepEqual(readdirSync(from16), readdirSync(from32));
    for (const name of readdirSync(from16)) {
      const [a, b] = [from16, from32].map((folder) => readFileSync(join(folder, name)));
      if (name === "encoder.json" || name === "hparams.json")
        assert.deepEqual(JSON.parse(`${a}`), JSON.parse(`${b}`));
      else if (name === "tokens.json") {
        const [own, other] = [a, b].map((file) => JSON.parse(`${file}`) as Json);
        assert.deepEqual(own, {
          ...other,
          // tokenizer.json says so of its token, vocab.json says nothing.
          added: { "<|endoftext|>": { id: 399, special: true, normalized: true } },
        });
      } else assert.ok(a.equals(b), name);
    }
    await checkLogits(from16, 0.01);
  });

  test("bfloat16 in three files, two added tokens", async () => {
    const target = fresh();
    const { notices } = await importModel(join(FIXTURES, "bf16"), target, { dtype: "float32" });
    assert.deepEqual(notices, [
      'added to the vocabulary: "<|start of text|>", "[PAD]"; each is one token wherever it occurs in a prompt',
    ]);
    for (const [name, values] of await tensorsOf(target)) {
      const original = ORIGINAL.get(name) as Float32Array;
      const bits = new Uint32Array(values.buffer);
      assert.ok(bits.every((each) => (each & 0xffff) === 0));
      const wrong = original.findIndex((x, i) => Math.abs(x - values[i]) > 2 ** -8 * Math.abs(x));
      assert.equal(wrong, -1, name);
    }
    await checkLogits(target, 0.1);
    const { encoder, engine, hparams } = await loadFolder(target);
    await engine.dispose();
    assert.equal(hparams.n_vocab, 402);
    assert.equal(encoder.decode([400, 401, 399]), "<|start of text|>[PAD]<|endoftext|>");
    assert.deepEqual(encoder.encode("[PAD]x[PAD"), [401, ...encoder.encode("x"), ...encoder.encode("[PAD")]);
    assert.ok(!encoder.encode("[PAD").includes(401));
  });

  test("what changes nothing is taken, what the user should know is told", async () => {
    const cases: [string, (folder: string) => void, RegExp[]][] = [
      ["f32", (f) => editJson(join(f, "config.json"), (c) => delete c["activation_function"]), []],
      [
        "f32",
        (f) => editJson(join(f, "config.json"), (c) => (c["activation_function"] = "gelu_pytorch_tanh")),
        [],
      ],
      ["f32", (f) => editJson(join(f, "config.json"), (c) => (c["reorder_and_upcast_attn"] = true)), []],
      ["f32", (f) => editJson(join(f, "config.json"), (c) => (c["n_inner"] = 128)), []],
      ["f32", (f) => editJson(join(f, "config.json"), (c) => delete c["n_positions"]), []],
      ["f32", (f) => editJson(join(f, "config.json"), (c) => (c["eos_token_id"] = 0)), []],
      [
        "f32",
        (f) => writeFileSync(join(f, "added_tokens.json"), '{"<pad>": 400, "anything": 401}'),
        [/left out, as the model has no embedding for them: "<pad>", "anything"/],
      ],
      [
        "f32",
        (f) => {
          const merges = join(f, "merges.txt");
          writeFileSync(merges, readFileSync(merges, "utf8").replace(/^#.*\n/, ""));
        },
        [],
      ],
      [
        "f32",
        (f) => editWeights(f, ({ header }) => rename(header, "lm_head.weight", "v_head.summary.weight")),
        [/left out, as generating text does not need it: v_head/],
      ],
      [
        "f16",
        (f) =>
          editJson(join(f, "tokenizer.json"), (t) => {
            const model = t["model"] as { merges: unknown[] };
            model.merges = model.merges.map((merge) => (merge as string[]).join(" "));
          }),
        [/cut off/],
      ],
    ];
    for (const [name, change, wanted] of cases) {
      const target = fresh();
      const { notices } = await importModel(changed(name, change), target, { dtype: "float32" });
      assert.equal(notices.length, wanted.length, `${change} ${notices}`);
      for (const [i, pattern] of wanted.entries()) assert.match(notices[i], pattern);
      if (name === "f32") assert.deepEqual(await tensorsOf(target), ORIGINAL);
      assert.match(readFileSync(join(target, "vocab.bpe"), "utf8"), /^#version/);
    }
  });
});

function rename(header: Parts["header"], from: string, to: string): void {
  assert.ok(from in header);
  header[to] = header[from];
  delete header[from];
}

/** What cannot be imported: which folder, how it is changed, what the line says. */
const REFUSED: readonly (readonly [string, (folder: string) => void, RegExp])[] = [
  ...(
    [
      ["model_type", "gptj", /model_type is "gptj": only a GPT-2/],
      [
        "activation_function",
        "mish",
        /activation_function is "mish": a GPT-2 here has one of gelu_new, gelu,/,
      ],
      ["layer_norm_epsilon", 0, /layer_norm_epsilon is 0: a GPT-2 here has a number from/],
      ["scale_attn_by_inverse_layer_idx", "yes", /scale_attn_by_inverse_layer_idx is "yes": .*true or false/],
      ["pruned_heads", { 0: [1] }, /pruned_heads is/],
      ["is_encoder_decoder", true, /is_encoder_decoder is true/],
      ["add_cross_attention", true, /add_cross_attention is true/],
      ["n_inner", 64, /mlp\.c_fc\.bias has the shape \[128\] where config\.json describes \[64\]/],
      [
        "quantization_config",
        { quant_method: "gptq" },
        /quantized \(quant_method "gptq"\): import the original model/,
      ],
      ["n_head", 5, /n_embd 32 is not a multiple of n_head 5/],
      ["n_head", "4", /n_head must be a positive whole number, not "4"/],
      ["n_layer", 1e7, /41? tensors|too few for the 10000000 layers/],
      ["n_layer", 4, /too few|no tensor h\.3\./],
      ["n_layer", 2, /h\.2\.\S+ is not a parameter/],
      ["n_layer", 1e99, /n_layer must be/],
      ["n_embd", 64, /has the shape \[96\] where config\.json describes \[192\]/],
      ["n_positions", 32, /wpe\.weight has the shape \[64, 32\] where config\.json describes \[32, 32\]/],
      ["vocab_size", 399, /400 tokens and config\.json a vocab_size of 399/],
      ["vocab_size", 401, /wte\.weight has the shape \[400, 32\] where config\.json describes \[401, 32\]/],
    ] as const
  ).map(([name, value, pattern]): (typeof REFUSED)[number] => [
    "f32",
    (f) => editJson(join(f, "config.json"), (config) => (config[name] = value)),
    pattern,
  ]),
  ["f32", (f) => writeFileSync(join(f, "config.json"), "<html>"), /config\.json is not valid JSON/],
  ["f32", (f) => writeFileSync(join(f, "config.json"), "[]"), /config\.json describes no model/],
  ["f32", (f) => rmSync(join(f, "config.json")), /no model to import: it needs .*config\.json/],
  [
    "f32",
    (f) => rmSync(join(f, "model.safetensors")),
    /config\.json but neither model\.safetensors nor pytorch_model\.bin/,
  ],
  [
    "f32",
    (f) => renameSync(join(f, "model.safetensors"), join(f, "pytorch_model.bin")),
    /pytorch_model\.bin as a PyTorch file: .*cut off/,
  ],
  ["f32", (f) => rmSync(join(f, "vocab.json")), /vocab\.json is missing next to merges\.txt/],
  ["f32", (f) => rmSync(join(f, "merges.txt")), /merges\.txt is missing next to vocab\.json/],
  ["f16", (f) => rmSync(join(f, "tokenizer.json")), /no tokenizer: it needs vocab\.json and merges\.txt/],
  [
    "f32",
    (f) => editJson(join(f, "vocab.json"), (v) => (v["!"] = 1)),
    /vocab\.json: two tokens have the id 1/,
  ],
  ["f32", (f) => editJson(join(f, "vocab.json"), (v) => delete v["ver"]), /vocab\.json/],
  ["f32", (f) => writeFileSync(join(f, "vocab.json"), "null"), /vocab\.json has no table/],
  [
    "f32",
    (f) => writeFileSync(join(f, "merges.txt"), readFileSync(join(f, "merges.txt"), "utf8").slice(0, 400)),
    /merges\.txt/,
  ],
  [
    "bf16",
    (f) => writeFileSync(join(f, "added_tokens.json"), '{"[PAD]": 401, "<s>": 12}'),
    /added token "<s>" \(12\) conflicts with vocab\.json/,
  ],
  [
    "bf16",
    (f) => writeFileSync(join(f, "added_tokens.json"), '{"[PAD]": 401}'),
    /vocab\.json: the id of "\[PAD\]"/,
  ],
  [
    "bf16",
    (f) => writeFileSync(join(f, "added_tokens.json"), '{"[PAD]": "x"}'),
    /added_tokens\.json: an added token/,
  ],
  [
    "bf16",
    (f) =>
      writeFileSync(join(f, "tokenizer_config.json"), '{"added_tokens_decoder":{"401":{"content":"<x>"}}}'),
    /tokenizer_config\.json: the added token 401 is "<x>" here and "\[PAD\]"/,
  ],
  ...(
    [
      [(t) => (t["normalizer"] = { type: "Shouting" }), /tokenizer cannot be read: .*Shouting/],
      [(t) => (t["pre_tokenizer"] = { type: "Sieve" }), /tokenizer cannot be read: .*Sieve/],
      [(t) => ((t["model"] as Json)["type"] = "Unigram"), /tokenizer cannot be read/],
      [
        (t) => ((t["model"] as Json)["continuing_subword_prefix"] = "##"),
        /its BPE has continuing_subword_prefix: this model cannot be imported/,
      ],
      [(t) => ((t["model"] as Json)["merges"] = [["a", "b", "c"]]), /is not two tokens/],
      [(t) => Object.assign(t, { added_tokens: [], model: { vocab: [] } }), /no table of tokens/],
      [(t) => ((t["model"] as Json)["vocab"] = { a: "b" }), /the id of "a" is "b"/],
      [(t) => delete t["model"], /describes no tokenizer/],
    ] as readonly (readonly [(tokenizer: Json) => void, RegExp])[]
  ).map(([edit, pattern]): (typeof REFUSED)[number] => [
    "f16",
    (f) => editJson(join(f, "tokenizer.json"), edit),
    pattern,
  ]),
  [
    "f32",
    (f) => editWeights(f, ({ header, data }) => (data[header["lm_head.weight"].data_offsets[0]] ^= 1)),
    /lm_head\.weight differs from wte\.weight/,
  ],
  [
    "f32",
    (f) => editWeights(f, ({ header }) => rename(header, "transformer.ln_f.bias", "transformer.ln_f.beta")),
    /no tensor ln_f\.bias/,
  ],
  [
    "f32",
    (f) => editWeights(f, ({ header }) => rename(header, "lm_head.weight", "transformer.adapter\n.weight")),
    /adapter\\n\.weight is not a parameter of a GPT-2/,
  ],
  [
    "f32",
    (f) => editWeights(f, ({ header }) => rename(header, "lm_head.weight", "wte.weight")),
    /has the tensor wte\.weight twice/,
  ],
  [
    "f32", // a linear layer's weights the other way round
    (f) => editWeights(f, ({ header }) => header["transformer.h.0.attn.c_attn.weight"].shape.reverse()),
    /h\.0\.attn\.c_attn\.weight has the shape \[96, 32\] where config\.json describes \[32, 96\]/,
  ],
  [
    "f32",
    (f) => editWeights(f, ({ header }) => (header["transformer.wpe.weight"].dtype = "I32")),
    /wpe has the type I32/,
  ],
  [
    "bf16",
    (f) => rmSync(join(f, "model-00002-of-00003.safetensors")),
    /model-00002-of-00003\.safetensors: no such file/,
  ],
  [
    "bf16",
    (f) =>
      editJson(
        join(f, "model.safetensors.index.json"),
        (i) => ((i["weight_map"] as Json)["x"] = "../x.safetensors"),
      ),
    /"?\.\.\/x\.safetensors"? is not the name of a file beside it/,
  ],
  [
    "bf16",
    (f) =>
      editJson(
        join(f, "model.safetensors.index.json"),
        (i) => ((i["weight_map"] as Json)["x"] = "model-00001-of-00003.safetensors"),
      ),
    /has no tensor x, which/,
  ],
  ["bf16", (f) => writeFileSync(join(f, "model.safetensors.index.json"), "{}"), /has no weight_map/],
  ["micro", (f) => rmSync(join(f, "hparams.json")), /hparams\.json is missing next to the checkpoint/],
  ["micro", (f) => rmSync(join(f, "vocab.bpe")), /vocab\.bpe: no such file/],
  [
    "micro",
    (f) => ["vocab.bpe", "encoder.json"].map((name) => rmSync(join(f, name))),
    /cannot use OpenAI's 50257 tokens: its hparams\.json says 400: put the model's two files there/,
  ],
  ["micro", (f) => editJson(join(f, "hparams.json"), (h) => (h["n_layer"] = 2)), /different models/],
  [
    "micro",
    (f) => writeFileSync(join(f, "checkpoint"), 'model_checkpoint_path: "model-7"\n'),
    /checkpoint names model-7, which is gone; model\.ckpt is there: .*model_checkpoint_path: "model\.ckpt"/,
  ],
  [
    "micro",
    (f) => writeFileSync(join(f, "model.ckpt.data-00000-of-00001"), Buffer.alloc(212_096)),
    /damaged/,
  ],
];

describe("what cannot be imported: one line, and nothing is left behind", () => {
  for (const [i, [name, change, pattern]] of REFUSED.entries()) {
    test(`${i}: ${name}, ${pattern.source}`, async () => {
      const folder = changed(name, change);
      const target = fresh();
      await assert.rejects(importModel(folder, target, { dtype: "float32" }), (error) => {
        assert.ok(error instanceof UserError, (error as Error).stack);
        assert.match(error.message, pattern);
        assert.ok(!error.message.includes("\n") && error.message.length < 500, error.message);
        assert.ok(!/undefined|\[object/.test(error.message), error.message);
        return true;
      });
      assert.ok(!existsSync(target));
    });
  }
});

/** A folder that holds the weights as one of PyTorch's files. */
const asTorch = (file: string): string =>
  changed("f32", (f) => {
    rmSync(join(f, "model.safetensors"));
    cpSync(join(FIXTURES, "torch", file), join(f, "pytorch_model.bin"));
  });

describe("what strangers' folders are like", () => {
  const LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
  const taken = async (folder: string): Promise<string> => {
    const target = fresh();
    await importModel(folder, target, { dtype: "float32" });
    assert.deepEqual(await tensorsOf(target), ORIGINAL);
    return target;
  };

  for (const file of ["zip.bin", "legacy.bin"]) {
    test(`PyTorch's weights, ${file}: micro's values bit for bit`, async () =>
      void (await taken(asTorch(file))));
  }

  test("a pickle that would run a program is refused by its name, and nothing is run", async () => {
    const folder = asTorch("attack.bin");
    await assert.rejects(importModel(folder, fresh(), { dtype: "float32" }), /asks for posix\.system/);
    assert.ok(!existsSync("executed") && !existsSync(join(folder, "executed")));
  });

  test("byte order marks, names of wrappers, no model_type: taken", async () => {
    const marked = changed("f32", (f) => {
      for (const name of ["config.json", "vocab.json", "merges.txt"]) {
        writeFileSync(join(f, name), `\ufeff${readFileSync(join(f, name), "utf8")}`);
      }
    });
    await taken(marked);
    for (const prefix of ["_orig_mod.", "module.", "model.transformer.", "_orig_mod.module."]) {
      await taken(
        changed("f32", (f) =>
          editWeights(f, ({ header }) => {
            for (const name of Object.keys(header)) {
              if (name !== "__metadata__") rename(header, name, `${prefix}${name}`);
            }
          }),
        ),
      );
    }
    await taken(changed("f32", (f) => editJson(join(f, "config.json"), (c) => delete c["model_type"])));
  });

  test("shards without a list of them; one that is missing is named", async () => {
    const withoutList = (f: string): void => rmSync(join(f, "model.safetensors.index.json"));
    const target = fresh();
    await importModel(changed("bf16", withoutList), target, { dtype: "float32" });
    await checkLogits(target, 0.1);
    const cut = changed("bf16", (f) => {
      withoutList(f);
      rmSync(join(f, "model-00002-of-00003.safetensors"));
    });
    await assert.rejects(
      importModel(cut, fresh(), { dtype: "float32" }),
      /model-00002-of-00003\.safetensors is missing/,
    );
  });

  test("Git LFS pointers are called by their name", async () => {
    for (const [name, file] of [
      ["f32", "model.safetensors"],
      ["f32", "config.json"],
      ["f32", "vocab.json"],
      ["f32", "merges.txt"],
      ["micro", "model.ckpt.data-00000-of-00001"],
      ["micro", "model.ckpt.index"],
      ["micro", "checkpoint"],
      ["micro", "hparams.json"],
      ["micro", "encoder.json"],
      ["micro", "vocab.bpe"],
    ] as const) {
      const folder = changed(name, (f) => writeFileSync(join(f, file), LFS));
      await assert.rejects(
        importModel(folder, fresh(), { dtype: "float32" }),
        (error: Error) =>
          error.message.includes(`${file} is a Git LFS pointer`) && /git lfs pull/.test(error.message),
        file,
      );
    }
  });

  test("values that are not numbers are not imported", async () => {
    const folder = changed("f32", (f) =>
      editWeights(f, ({ header, data }) =>
        data.writeFloatLE(Number.NaN, header["transformer.ln_f.bias"].data_offsets[0]),
      ),
    );
    const target = fresh();
    await assert.rejects(
      importModel(folder, target, { dtype: "float32" }),
      /ln_f\/b holds values that are not numbers/,
    );
    assert.ok(!existsSync(target));
  });

  test("tokens as the model means them: its own end of a text, added words, a space before a text", async () => {
    const target = fresh();
    await importModel(
      changed("bf16", (f) => {
        writeFileSync(join(f, "added_tokens.json"), '{"[PAD]": 401, "persona": 400}');
        writeFileSync(join(f, "tokenizer_config.json"), '{"add_prefix_space": true}');
        editJson(join(f, "config.json"), (c) => (c["eos_token_id"] = [401, 12]));
      }),
      target,
      { dtype: "float32" },
    );
    const { encoder, engine } = await loadFolder(target);
    await engine.dispose();
    assert.deepEqual([encoder.endOfText, encoder.special.eos], [401, [401, 12]]);
    const plain = (text: string): number[] =>
      new Set(encoder.encode(text)).has(400) ? [] : encoder.encode(text);
    assert.deepEqual(encoder.encode("the persona"), [...plain(" the "), 400]);
    assert.deepEqual(plain("the"), plain(" the"));
    const out = await gpt2([
      "unconditional",
      "--model_name",
      target,
      "--nsamples",
      "1",
      "--length",
      "3",
      "--seed",
      "1",
    ]);
    assertDone(out);
    // What was meant goes with the model.
    const exported = fresh();
    await exportModel(target, exported, { format: "huggingface" });
    assert.deepEqual(readJson(join(exported, "config.json"))["eos_token_id"], [401, 12]);
    const again = fresh();
    await importModel(exported, again, { dtype: "float32" });
    assert.deepEqual(readFileSync(join(again, "tokens.json")), readFileSync(join(target, "tokens.json")));
  });
});

test("what is no folder to import, and what is no model of ours: the line says what to give instead", async () => {
  const folder = join(FIXTURES, "f32");
  const file = join(folder, "model.safetensors");
  const hub = "openai-community/gpt2";
  assertFails(
    await gpt2(["import", hub]),
    1,
    /^gpt2: openai-community\/gpt2 is not a folder here.*`gpt2 download openai-community\/gpt2`/,
  );
  const generate = ["generate", "a", "--length", "1", "--model_name"];
  assertFails(await gpt2([...generate, folder]), 1, /f32 is a Hugging Face model: `gpt2 import` it/);
  assertFails(await gpt2([...generate, file]), 1, /is a model's file: `gpt2 import` it/);
  assertFails(await gpt2([...generate, hub]), 1, /is not a folder here.*hub/);
});

test("rows of the embedding beyond the vocabulary belong to no token: they are left out, also of a bare checkpoint", async () => {
  const padded = fresh();
  const source = await openModel(MICRO);
  const rows = new Map(source.tensors).set("model/wte", { shape: [447, 32], dtype: "float32" });
  const filled = {
    ...source,
    tensors: rows,
    read: (name: string, target: Float32Array) =>
      source.read(name, name === "model/wte" ? target.fill(9).subarray(0, 400 * 32) : target),
  };
  const files = ["encoder.json", "vocab.bpe"].map((name) => [name, readFileSync(join(MICRO, name))] as const);
  const json = Buffer.from(JSON.stringify({ ...readJson(join(MICRO, "hparams.json")), n_vocab: 447 }));
  const companions = new Map([["hparams.json", json], ...files]);
  await writeCheckpoint(padded, "model.ckpt", filled, { companions, isOld: () => false });
  const { engine, encoder, hparams } = await loadFolder(padded);
  await engine.dispose();
  assert.deepEqual([hparams.n_vocab, encoder.n_vocab], [400, 400]);
  const tensors = await tensorsOf(padded);
  assert.equal(tensors.get("model/wte")?.length, 447 * 32);
  const greedy = ["--temperature", "0", "--length", "12"];
  const [ours, theirs] = await Promise.all(
    [padded, MICRO].map((folder) => gpt2(["generate", "abc", "--model_name", folder, ...greedy])),
  );
  assertDone(ours);
  assert.equal(ours.stdout, theirs.stdout);
  const [imported, converted] = [fresh(), fresh()];
  const { notices } = await importModel(padded, imported, { dtype: "float32" });
  assert.deepEqual(notices, [
    "the tokenizer has 400 tokens and the embedding 447 rows: the last 47 are cut off",
  ]);
  await convert(padded, { dtype: "float32", out: converted });
  for (const folder of [imported, converted]) {
    assert.equal(readJson(join(folder, "hparams.json"))["n_vocab"], 400);
    assert.deepEqual(await tensorsOf(folder), ORIGINAL);
  }
  // Beside the checkpoint, hparams.json and the weights speak of the checkpoint's rows.
  await convert(padded, { dtype: "float32" });
  assert.equal(readJson(join(padded, "hparams.json"))["n_vocab"], 447);
  const again = await gpt2(["generate", "abc", "--model_name", padded, ...greedy]);
  assert.equal(again.stdout, theirs.stdout);
});

describe("gpt2 import", { concurrency: 2 }, () => {
  test("a name with spaces and Unicode; every command takes it; what is there already stays", async () => {
    const models_dir = join(TEMPORARY, "my models é");
    const folder = changed("f32", () => {});
    const args = ["import", folder, "--name", "mein Mödell", "--models_dir", models_dir];
    const outcome = await gpt2(args);
    assertDone(outcome);
    assert.equal(outcome.stdout, "");
    const target = join(models_dir, "mein Mödell");
    assert.equal(
      outcome.stderr,
      `${target}: 40 tensors, 53024 parameters, 212.1 kB in float32\n` +
        `use it with --model_name 'mein Mödell' --models_dir '${models_dir}'\n`,
    );
    const generate = ["--seed", "1", "--length", "9"];
    const [ours, theirs] = await Promise.all([
      gpt2(["generate", "of", "--model_name", "mein Mödell", "--models_dir", models_dir, ...generate]),
      gpt2(["generate", "of", "--model_name", MICRO, ...generate]),
    ]);
    assertDone(ours);
    assert.equal(ours.stdout, theirs.stdout);

    assertFails(await gpt2(args), 1, /mein Mödell already exists: .*--name.*--overwrite/);
    writeFileSync(join(target, "notes.txt"), "mine");
    cpSync(join(MICRO, "checkpoint"), join(target, "checkpoint")); // of an older model: it must not stay
    assertDone(await gpt2([...args, "--overwrite", "--dtype", "float16"]));
    assert.deepEqual(readdirSync(target).sort(), [
      "encoder.json",
      "group1-shard1of1.bin",
      "hparams.json",
      "model.json",
      "notes.txt",
      "tokens.json",
      "vocab.bpe",
    ]);
    const before = readdirSync(target).map((name) => readFileSync(join(target, name)));
    rmSync(join(folder, "model.safetensors"));
    assertFails(await gpt2([...args, "--overwrite"]), 1, /neither model\.safetensors nor/);
    assert.deepEqual(
      readdirSync(target).map((name) => readFileSync(join(target, name))),
      before,
    );
  });

  test("gpt-2-simple's folder: checkpoint/run1 with model-500 and a counter", async () => {
    const folder = changed("micro", (f) => {
      for (const part of ["index", "data-00000-of-00001", "meta"]) {
        renameSync(join(f, `model.ckpt.${part}`), join(f, `model-500.${part}`));
      }
      const state = 'model_checkpoint_path: "model-500"\nall_model_checkpoint_paths: "model-500"\n';
      writeFileSync(join(f, "checkpoint"), state);
      writeFileSync(join(f, "counter"), "500\n");
    });
    const models_dir = fresh();
    assertDone(await gpt2(["import", folder, "--models_dir", models_dir, "--name", "run1"]));
    assert.deepEqual(await tensorsOf(join(models_dir, "run1")), ORIGINAL);
    // Whatever a model comes from, the files of weights are the same.
    const [tfjs, safetensors] = [fresh(), fresh()];
    await importModel(join(models_dir, "run1"), tfjs, { dtype: "float32" });
    await importModel(join(FIXTURES, "f32"), safetensors, { dtype: "float32" });
    const shard = (model: string): Buffer => readFileSync(join(model, "group1-shard1of1.bin"));
    assert.ok(shard(tfjs).equals(shard(join(models_dir, "run1"))));
    assert.ok(shard(safetensors).equals(shard(tfjs)));
  });

  test("places that are taken, names that are none", async () => {
    const models_dir = fresh();
    mkdirSync(join(models_dir, "other"), { recursive: true });
    writeFileSync(join(models_dir, "other", "diary.txt"), "mine");
    writeFileSync(join(models_dir, "file"), "");
    const f32 = join(FIXTURES, "f32");
    const to = (name: string): Promise<Awaited<ReturnType<typeof gpt2>>> =>
      gpt2(["import", f32, "--models_dir", models_dir, "--overwrite", "--name", name]);
    assertFails(await to("other"), 1, /other is not a model folder/);
    assertFails(await to("file"), 1, /file is a file/);
    for (const name of ["../x", "a/b", "..", "", "a\nb", "~x", "x."]) {
      assertFails(await to(name), 2, /cannot be a model's name/);
    }
    const packaged = [
      "import",
      f32,
      "--models_dir",
      join(ROOT, "models"),
      "--name",
      "shakespeare",
      "--overwrite",
    ];
    assertFails(await gpt2(packaged), 1, /came with the program/);
    const itself = ["import", join(FIXTURES, "f32"), "--models_dir", FIXTURES, "--overwrite"];
    assertFails(await gpt2(itself), 2, /is also the folder to write to/);
    assertFails(
      await gpt2(["import", join(TEMPORARY, "gone")]),
      1,
      /cannot read .*gone: no such file or folder/,
    );
    assertFails(
      await gpt2(["import", join(f32, "config.json")]),
      1,
      /config\.json is a file: name the folder that holds it/,
    );
    assertFails(await gpt2(["import"]), 2, /missing.*path/);
    assert.deepEqual(readdirSync(models_dir).sort(), ["file", "other"]);
  });

  test("a disk that takes no more: a clear line, and no folder", { skip: NO_SHELL }, async () => {
    const models_dir = fresh();
    const line = `trap "" XFSZ; ulimit -f 100 || exit 9; gpt2 import "$FROM" --models_dir "$TO"`;
    const outcome = await shell(line, { env: { FROM: join(FIXTURES, "f32"), TO: models_dir } });
    if (outcome.code === 9) return;
    assertFails(outcome, 1, /cannot write .*group1-shard1of1\.bin/);
    assert.deepEqual(readdirSync(models_dir), []);
  });
});
