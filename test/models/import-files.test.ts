// `gpt2 import FILE`: one file that has all weights. The fixtures are made by test/fixtures/huggingface/make_torch.py.
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { sizeOf } from "../../dist/src/model/parameters.js";
import { loadFolder, openModel } from "../../dist/src/models/folder.js";
import { importModel } from "../../dist/src/models/import.js";
import { UserError } from "../../dist/src/system/errors.js";
import { readInPieces } from "../support/conformance.js";
import { assertDone, assertFails, gpt2, MICRO, ROOT, TEMPORARY } from "../support/spawn.js";

const FIXTURES = join(ROOT, "test/fixtures/huggingface");
const TOKENIZER = ["vocab.json", "merges.txt"];

let count = 0;
const fresh = (): string => join(TEMPORARY, `file-${count++}`);

/** A folder with a file of ../fixtures/huggingface/torch, under a name, and others of f32 beside it. */
function folderWith(file: string, name: string, beside: readonly string[] = TOKENIZER): string {
  const folder = fresh();
  mkdirSync(folder);
  copyFileSync(join(FIXTURES, file), join(folder, name));
  for (const each of beside) copyFileSync(join(FIXTURES, "f32", each), join(folder, each));
  return join(folder, name);
}

async function tensorsOf(folder: string): Promise<Map<string, Float32Array>> {
  const source = await openModel(folder);
  const all = new Map<string, Float32Array>();
  for (const [name, { shape }] of source.tensors) {
    const values = new Float32Array(sizeOf(shape)).fill(7);
    await source.read(name, values);
    all.set(name, values);
  }
  return all;
}
const ORIGINAL = await tensorsOf(MICRO);

async function imported(file: string): Promise<{ target: string; notices: readonly string[] }> {
  const target = fresh();
  const { notices } = await importModel(file, target, { dtype: "float32" });
  return { target, notices };
}

async function refuses(file: string, reason: RegExp): Promise<void> {
  const target = fresh();
  await assert.rejects(importModel(file, target, { dtype: "float32" }), (error) => {
    assert.ok(error instanceof UserError, (error as Error).stack);
    assert.match(error.message, reason);
    return true;
  });
  assert.ok(!readdirSync(TEMPORARY).includes(target));
}

const CUT = "the tokenizer has 400 tokens and the embedding 448 rows: the last 48 are cut off";

describe("files of llm.c", () => {
  test("version 3, float32: nn.Linear's layout becomes OpenAI's, bit for bit, and the padding goes", async () => {
    const { target, notices } = await imported(folderWith("torch/llmc3.bin", "model_19560.bin"));
    assert.deepEqual(notices, [CUT]);
    assert.deepEqual(await tensorsOf(target), ORIGINAL);
    assert.deepEqual(
      JSON.parse(readFileSync(join(target, "hparams.json"), "utf8")),
      JSON.parse(readFileSync(join(MICRO, "hparams.json"), "utf8")),
    );
  });

  test("version 5, bfloat16", async () => {
    const { target } = await imported(folderWith("torch/llmc5.bin", "d12.bin"));
    for (const [name, values] of await tensorsOf(target)) {
      const original = ORIGINAL.get(name) as Float32Array;
      assert.ok(new Uint32Array(values.buffer).every((bits) => (bits & 0xffff) === 0));
      const wrong = original.findIndex((x, i) => Math.abs(x - values[i]) > 2 ** -8 * Math.abs(x));
      assert.equal(wrong, -1, name);
    }
  });

  test("without a tokenizer: OpenAI's vocabulary only where the sizes are OpenAI's", async () => {
    await refuses(
      folderWith("torch/llmc3.bin", "a.bin", []),
      /has 400 tokens but no vocabulary, and OpenAI's has another size/,
    );
    const [n_ctx, n_vocab, n_layer, n_head, n_embd, rows] = [4, 50257, 1, 1, 2, 50304];
    const head = new Int32Array(256);
    head.set([20240326, 3, n_ctx, n_vocab, n_layer, n_head, n_embd, rows]);
    const values = new Float32Array((rows + n_ctx + 2) * n_embd + n_layer * (12 * n_embd + 13) * n_embd).fill(
      0.5,
    );
    const file = join(fresh(), "tiny.bin");
    mkdirSync(join(file, ".."));
    writeFileSync(file, Buffer.concat([head, values].map(({ buffer }) => Buffer.from(buffer))));
    const { target, notices } = await imported(file);
    assert.match(notices.join("\n"), /using OpenAI's vocabulary\n.*the last 47 are cut off/);
    assert.equal((await tensorsOf(target)).get("model/wte")?.length, 50257 * n_embd);
  });

  test("another version, sizes that are none or do not fit the file, a file that is cut off", async () => {
    const edited = (edit: (head: Int32Array) => void, bytes = 0): string => {
      const file = folderWith("torch/llmc3.bin", "a.bin");
      const content = Uint8Array.from(readFileSync(file));
      edit(new Int32Array(content.buffer, 0, 256));
      writeFileSync(file, content.subarray(0, content.length - bytes));
      return file;
    };
    await refuses(
      edited((head) => head.set([1], 1)),
      /an llm\.c file: its version is 1/,
    );
    await refuses(
      edited(() => undefined, 1),
      /sizes \(.*\) do not fit its \d+ bytes/,
    );
    await refuses(
      edited((head) => head.set([2 ** 31 - 1], 4)),
      /do not fit/,
    );
    await refuses(
      edited((head) => head.set([-3], 4)),
      /do not fit/,
    );
    await refuses(
      edited((head) => head.set([0], 5)),
      /do not fit/,
    );
    await refuses(
      edited(() => undefined, 219_000),
      /cut off/,
    );
  });
});

describe("nanoGPT's ckpt.pt", () => {
  test("compiled, without biases, padded: the weights bit for bit, biases of 0, nanoGPT's logits in float64", async () => {
    const { target, notices } = await imported(folderWith("torch/ckpt.pt", "ckpt.pt"));
    assert.equal(notices.length, 2);
    assert.match(notices[0], /GELU/);
    assert.equal(notices[1], CUT);
    for (const [name, values] of await tensorsOf(target)) {
      const original = ORIGINAL.get(name) as Float32Array;
      assert.deepEqual(values, name.endsWith("/b") ? new Float32Array(original.length) : original, name);
    }
    const { ids, logits } = JSON.parse(readFileSync(join(FIXTURES, "torch/ckpt.json"), "utf8")) as {
      ids: number[];
      logits: number[];
    };
    const { engine } = await loadFolder(target);
    const ours = await readInPieces(engine, ids, 64);
    await engine.dispose();
    const scale = Math.max(...logits.map(Math.abs));
    for (const [id, logit] of logits.entries()) {
      assert.ok(Math.abs(ours[id] - logit) <= 2e-5 * scale, `logit ${id}: ${ours[id]} ${logit}`);
    }
  });

  test("settings that nanoGPT's own model does not have, sizes that are none or another model's", async () => {
    const edited = (from: string, to: string): string => {
      const file = folderWith("torch/ckpt.pt", "ckpt.pt");
      const content = readFileSync(file, "latin1");
      assert.ok(content.includes(from));
      writeFileSync(file, content.replace(from, to), "latin1");
      return file;
    };
    await refuses(edited("dropout", "use_rms"), /have "use_rms", which nanoGPT's own GPT-2 does not have/);
    await refuses(edited("n_layerq", "n_layerK"), /cannot read|no valid n_layer|its model_args/);
    await refuses(
      folderWith("torch/ckpt.pt", "ckpt.pt", []),
      /nanoGPT's file has 448 tokens but no vocabulary/,
    );
  });
});

describe("nanoGPT's model of characters", () => {
  const CHARACTERS = [..."\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\u00e9\u{1f600}"];

  /** nanoGPT's folders: out-play-char/ckpt.pt and data/play_char/meta.pkl. */
  function nanoGpt(meta = "data/play_char/meta.pkl"): string {
    const folder = fresh();
    mkdirSync(join(folder, "out-play-char"), { recursive: true });
    mkdirSync(join(folder, "data/play_char"), { recursive: true });
    copyFileSync(join(FIXTURES, "torch/characters.pt"), join(folder, "out-play-char/ckpt.pt"));
    copyFileSync(join(FIXTURES, "torch/meta.pkl"), join(folder, meta));
    return folder;
  }

  for (const meta of ["data/play_char/meta.pkl", "out-play-char/meta.pkl"]) {
    test(`${meta}: every character is a token, and texts begin from a line feed`, async () => {
      const { target, notices } = await imported(join(nanoGpt(meta), "out-play-char"));
      assert.match(notices.join("\n"), /its tokens are the 67 characters of .*meta\.pkl/);
      const { encoder, engine, hparams } = await loadFolder(target);
      await engine.dispose();
      assert.deepEqual(
        [hparams.n_vocab, hparams.n_ctx, encoder.startOfText, encoder.endOfText],
        [67, 16, 0, undefined],
      );
      const text = "Ah, my dear\u00e9! \u{1f600}\n\n3 Kings: 'tis";
      const ids = encoder.encode(text);
      assert.deepEqual(
        ids,
        [...text].map((c) => CHARACTERS.indexOf(c)),
      );
      assert.equal(encoder.decode(ids), text);
      assert.equal(ids.map((id) => encoder.decode([id])).join(""), text);
      assert.throws(() => encoder.encode("50 %"), /no token for "5", and no unknown token: leave it out/);
    });
  }

  test("a meta.pkl that is damaged, asks for code, or has no characters; one of another model", async () => {
    const changed = (change: (bytes: Buffer) => Buffer): string => {
      const folder = join(nanoGpt("out-play-char/meta.pkl"), "out-play-char");
      const path = join(folder, "meta.pkl");
      writeFileSync(path, change(readFileSync(path)));
      return folder;
    };
    await refuses(
      changed((bytes) => bytes.subarray(0, 100)),
      /cannot read .*meta\.pkl as nanoGPT's: it is cut off/,
    );
    await refuses(
      changed(() => Buffer.from("cos\nsystem\n(S'touch executed'\ntR.")),
      /asks for os\.system/,
    );
    await refuses(
      changed(() => Buffer.from("\x80\x04}.", "latin1")),
      /has no table of characters, stoi/,
    );
    const renamed = (from: string, to: string) => (bytes: Buffer) =>
      Buffer.from(bytes.toString("latin1").replaceAll(from, to), "latin1");
    await refuses(
      changed(renamed("\x8c\x01Z", "\x8c\x01A")),
      /meta\.pkl: the id of ".*" is \d+: it needs the stoi/,
    );
    const other = join(nanoGpt(), "out-play-char");
    copyFileSync(join(FIXTURES, "torch/ckpt.pt"), join(other, "ckpt.pt"));
    copyFileSync(join(FIXTURES, "torch/meta.pkl"), join(other, "meta.pkl"));
    await refuses(
      other,
      /448 tokens but no vocabulary.*put its vocab\.json.*or the meta\.pkl of its dataset, next to it/,
    );
  });

  test("the command writes with it, scores and fine-tunes it", async () => {
    const cwd = nanoGpt();
    const dir = ["--models_dir", "models"];
    assertDone(await gpt2(["import", "out-play-char", ...dir, "--name", "play"], { cwd }));
    const model = ["--model_name", "play", ...dir];
    const out = await gpt2(["generate", "KING:\n", "--length", "12", "--seed", "1", ...model], { cwd });
    assertDone(out);
    assert.ok(out.stdout.startsWith("KING:\n") && out.stdout.length >= 6 + 12, out.stdout);
    assertDone(
      await gpt2(["unconditional", "--nsamples", "1", "--length", "5", "--seed", "1", ...model], { cwd }),
    );
    assertFails(
      await gpt2(["generate", "100", "--length", "1", "--seed", "1", ...model], { cwd }),
      1,
      /^gpt2: the model's vocabulary has no token for "1"/,
    );
    const asked = ["interactive", "--length", "3", "--seed", "1", ...model];
    const answers = await gpt2(asked, { cwd, stdin: "KING\n100\nKING\n" });
    assertDone(answers);
    assert.equal(answers.stdout.split("SAMPLE 1").length, 3);
    assert.match(answers.stderr, /^the model's vocabulary has no token for "1"/m);
    writeFileSync(join(cwd, "more.txt"), "Ah, my dear, 'tis thee.\n".repeat(40));
    const train = ["finetune", "more.txt", "--steps", "2", "--seed", "1", "--sample_every", "0", ...model];
    assertDone(await gpt2(train, { cwd }));
    const own = await gpt2(["generate", "Ah", "--length", "8", "--seed", "1", "--run_name", "run1"], { cwd });
    assertDone(own);
    assert.equal([...own.stdout.trimEnd()].length >= 2, true);
  });
});

describe("a file of weights with its config.json beside it", () => {
  for (const [stored, name] of [
    ["f32/model.safetensors", "model.safetensors"],
    ["torch/zip.bin", "pytorch_model.bin"],
    ["torch/legacy.bin", "weights.pt"],
  ] as const) {
    test(`${stored} as ${name}`, async () => {
      const { target } = await imported(folderWith(stored, name, ["config.json", ...TOKENIZER]));
      assert.deepEqual(await tensorsOf(target), ORIGINAL);
    });
  }

  test("without it, or no weights at all: one line with the next step", async () => {
    await refuses(
      folderWith("torch/zip.bin", "pytorch_model.bin"),
      /pytorch_model\.bin has no config\.json beside it to give the model's sizes: fetch it, too/,
    );
    await refuses(join(FIXTURES, "f32/config.json"), /config\.json is a file: name the folder that holds it/);
    await refuses(folderWith("f32/merges.txt", "a.bin"), /cannot read .*a\.bin as a PyTorch file/);
    await refuses(folderWith("torch/attack.bin", "a.bin", ["config.json", ...TOKENIZER]), /posix\.system/);
  });

  test("the command: a name is taken from the file, or from the folder where every file has that name", async () => {
    const models_dir = fresh();
    const own = folderWith("torch/llmc3.bin", "tiny-llmc.bin");
    assertDone(await gpt2(["import", own, "--models_dir", models_dir]));
    const usual = folderWith("f32/model.safetensors", "model.safetensors", ["config.json", ...TOKENIZER]);
    assertDone(await gpt2(["import", usual, "--models_dir", models_dir]));
    assert.deepEqual(readdirSync(models_dir).sort(), ["tiny-llmc", usual.split(/[\\/]/).at(-2)].sort());
    const outcome = await gpt2([
      "generate",
      "abc",
      "--length",
      "5",
      "--models_dir",
      models_dir,
      "--model_name",
      "tiny-llmc",
    ]);
    assertDone(outcome);
    assertFails(await gpt2(["import", own, "--models_dir", models_dir]), 1, /already exists/);
  });
});
