import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { Encoder } from "../../dist/src/encoder/encoder.js";
import type { SpecialTokens } from "../../dist/src/encoder/special-tokens.js";
import { addedToken, NO_SPECIAL_TOKENS } from "../../dist/src/encoder/special-tokens.js";
import { decodeFloat16, encodeFloat16 } from "../../dist/src/formats/floats.js";
import { type GgufTensor, readGgufHead, readRows } from "../../dist/src/formats/gguf/gguf-file.js";
import { openGguf } from "../../dist/src/formats/gguf/open.js";
import { encodeQ8_0 } from "../../dist/src/formats/gguf/quantized.js";
import { writeGguf } from "../../dist/src/formats/gguf/write.js";
import { sizeOf } from "../../dist/src/model/parameters.js";
import type { WeightSource } from "../../dist/src/model/weight-source.js";
import { openFolder } from "../../dist/src/models/folder.js";
import { UserError } from "../../dist/src/system/errors.js";
import { joinGguf, listBytes, type Parts, splitGguf, textBytes, u32 } from "../support/gguf.js";
import { inProject, MICRO } from "../support/models.js";

const FIXTURES = inProject("test/fixtures/gguf");
const TEMPORARY = mkdtempSync(join(tmpdir(), "gpt2-gguf-"));
after(() => rmSync(TEMPORARY, { recursive: true, force: true }));
let count = 0;
const fresh = (): string => join(TEMPORARY, `${count++}.gguf`);

async function valuesOf(tensor: GgufTensor): Promise<Float32Array> {
  const values = new Float32Array(sizeOf(tensor.shape));
  const width = tensor.shape.at(-1) as number;
  await readRows(tensor, values.length / width, (rows, before) => values.set(rows, before * width));
  return values;
}

async function read(source: WeightSource, name: string): Promise<Float32Array> {
  const values = new Float32Array(sizeOf(source.tensors.get(name)?.shape ?? []));
  await source.read(name, values);
  return values;
}
const bitsOf = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer);

const micro = await openFolder(MICRO.folder);
/** What is a vector or a matrix of positions stays float32. */
const isPlain = (name: string, shape: readonly number[]): boolean =>
  shape.length === 1 || name === "model/wpe";

describe("types", async () => {
  const { tensors } = await readGgufHead(join(FIXTURES, "types.gguf"));
  for (const [name, tensor] of tensors) {
    const known = tensors.get(`${name} values`);
    if (!known) continue;
    test(`${name}: random blocks have the values that ggml gives them, bit for bit`, async () => {
      assert.equal(tensor.dtype, name);
      assert.deepEqual(tensor.shape, [4, 256]);
      assert.deepEqual(bitsOf(await valuesOf(tensor)), bitsOf(await valuesOf(known)));
    });
  }
  test("ten of them", () => assert.equal(tensors.size, 20));
});

describe("micro, as Python wrote it", () => {
  test("F16: the checkpoint's values, rounded; linear layers are turned", async () => {
    const { hparams, source, special, notices } = await openGguf(join(FIXTURES, "f16.gguf"));
    assert.deepEqual([special.eos, special.bos, special.added.size, notices], [[], undefined, 0, []]);
    const { n_vocab, n_ctx, n_embd, n_head, n_layer } = hparams;
    assert.deepEqual({ n_vocab, n_ctx, n_embd, n_head, n_layer }, micro.hparams);
    assert.deepEqual([...source.tensors.keys()].sort(), [...micro.source.tensors.keys()].sort());
    for (const [name, { shape }] of micro.source.tensors) {
      assert.deepEqual(source.tensors.get(name)?.shape, shape, name);
      const wanted = await read(micro.source, name);
      if (!isPlain(name, shape)) {
        const halves = new Uint16Array(wanted.length);
        assert.equal(encodeFloat16(wanted, halves), -1);
        decodeFloat16(halves, wanted);
      }
      assert.deepEqual(await read(source, name), wanted, name);
    }
  });

  test("the vocabulary is the model's own", async () => {
    const { vocabulary } = await openGguf(join(FIXTURES, "f16.gguf"));
    const [theirs, own] = [vocabulary, micro.vocabulary].map(
      (files) => (name: string) => String(files.get(name)),
    );
    assert.deepEqual(JSON.parse(theirs("encoder.json")), JSON.parse(own("encoder.json")));
    assert.equal(theirs("vocab.bpe"), own("vocab.bpe"));
  });

  test("Q8_0, an added token, two unused ones: their rows are left out, and the line says so", async () => {
    const { hparams, source, special, notices } = await openGguf(join(FIXTURES, "q8_0.gguf"));
    assert.equal(hparams.n_vocab, 401);
    assert.deepEqual([...special.added], [["<|a turn|>", addedToken(400)]]);
    assert.deepEqual(notices, ["the last 2 tokens are unused: their rows are left out"]);
    assert.deepEqual(source.tensors.get("model/wte"), { shape: [401, 32], dtype: "Q8_0" });
    const values = await read(source, "model/wte");
    const original = await read(micro.source, "model/wte");
    const largest = original.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    assert.ok(original.every((x, i) => Math.abs(x - (values[i] as number)) <= largest / 254 + 1e-4));
  });

  test("two shards of early 2024, either of them given: BF16, the embedding twice, no tokenizer.ggml.pre", async () => {
    for (const shard of ["old-00001-of-00002.gguf", "old-00002-of-00002.gguf"]) {
      const { hparams, source } = await openGguf(join(FIXTURES, shard));
      assert.equal(hparams.tie_word_embeddings, true);
      assert.equal(source.tensors.size, 40);
      const values = await read(source, "model/h1/mlp/c_fc/w");
      const original = await read(micro.source, "model/h1/mlp/c_fc/w");
      assert.ok(bitsOf(values).every((each) => (each & 0xffff) === 0));
      assert.ok(original.every((x, i) => Math.abs(x - (values[i] as number)) <= 2 ** -8 * Math.abs(x)));
    }
  });
});

describe("written", () => {
  for (const [dtype, fixture] of [
    ["float16", "f16.gguf"],
    ["q8_0", "q8_0.gguf"],
  ] as const) {
    test(`${dtype}: names, shapes, types and bytes are those that Python wrote`, async () => {
      const path = fresh();
      await writeGguf(path, micro, { dtype, name: "micro", overwrite: false });
      const [ours, theirs] = [path, join(FIXTURES, fixture)].map((each) => splitGguf(readFileSync(each)));
      assert.ok(ours && theirs);
      const bytesOf = ({ tensors, data }: Parts, name: string): Buffer => {
        const offsets = tensors.map(({ offset }) => Number(offset)).sort((a, b) => a - b);
        const from = Number(tensors.find((each) => each.name === name)?.offset);
        return data.subarray(
          from,
          offsets.find((each) => each > from),
        );
      };
      const name = ({ name: each }: { name: string }): string => each;
      assert.deepEqual(ours.tensors.map(name).sort(), theirs.tensors.map(name).sort());
      for (const tensor of theirs.tensors) {
        const found = ours.tensors.find((each) => each.name === tensor.name);
        assert.equal(found?.type, tensor.type, tensor.name);
        const [a, b] = [bytesOf(ours, tensor.name), bytesOf(theirs, tensor.name)];
        if (tensor.name === "token_embd.weight") {
          assert.ok(a.equals(b.subarray(0, a.length)));
          continue; // Python's has more rows
        }
        assert.deepEqual(found?.dims, tensor.dims, tensor.name);
        const length = Math.min(a.length, b.length); // the last in either file is not padded by both
        assert.ok(a.subarray(0, length).equals(b.subarray(0, length)), tensor.name);
      }
      const byName = (values: Parts["values"]): Map<string, string> =>
        new Map(values.map((value) => [value.name, `${value.type} ${value.bytes.toString("hex")}`]));
      if (dtype === "float16") assert.deepEqual(byName(ours.values), byName(theirs.values));
    });
  }

  test("float32 and back: every bit, and the second file is the first", async () => {
    const [path, again] = [fresh(), fresh()];
    await writeGguf(path, micro, { dtype: "float32", name: "micro", overwrite: false });
    const model = await openGguf(path);
    for (const name of micro.source.tensors.keys()) {
      assert.deepEqual(await read(model.source, name), await read(micro.source, name), name);
    }
    const { encoder } = micro;
    await writeGguf(again, { ...model, encoder }, { dtype: "float32", name: "micro", overwrite: false });
    assert.ok(readFileSync(again).equals(readFileSync(path)));
  });

  test("rows that are no whole blocks of Q8_0 are written in F16", async () => {
    const shape = [24, 3];
    const values = Float32Array.from({ length: 24 * 5 }, (_, i) => i / 7 - 8);
    const hparams = { n_vocab: 5, n_ctx: 3, n_embd: 24, n_head: 1, n_layer: 0, n_inner: 96 };
    const source: WeightSource = {
      path: "made up",
      tensors: new Map(),
      read: async (_, target) => target.set(values.subarray(0, target.length)),
      close: async () => undefined,
    };
    const encoder = {
      n_vocab: 5,
      endOfText: undefined,
      startOfText: undefined,
      special: NO_SPECIAL_TOKENS,
      marks: new Map<number, string>(),
      tokenBytes: (id: number) => Uint8Array.of(97 + id),
    };
    const path = fresh();
    await writeGguf(
      path,
      { hparams, source, vocabulary: new Map([["vocab.bpe", Buffer.from("#version: 0.2\n")]]), encoder },
      { dtype: "q8_0", name: "odd", overwrite: false },
    );
    const { tensors } = await readGgufHead(path);
    assert.deepEqual(
      [...tensors].map(([name, { dtype }]) => `${name} ${dtype}`),
      ["token_embd.weight F16", "position_embd.weight F32", "output_norm.weight F32", "output_norm.bias F32"],
    );
    assert.deepEqual(tensors.get("position_embd.weight")?.shape, shape.reverse());
  });

  test("values that a type cannot hold, options that llama.cpp does not compute: nothing is written", async () => {
    const huge: WeightSource = {
      ...micro.source,
      read: async (name, target) => {
        await micro.source.read(name, target);
        if (name === "model/h2/mlp/c_fc/w") target[7] = 9e6;
      },
    };
    const write = (dtype: "float16" | "q8_0", more: object): Promise<number> =>
      writeGguf(fresh(), { ...micro, ...more }, { dtype, name: "micro", overwrite: false });
    for (const dtype of ["float16", "q8_0"] as const) {
      await assert.rejects(write(dtype, { source: huge }), {
        message: `model/h2/mlp/c_fc/w holds 9000000, which is too large for ${dtype}: choose dtype: "float32"`,
      });
    }
    const hparams = { ...micro.hparams, activation_function: "relu" };
    await assert.rejects(write("q8_0", { hparams }), /activation_function is "relu", which llama\.cpp/);
    assert.deepEqual(
      readdirSync(TEMPORARY).filter((name) => !/^\d+\.gguf$/.test(name)),
      [],
    );
    for (const last of [1, 2, 3]) assert.ok(!existsSync(join(TEMPORARY, `${count - last}.gguf`)));
  });
});

test("Q8_0: a block of zeros, and ties away from zero", () => {
  const values = new Float32Array(64);
  values.set([127, 0.5, -0.5, 1.5, -2.5, 126.5], 32);
  const bytes = new Uint8Array(68);
  assert.equal(encodeQ8_0(values, bytes), -1);
  assert.ok(bytes.subarray(0, 34).every((byte) => byte === 0));
  assert.deepEqual([...new Int8Array(bytes.buffer, 36, 6)], [127, 1, -1, 2, -3, 127]);
});

describe("what is another model, or damaged", () => {
  const sound = splitGguf(readFileSync(join(FIXTURES, "f16.gguf")));
  const TEXT = 8;
  /** The file with one value changed, or taken away. */
  const withValue = (name: string, type?: number, bytes: Buffer = Buffer.alloc(0)): Parts => {
    const values = sound.values.filter((value) => value.name !== name);
    return { ...sound, values: type === undefined ? values : [...values, { name, type, bytes }] };
  };
  const withTensors = (change: (tensors: Parts["tensors"]) => void): Parts => {
    const tensors = sound.tensors.map((tensor) => ({ ...tensor, dims: [...tensor.dims] }));
    change(tensors);
    return { ...sound, tensors };
  };
  const f32 = (x: number): Buffer => Buffer.from(Float32Array.of(x).buffer);
  const cases: Record<string, [Parts | Buffer, RegExp]> = {
    "another architecture": [
      withValue("general.architecture", TEXT, textBytes("llama")),
      /general\.architecture is "llama", and only a GPT-2/,
    ],
    "another tokenizer": [
      withValue("tokenizer.ggml.model", TEXT, textBytes("llama")),
      /tokenizer\.ggml\.model is "llama", and GPT-2's is "gpt2"/,
    ],
    "another way to split": [
      withValue("tokenizer.ggml.pre", TEXT, textBytes("llama-bpe")),
      /tokenizer\.ggml\.pre is "llama-bpe"/,
    ],
    "other heads": [withValue("gpt2.attention.head_count_kv", 4, u32(1)), /head_count_kv is 1, not 4/],
    "heads that divide nothing": [withValue("gpt2.attention.head_count", 4, u32(5)), /is not a multiple of/],
    "no epsilon at all": [
      withValue("gpt2.attention.layer_norm_epsilon", 6, f32(0)),
      /layer_norm_epsilon is 0/,
    ],
    "no context": [withValue("gpt2.context_length"), /has no gpt2\.context_length: fetch the file again/],
    "a size that is a text": [
      withValue("gpt2.block_count", TEXT, textBytes("3")),
      /gpt2\.block_count must be a positive whole number, not "3"/,
    ],
    "too many layers": [withValue("gpt2.block_count", 4, u32(9_999_999)), /too few for 9999999 layers/],
    "a token twice": [
      withValue("tokenizer.ggml.tokens", 9, listBytes(Array.from({ length: 400 }, () => "a"))),
      /the tokens 0 and 1 are both "a"/,
    ],
    "fewer tokens": [withValue("tokenizer.ggml.tokens", 9, listBytes(["a"])), /1 tokens and 400 token types/],
    "merges that are none": [
      withValue("tokenizer.ggml.merges", 9, listBytes(["a"])),
      /"a" is not two tokens with a space between/,
    ],
    "a type that is not read": [
      withTensors(([first]) => Object.assign(first as object, { type: 23 })),
      /has the type number 23: get the file in one of F32, F16, /,
    ],
    "another shape": [
      withTensors((tensors) => tensors.find(({ name }) => name === "blk.0.ffn_up.weight")?.dims.reverse()),
      /blk\.0\.ffn_up\.weight has the shape \[32, 128\]/,
    ],
    "a tensor too few": [withTensors((tensors) => tensors.splice(7, 1)), /has no tensor /],
    "a tensor too many": [
      withTensors((tensors) => tensors.push({ name: "rope_freqs", dims: [1n], type: 0, offset: 0n })),
      /rope_freqs is not a parameter of a GPT-2/,
    ],
    "one outside the file": [
      withTensors(([first]) => Object.assign(first as object, { offset: 1n << 40n })),
      /lies outside the file/,
    ],
    "a value twice": [
      { ...sound, values: [...sound.values, ...sound.values.slice(0, 1)] },
      /has the value "general\.architecture" twice/,
    ],
    "version 1": [{ ...sound, version: 1 }, /its version is 1/],
    "big-endian": [{ ...sound, version: 0x3000000 }, /its numbers are big-endian/],
    "cut off": [joinGguf(sound).subarray(0, 5000), /it is cut off/],
    "something else": [Buffer.from("a text that is no model"), /does not begin with GGUF/],
    "a list of everything": [
      withValue("x", 9, Buffer.concat([u32(0), Buffer.from(BigUint64Array.of(1n << 40n).buffer)])),
      /lists more than any GPT-2's file/,
    ],
    "a shard called otherwise": [
      withValue("split.count", 2, Buffer.of(2, 0)),
      /is one of 2 shards: rename it to/,
    ],
  };
  for (const [what, [parts, message]] of Object.entries(cases)) {
    test(what, async () => {
      const path = fresh();
      writeFileSync(path, Buffer.isBuffer(parts) ? parts : joinGguf(parts));
      await assert.rejects(openGguf(path), (error: Error) => {
        assert.ok(error instanceof UserError, error.stack);
        assert.match(error.message, message);
        assert.ok(error.message.includes(path));
        return true;
      });
    });
  }

  const encoderWith = (special: SpecialTokens): Encoder => {
    const [json, bpe] = ["encoder.json", "vocab.bpe"].map((name) => micro.vocabulary.get(name) as Buffer);
    return Encoder.fromFiles(json as Buffer, bpe as Buffer, "micro", special);
  };
  test("a token before every text is kept, and written again", async () => {
    const [path, again] = [fresh(), fresh()];
    writeFileSync(path, joinGguf(withValue("tokenizer.ggml.add_bos_token", 7, Buffer.of(1))));
    const model = await openGguf(path);
    assert.deepEqual(model.special.begin, [399]);
    const encoder = encoderWith(model.special);
    const options = { dtype: "float32", name: "micro", overwrite: false } as const;
    await writeGguf(again, { ...micro, encoder }, options);
    assert.deepEqual((await openGguf(again)).special, model.special);
    const other = encoderWith({
      ...model.special,
      begin: [7, 399],
    });
    await assert.rejects(
      writeGguf(fresh(), { ...micro, encoder: other }, options),
      /the tokens \[7,399\] before every prompt, and a GGUF file can name only bos: choose another format/,
    );
  });

  test("a shard that is missing", async () => {
    const folder = join(TEMPORARY, "shards");
    mkdirSync(folder);
    cpSync(join(FIXTURES, "old-00001-of-00002.gguf"), join(folder, "old-00001-of-00002.gguf"));
    await assert.rejects(
      openGguf(join(folder, "old-00001-of-00002.gguf")),
      /old-00002-of-00002\.gguf is missing: fetch it, too/,
    );
  });

  test("an epsilon, a width and an output matrix of its own are kept", async () => {
    const path = fresh();
    const parts = withValue("gpt2.attention.layer_norm_epsilon", 6, f32(1e-6));
    const output = { name: "output.weight", dims: [32n, 400n], type: 0, offset: 0n };
    // 400 x 32 float32 of whatever the file begins with.
    writeFileSync(path, joinGguf({ ...parts, tensors: [...parts.tensors, output] }));
    const { hparams, source } = await openGguf(path);
    assert.deepEqual(
      [hparams.layer_norm_epsilon, hparams.n_inner, hparams.tie_word_embeddings],
      [1e-6, 128, false],
    );
    assert.deepEqual(source.tensors.get("model/lm_head")?.shape, [400, 32]);
  });
});
