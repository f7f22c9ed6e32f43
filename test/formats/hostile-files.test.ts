/** What fuzzing (npm run test:faults) has found in model files, one test each. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadEncoder } from "../../dist/src/encoder/encoder.js";
import { readRun } from "../../dist/src/finetune/run/run-file.js";
import { crc32 } from "../../dist/src/formats/crc.js";
import { openHuggingFace } from "../../dist/src/formats/huggingface/open.js";
import { readTokenizer } from "../../dist/src/formats/huggingface/tokenizer.js";
import { writeIndex } from "../../dist/src/formats/tensorflow/bundle.js";
import { openCheckpoint } from "../../dist/src/formats/tensorflow/checkpoint.js";
import { readTable } from "../../dist/src/formats/tensorflow/table.js";
import { parseManifest } from "../../dist/src/formats/tfjs/manifest.js";
import { openWeights } from "../../dist/src/formats/tfjs/read.js";
import { parseHparams } from "../../dist/src/model/hparams.js";
import { checkParameters } from "../../dist/src/model/parameters.js";
import type { TensorInfo } from "../../dist/src/model/weight-source.js";
import { convert } from "../../dist/src/models/convert.js";
import { loadHparams } from "../../dist/src/models/folder.js";
import { messageOf, quote, shorten, UserError } from "../../dist/src/system/errors.js";
import { blockOf, putTogether, type Row, takeApart } from "../faults/support/table.js";
import { inProject, MICRO } from "../support/models.js";
import { NO_SHELL } from "../support/spawn.js";

const scratch = mkdtempSync(join(tmpdir(), "gpt2-hostile-"));
after(() => rmSync(scratch, { recursive: true, force: true, maxRetries: 3 }));
let count = 0;
function copyOf(folder: string): string {
  const copy = join(scratch, String(count++));
  cpSync(folder, copy, { recursive: true });
  return copy;
}
const huggingFace = (name: string): string => copyOf(inProject(`test/fixtures/huggingface/${name}`));

/** It is refused with one short line that can be shown in a terminal. */
async function refuses(open: () => unknown, reason: RegExp): Promise<void> {
  await assert.rejects(
    async () => open(),
    (error: unknown) => {
      assert.ok(error instanceof UserError, String((error as Error).stack));
      assert.match(error.message, reason);
      assert.doesNotMatch(error.message, /[\p{Cc}\u2028\u202e]/u);
      assert.ok(error.message.length < 500, `${error.message.length} characters`);
      return true;
    },
  );
}

const deep = (n: number): string => "[".repeat(n) + "]".repeat(n);
/** How a message quotes such a value: Node 26's JSON.stringify goes as deep as it likes, those before it do not. */
const NESTED = String.raw`(a deeply nested value|\[+\.\.\.\]+)`;
const nested = (before: string, after = ""): RegExp => new RegExp(`${before}${NESTED}${after}`);

test("messages: one line, no escapes for a terminal, no file's whole text", () => {
  assert.equal(
    new UserError("a\n  b\u001b[31m\u009b1m\u202ec\u2028\0").message,
    "a b\\u001b[31m\\u009b1m\\u202ec\\u2028\\u0000",
  );
  assert.equal(messageOf(new Error("a\r\nb\u0007")), "a b\\u0007");
  assert.equal(new UserError("plain, Ä, 中, \u{1f600}").message, "plain, Ä, 中, \u{1f600}");
  const { message } = new UserError(`begin${"x".repeat(1e6)}: the next step`);
  assert.ok(message.length <= 1500);
  assert.match(message, /^beginx+\.\.\.x+: the next step$/);
  assert.equal(shorten("0123456789", 10), "0123456789");
  assert.equal(shorten("0123456789a", 10), "0123...89a");
  assert.doesNotMatch(shorten("\u{1f600}".repeat(50), 20), /\p{Cs}/u);
  assert.equal(quote("a\nb"), '"a\\nb"');
  assert.equal(quote({ a: [1, null] }), '{"a":[1,null]}');
  assert.equal(quote(undefined), "nothing");
  assert.match(quote(JSON.parse(deep(100_000))), nested("^", "$"));
  assert.ok(quote("\u001b".repeat(1e6), 60).length <= 60);
});

test("hparams.json: values of any depth and length, characters that move the cursor", async () => {
  const hparams = (text: string) => () => parseHparams(text, "/m/hparams.json");
  await refuses(hparams(`{"n_vocab":${deep(100_000)}}`), nested("n_vocab must be .* not "));
  await refuses(hparams(`{"n_vocab":"${"9".repeat(1e6)}"}`), /n_vocab must be .* not "9+\.\.\.9+"/);
  await refuses(hparams('{"n_vocab":"\u009b31m"}'), /not "\\u009b31m"/);
  await refuses(hparams('{"n_vocab":\u0000400, "n_ctx"'), /is not valid JSON/);
});

test("hparams of millions of layers and few tensors: no list of names is made", async () => {
  const hparams = { n_vocab: 1, n_ctx: 1, n_embd: 1, n_head: 1, n_layer: 10_000_000 };
  const tensors = new Map<string, TensorInfo>([["model/wte", { shape: [250_000_004], dtype: "float32" }]]);
  const source = {
    path: "/m/model.json",
    tensors,
    read: async () => undefined,
    close: async () => undefined,
  };
  await refuses(
    () => checkParameters(hparams, source),
    /holds 1 tensors where hparams.json describes 120000004/,
  );
});

test("model.json: nested values, long shapes, names that Windows reads in another way", async () => {
  const manifest =
    (paths: string, shape = "[1]", crc = "0") =>
    () =>
      parseManifest(
        `{"weightsManifest":[{"paths":${paths},"weights":[{"name":"a","shape":${shape},"dtype":"float32"}]}],"userDefinedMetadata":{"crc32":{"a":${crc}}}}`,
        "/m/model.json",
      );
  manifest('["a.bin"]')();
  await refuses(manifest(`[${deep(100_000)}]`), nested("", " is not the name"));
  const long = JSON.stringify(`${"s".repeat(200)}/${"n".repeat(200)}`);
  const names = [
    long,
    '".. /a.bin"',
    '"a.bin."',
    '"a.bin "',
    '"CON"',
    '"sub/nul.bin"',
    '"com1"',
    '"a\\u009b.bin"',
  ];
  for (const name of names) await refuses(manifest(`[${name}]`), /is not the name of a file beside it/);
  for (const name of ["console.bin", "sub/null", "..a", "a..b", "com10.bin"])
    manifest(JSON.stringify([name]))();
  const folder = copyOf(MICRO.folder);
  await convert(folder, { dtype: "float32" });
  const path = join(folder, "model.json");
  const json = JSON.parse(readFileSync(path, "utf8"));
  const { weights } = json.weightsManifest[0];
  weights[0].shape = [...weights[0].shape, ...Array(1000).fill(1)];
  writeFileSync(path, JSON.stringify(json));
  const source = await openWeights(folder);
  await refuses(
    async () => checkParameters(await loadHparams(folder), source),
    /1, 1, \.\.\. \(100\d sizes\)\]/,
  );
});

test("an index that names a block twice, or has more entries than any checkpoint", () => {
  const file = readFileSync(join(inProject("test/fixtures/checkpoints/blocks"), "model.ckpt.index"));
  const table = takeApart(file);
  const count = readTable(file).length;
  assert.equal(readTable(putTogether(table)).length, count);
  const twice = putTogether(table, { handles: (handles) => handles.push(...handles) });
  assert.throws(() => readTable(twice), /the same block more than once|not in order/);
  const empty = { stored: Buffer.alloc(4004), type: 0 };
  empty.stored.writeUInt32LE(1000, 4000);
  const one = { ...table, data: [empty], keys: [] };
  assert.equal(readTable(putTogether(one)).length, 0);
  const often = putTogether(one, { handles: (handles) => handles.push(...handles, ...handles) });
  assert.throws(() => readTable(often), /the same block more than once/);
  const rows = (n: number): Row[] =>
    Array.from({ length: n }, (_, i) => [Buffer.from(String(i).padStart(6, "0")), Buffer.alloc(0)]);
  const many = (n: number): Buffer =>
    putTogether({ ...table, data: [{ stored: blockOf(rows(n)), type: 0 }], keys: [] });
  assert.equal(readTable(many(1000)).length, 1000);
  assert.throws(() => readTable(many(100_001)), /too many entries/);
});

test("a checkpoint whose tensors share their bytes, or have long names or shapes", async () => {
  const folder = copyOf(MICRO.folder);
  const index = join(folder, "model.ckpt.index");
  const entry = {
    dtype: 1,
    shape: [30_000],
    shard: 0,
    offset: 0,
    size: 120_000,
    maskedCrc: 0,
    sliced: false,
  };
  const write = (...entries: [string, typeof entry][]): void =>
    writeFileSync(index, writeIndex({ shards: 1, entries: new Map(entries) }));
  write(["model/a", entry]);
  await openCheckpoint(folder);
  write(["model/a", entry], ["model/b", entry]);
  await refuses(() => openCheckpoint(folder), /has 212096 bytes where its index describes tensors of 240000/);
  write([`model/${"\u009b\n".repeat(3000)}`, { ...entry, size: 1 }]);
  await refuses(() => openCheckpoint(folder), /does not match its shape/);
  write(["model/a", { ...entry, shape: Array(5000).fill(1) }]);
  await refuses(() => openCheckpoint(folder), /does not match its shape \[1, .* \.\.\. \(5000 sizes\)\]/);
});

test("checkpoint: a name that no file can have", async () => {
  const folder = copyOf(MICRO.folder);
  const state = (path: string): void =>
    writeFileSync(join(folder, "checkpoint"), `model_checkpoint_path: "${path}"\n`);
  state("x".repeat(250));
  await refuses(() => openCheckpoint(folder), /names a checkpoint of 250 characters/);
  state("x".repeat(100_000));
  await refuses(() => openCheckpoint(folder), /does not say which checkpoint/);
  state(`${"/far".repeat(500)}/model.ckpt`);
  assert.equal((await openCheckpoint(folder)).path, join(folder, "model.ckpt.index"));
});

test("Hugging Face's files: values that no text can be made of", async () => {
  const folder = huggingFace("f16");
  const change = (name: string, from: string | RegExp, to: string): void => {
    const path = join(folder, name);
    const before = readFileSync(path, "utf8");
    const after = before.replace(from, () => to);
    assert.notEqual(after, before, name);
    writeFileSync(path, after);
    restore = () => writeFileSync(path, before);
  };
  let restore = (): void => undefined;
  const tokenizer = async (from: string | RegExp, to: string, reason: RegExp): Promise<void> => {
    change("tokenizer.json", from, to);
    await refuses(() => readTokenizer(folder, 400), reason);
    restore();
  };
  const tooDeep = /tokenizer\.json is nested too deeply: /;
  await tokenizer(/"type": ?"BPE"/, '"type": {"toString": 1}', /its tokenizer is \{"toString":1\}/);
  await tokenizer(/"type": ?"BPE"/, `"type": ${deep(100_000)}`, tooDeep);
  await tokenizer(/"merges": ?\[/, `"merges": [${deep(100_000)},`, tooDeep);
  await tokenizer(/"merges": ?\[/, '"merges": [["a", {"toString": 1}],', /the merge \["a",/);
  await tokenizer(/"!": ?\d+/, `"!": ${deep(100_000)}`, tooDeep);
  const config = async (from: RegExp, to: string, reason: RegExp): Promise<void> => {
    change("config.json", from, to);
    await refuses(() => openHuggingFace(folder), reason);
    restore();
  };
  await config(/"model_type": ?"gpt2"/, `"model_type": ${deep(100_000)}`, nested("model_type is "));
  for (const id of ["-1", "1.5"]) {
    change("config.json", /"eos_token_id": ?\d+/, `"eos_token_id": ${id}`);
    assert.ok(await openHuggingFace(folder));
    restore();
  }
  const list = huggingFace("bf16");
  const path = join(list, "model.safetensors.index.json");
  writeFileSync(path, '{"weight_map":{"a":{"toString":1}}}');
  await refuses(() => openHuggingFace(list), /\{"toString":1\} is not the name of a file beside it/);
});

test("large files and pipes under the names of small ones are not read", async () => {
  const folder = copyOf(MICRO.folder);
  const large = async (name: string, open: () => unknown): Promise<void> => {
    const path = join(folder, name);
    const before = readFileSync(path);
    truncateSync(path, 2 ** 31);
    await refuses(open, /: it has 2147483648 bytes, too many for what its name says/);
    rmSync(path);
    if (!NO_SHELL) {
      execFileSync("mkfifo", [path]);
      await refuses(open, /: it is not a file: download the model again/);
      rmSync(path);
    }
    writeFileSync(path, before);
  };
  await large("hparams.json", () => loadHparams(folder));
  await large("encoder.json", () => loadEncoder(folder));
  await large("vocab.bpe", () => loadEncoder(folder));
  await large("model.ckpt.index", () => openCheckpoint(folder));
  await large("checkpoint", () => openCheckpoint(folder));
  await large("hparams.json", () => convert(folder, { dtype: "float32" }));
});

test("run.json: a save that names files elsewhere, or is nested without end, with a right checksum", async () => {
  const folder = join(scratch, String(count++));
  mkdirSync(folder);
  const write = (text: string): void => {
    const check = crc32(Buffer.from(text));
    writeFileSync(join(folder, "run.json"), `{"format":1,"crc32":${check},${text.slice(1)}`);
  };
  const run = (files: string): string => `{"progress":{"run":1},"files":${files}}`;
  write(run('{"hparams.json":1}'));
  assert.deepEqual((await readRun(folder)).files, { "hparams.json": 1 });
  for (const name of ["../x", "/x", "..", ".bashrc", "a/b", "a\\\\b", "C:x", "", "\\u0000"]) {
    write(run(`{"${name}":1}`));
    await refuses(() => readRun(folder), /is not the name of a file beside it/);
  }
  for (const files of ["null", "[]", deep(100_000), "1"]) {
    write(run(files));
    await refuses(() => readRun(folder), /is damaged/);
  }
  write('{"progress":null,"files":{}}');
  await refuses(() => readRun(folder), /is damaged/);
});
