import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { convert } from "../../dist/src/models/convert.js";
import { exportModel } from "../../dist/src/models/export.js";
import { importModel } from "../../dist/src/models/import.js";
import { splitSafetensors } from "../support/safetensors.js";
import { assertDone, assertFails, gpt2, MICRO, NO_SHELL, ROOT, shell, TEMPORARY } from "../support/spawn.js";

const FIXTURES = join(ROOT, "test/fixtures/huggingface");
const DATA = "data-00000-of-00001";

let count = 0;
const fresh = (): string => join(TEMPORARY, `export-${count++}`);
const sameFile = (a: string, b: string): void =>
  assert.ok(readFileSync(a).equals(readFileSync(b)), `${a} ${b}`);
const readJson = (path: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;

/** A fine-tuned run as `gpt2 finetune` leaves it: tfjs weights and a counter. */
async function makeRun(checkpoint_dir: string, name: string, step: number): Promise<string> {
  const folder = join(checkpoint_dir, name);
  await convert(MICRO, { dtype: "float32", out: folder });
  writeFileSync(join(folder, "counter"), `${step}\n`);
  return folder;
}

describe("a TensorFlow checkpoint", () => {
  test("of a model: the values that Python wrote, all bytes; imported again and exported again they stay", async () => {
    const [out, model, again] = [fresh(), fresh(), fresh()];
    const options = { format: "tensorflow" } as const;
    const result = await exportModel(MICRO, out, options);
    assert.deepEqual(result, {
      path: join(out, "checkpoint"),
      parameters: 53_024,
      tensors: 40,
      bytes: 212_096,
      notices: [],
    });
    assert.deepEqual(readdirSync(out).sort(), [
      "checkpoint",
      "encoder.json",
      "hparams.json",
      `model.ckpt.${DATA}`,
      "model.ckpt.index",
      "vocab.bpe",
    ]);
    for (const name of ["checkpoint", "encoder.json", "hparams.json", `model.ckpt.${DATA}`, "vocab.bpe"]) {
      sameFile(join(out, name), join(MICRO, name));
    }
    await importModel(out, model, { dtype: "float32" });
    await exportModel(model, again, options);
    assert.deepEqual(readdirSync(again), readdirSync(out));
    for (const name of readdirSync(out)) sameFile(join(again, name), join(out, name));
  });

  const reader = join(ROOT, "../shared/checkpoint/read_ckpt.py");
  const python = spawnSync("/usr/bin/python3", ["-c", "import numpy"]).status === 0;
  test("an independent reader in Python finds every checksum right", {
    skip: !(python && existsSync(reader)) && "that reader is not here",
  }, async () => {
    const out = fresh();
    await exportModel(join(ROOT, "models/shakespeare"), out, { format: "tensorflow" });
    const read = ["-B", reader, join(out, "model.ckpt"), "--data", "--quiet"];
    const { stdout, stderr } = spawnSync("/usr/bin/python3", read, { encoding: "utf8" });
    assert.match(stdout, /'shards': 1,[^\n]* tensors 52 [^\n]*\ntensor crc ok 52 /, stderr);
  });
});

describe("Hugging Face's files", () => {
  test("names, shapes and values are those of the fixture that Python wrote; imported again all is the same", async () => {
    const [out, model, again] = [fresh(), fresh(), fresh()];
    const { path, bytes } = await exportModel(MICRO, out, { format: "huggingface" });
    assert.deepEqual([path, bytes], [join(out, "model.safetensors"), 212_096]);
    assert.deepEqual(readdirSync(out).sort(), [
      "config.json",
      "generation_config.json",
      "merges.txt",
      "model.safetensors",
      "tokenizer_config.json",
      "vocab.json",
    ]);
    const ours = splitSafetensors(readFileSync(path));
    const theirs = splitSafetensors(readFileSync(join(FIXTURES, "f32/model.safetensors")));
    assert.deepEqual(ours.header["__metadata__"], { format: "pt" });
    const wanted = Object.keys(theirs.header).filter(
      (name) => !/\.attn\.(masked_)?bias$|^lm_head/.test(name),
    );
    assert.deepEqual(Object.keys(ours.header), wanted.sort());
    for (const name of wanted.filter((each) => each !== "__metadata__")) {
      const [a, b] = [ours, theirs].map(({ header, data }) => {
        const { dtype, shape, data_offsets } = header[name];
        return { dtype, shape, data: data.subarray(...data_offsets) };
      });
      assert.deepEqual(a, b, name);
    }
    const config = readJson(join(out, "config.json"));
    for (const [name, value] of Object.entries(readJson(join(FIXTURES, "f32/config.json")))) {
      if (name in config) assert.deepEqual(config[name], value, name);
    }
    sameFile(join(out, "vocab.json"), join(MICRO, "encoder.json"));
    sameFile(join(out, "merges.txt"), join(MICRO, "vocab.bpe"));
    assert.equal(readJson(join(out, "tokenizer_config.json"))["model_max_length"], 64);
    await importModel(out, model, { dtype: "float32" });
    await exportModel(model, again, { format: "huggingface" });
    for (const name of readdirSync(out)) sameFile(join(again, name), join(out, name));
  });

  test("a float16 model is written in float32; a vocabulary without <|endoftext|> says so", async () => {
    const [model, out] = [fresh(), fresh()];
    await convert(MICRO, { dtype: "float16", out: model });
    const encoder = readFileSync(join(model, "encoder.json"), "utf8");
    writeFileSync(join(model, "encoder.json"), encoder.replace("<|endoftext|>", "<|other|>"));
    await exportModel(model, out, { format: "huggingface" });
    const { header } = splitSafetensors(readFileSync(join(out, "model.safetensors")));
    assert.equal(header["transformer.wte.weight"].dtype, "F32");
    assert.equal(readJson(join(out, "config.json"))["eos_token_id"], null);
    assert.equal(readJson(join(out, "tokenizer_config.json"))["eos_token"], null);
  });
});

describe("gpt2 export", { concurrency: 2 }, () => {
  test("a run by its name: model-<step>, counter; a later step replaces it with --overwrite alone", async () => {
    const cwd = join(TEMPORARY, "some where é");
    mkdirSync(cwd);
    const run = await makeRun(join(cwd, "checkpoint"), "my run", 12);
    const outcome = await gpt2(["export", "my run"], { cwd });
    assertDone(outcome);
    assert.equal(outcome.stdout, "");
    const out = join(cwd, "export", "my run");
    assert.equal(
      outcome.stderr,
      `${join("export", "my run", "checkpoint")}: 40 tensors, 53024 parameters, 212.1 kB in float32\n`,
    );
    const files = (step: number): string[] => [
      "checkpoint",
      "counter",
      "encoder.json",
      "hparams.json",
      `model-${step}.${DATA}`,
      `model-${step}.index`,
      "vocab.bpe",
    ];
    assert.deepEqual(readdirSync(out).sort(), files(12));
    assert.match(readFileSync(join(out, "checkpoint"), "utf8"), /^model_checkpoint_path: "model-12"\n/);
    assert.equal(readFileSync(join(out, "counter"), "utf8"), "12\n");
    sameFile(join(out, `model-12.${DATA}`), join(MICRO, `model.ckpt.${DATA}`));

    writeFileSync(join(run, "counter"), "13");
    assertFails(await gpt2(["export", "my run"], { cwd }), 1, /already holds an export: .*--overwrite/);
    assert.deepEqual(readdirSync(out).sort(), files(12));
    assertDone(await gpt2(["export", "my run", "--overwrite", "--checkpoint-dir", "./checkpoint"], { cwd }));
    assert.deepEqual(readdirSync(out).sort(), files(13));

    // As OpenAI's and gpt-2-simple's folders, it is a model.
    const generate = ["--seed", "1", "--length", "9"];
    const [a, b] = [out, MICRO].map((model) => gpt2(["generate", "of", "--model_name", model, ...generate]));
    assert.equal((await a).stdout, (await b).stdout);
  });

  test("a run that was trained just now: exported and imported again, it writes the same text", async () => {
    const cwd = fresh();
    mkdirSync(cwd);
    writeFileSync(join(cwd, "text.txt"), "To be, or not to be, that is the question.\n".repeat(200));
    const train = ["--steps", "2", "--seed", "1", "--sample_every", "0", "--model_name", MICRO];
    assertDone(await gpt2(["finetune", "text.txt", "--run_name", "run1", ...train], { cwd }));
    assertDone(await gpt2(["export", "run1"], { cwd }));
    assert.ok(existsSync(join(cwd, "export/run1/model-2.index")));
    assertDone(await gpt2(["import", "export/run1", "--models_dir", "m"], { cwd }));
    const texts = [
      ["--run_name", "run1"],
      ["--model_name", "run1", "--models_dir", "m"],
      ["--model_name", MICRO],
    ].map((model) => gpt2(["generate", "To", "--seed", "1", "--length", "20", ...model], { cwd }));
    const [run, imported, before] = (await Promise.all(texts)).map(({ stdout }) => stdout);
    assert.ok(run.startsWith("To") && run !== before);
    assert.equal(imported, run);
  });

  test("places that are taken, names that are none", async () => {
    const cwd = fresh();
    mkdirSync(join(cwd, "mine"), { recursive: true });
    writeFileSync(join(cwd, "mine", "diary.txt"), "mine");
    writeFileSync(join(cwd, "file"), "");
    mkdirSync(join(cwd, "empty"));
    const run = (...args: string[]): ReturnType<typeof gpt2> => gpt2(["export", ...args], { cwd });
    for (const format of ["tensorflow", "huggingface"]) {
      const to = (out: string): ReturnType<typeof gpt2> =>
        run(MICRO, "--format", format, "--overwrite", "--out", out);
      assertFails(await to("mine"), 1, /mine holds a file that is not part of an export, "diary\.txt"/);
      assertFails(await to("file"), 1, /file is a file/);
      assertFails(await to(MICRO), 2, /the model's own folder/);
      assertDone(await to(format === "tensorflow" ? "empty" : "new"));
    }
    assertFails(await run(MICRO, "--out", "new", "--overwrite"), 1, /not part of an export/);
    assertFails(await run("nothing"), 2, /there is no run "nothing" in checkpoint and no model of that name/);
    assertFails(await run(""), 2, /there is no run ""/);
    assertFails(await run("./mine"), 2, /mine is not a model folder/);
    assertFails(await run(MICRO, "--format", "onnx"), 2, /--format must be one of tensorflow, huggingface/);
    assert.deepEqual(readdirSync(join(cwd, "mine")), ["diary.txt"]);
    assert.deepEqual(readdirSync(cwd).sort(), ["empty", "file", "mine", "new"]);
  });

  test("a damaged model or counter, a disk that takes no more: one line, nothing is left, the old export stays", async () => {
    const folder = await makeRun(fresh(), "run", 3);
    const out = fresh();
    await exportModel(folder, out, { format: "tensorflow" });
    const before = readdirSync(out);
    const again = ["export", folder, "--out", out, "--overwrite"];
    if (!NO_SHELL) {
      const line = `trap "" XFSZ; ulimit -f 100 || exit 9; gpt2 export "$FROM" --out "$TO" --overwrite`;
      const outcome = await shell(line, { env: { FROM: folder, TO: out } });
      if (outcome.code !== 9) assertFails(outcome, 1, /cannot write .*model-3\.data-00000-of-00001/);
    }
    writeFileSync(join(folder, "counter"), "three\n");
    assertFails(await gpt2(again), 1, /counter should hold the number of steps, not "three"/);
    writeFileSync(join(folder, "counter"), "4");
    const shard = join(folder, "group1-shard1of1.bin");
    const bytes = readFileSync(shard);
    bytes[200_000] ^= 1;
    writeFileSync(shard, bytes);
    assertFails(await gpt2(again), 1, /group1-shard1of1\.bin is damaged/);
    assert.deepEqual(readdirSync(out), before);
    sameFile(join(out, `model-3.${DATA}`), join(MICRO, `model.ckpt.${DATA}`));
    const elsewhere = fresh();
    assertFails(await gpt2(["export", folder, "--out", elsewhere, "--format", "huggingface"]), 1, /damaged/);
    assert.ok(!existsSync(elsewhere));
  });

  test("files of an export, and those around them, survive a folder in the way", async () => {
    const out = fresh();
    mkdirSync(join(out, "hparams.json"), { recursive: true });
    assertFails(
      await gpt2(["export", MICRO, "--out", out, "--overwrite"]),
      1,
      /hparams\.json: it is a folder/,
    );
    assert.deepEqual(readdirSync(out), ["hparams.json"]);
  });

  test("a model without a vocabulary that is not of the size of OpenAI's is refused", async () => {
    const folder = fresh();
    cpSync(MICRO, folder, { recursive: true, filter: (name) => !/encoder\.json|vocab\.bpe/.test(name) });
    assertFails(await gpt2(["export", folder, "--out", fresh()]), 1, /cannot use OpenAI's 50257 tokens/);
  });
});
