import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openCheckpoint } from "../../dist/src/formats/tensorflow/checkpoint.js";
import { openWeights } from "../../dist/src/formats/tfjs/read.js";
import { parseHparams } from "../../dist/src/model/hparams.js";
import { checkParameters, sizeOf } from "../../dist/src/model/parameters.js";
import type { WeightSource } from "../../dist/src/model/weight-source.js";
import { convert } from "../../dist/src/models/convert.js";
import { DEMOS } from "../../dist/src/models/store.js";
import { UserError } from "../../dist/src/system/errors.js";
import { moduleUrl, onFullDisk } from "../support/limited-disk.js";

const root = join(import.meta.dirname, "../..");
const micro = join(root, "test/fixtures/micro");
const scratch = mkdtempSync(join(tmpdir(), "gpt2-convert-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

function copyOfMicro(): string {
  const folder = mkdtempSync(join(scratch, "micro-"));
  cpSync(micro, folder, { recursive: true });
  return folder;
}

function contents(folder: string): Map<string, string> {
  return new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "latin1")]));
}

async function assertSame(a: WeightSource, b: WeightSource, tolerance: number): Promise<void> {
  assert.deepEqual([...a.tensors.keys()], [...b.tensors.keys()]);
  for (const [name, { shape }] of a.tensors) {
    assert.deepEqual(b.tensors.get(name)?.shape, shape);
    const [x, y] = [new Float32Array(sizeOf(shape)), new Float32Array(sizeOf(shape))];
    await Promise.all([a.read(name, x), b.read(name, y)]);
    const wrong = x.findIndex(
      (value, i) => Math.abs(value - y[i]) > tolerance * Math.max(Math.abs(value), 2 ** -14),
    );
    assert.equal(wrong, -1, `${name}[${wrong}]: ${x[wrong]} ${y[wrong]}`);
  }
}

for (const [dtype, bytes, tolerance] of [
  ["float32", 212_096, 0],
  ["float16", 106_048, 2 ** -10],
] as const) {
  test(`micro to ${dtype}, in its folder and in another one`, async () => {
    const folder = copyOfMicro();
    const out = join(scratch, dtype, "new", "folder");
    const result = { parameters: 53_024, tensors: 40, bytes };
    assert.deepEqual(await convert(folder, { dtype }), result);
    assert.deepEqual(await convert(micro, { dtype, out }), result);
    await assertSame(await openCheckpoint(micro), await openWeights(folder), tolerance);
    assert.deepEqual(readdirSync(out).sort(), [
      "encoder.json",
      "group1-shard1of1.bin",
      "hparams.json",
      "model.json",
      "vocab.bpe",
    ]);
    for (const [name, content] of contents(out)) assert(contents(folder).get(name) === content, name);
    const before = contents(folder);
    await convert(folder, { dtype });
    assert.deepEqual(contents(folder), before);
  });
}

test("what cannot be converted: one line that names it, and nothing changes", async () => {
  const cases: [RegExp, (folder: string) => void][] = [
    [
      /holds no TensorFlow checkpoint/,
      (folder) => {
        for (const name of ["checkpoint", "model.ckpt.index"]) rmSync(join(folder, name));
      },
    ],
    [/hparams\.json: no such file/, (folder) => rmSync(join(folder, "hparams.json"))],
    [/hparams\.json is not valid JSON/, (folder) => writeFileSync(join(folder, "hparams.json"), "<html>")],
    [
      /53024 parameters where/,
      (folder) =>
        writeFileSync(
          join(folder, "hparams.json"),
          readFileSync(join(micro, "hparams.json"), "utf8").replace("400", "401"),
        ),
    ],
    [
      /damaged/,
      (folder) => {
        const path = join(folder, "model.ckpt.data-00000-of-00001");
        const data = readFileSync(path);
        data[data.length - 1] ^= 64;
        writeFileSync(path, data);
      },
    ],
  ];
  for (const [reason, spoil] of cases) {
    const folder = copyOfMicro();
    await convert(folder, { dtype: "float16" });
    spoil(folder);
    const before = contents(folder);
    const out = join(folder, "../spoilt");
    for (const options of [{ dtype: "float32" }, { dtype: "float32", out }] as const) {
      await assert.rejects(convert(folder, options), (error) => {
        assert(error instanceof UserError, (error as Error).stack);
        assert.match(error.message, reason);
        assert(!error.message.includes("\n"));
        return true;
      });
    }
    assert.deepEqual(contents(folder), before);
    if (existsSync(out)) assert.deepEqual(readdirSync(out), []);
  }
});

test("a disk that takes no more: a clear line, and the old weights work on", {
  skip: process.platform === "win32",
}, async (t) => {
  const folder = copyOfMicro();
  await convert(folder, { dtype: "float16" });
  const before = contents(folder);
  const told = onFullDisk(
    `const { convert } = await import(${moduleUrl(join(root, "dist/src/models/convert.js"))});`,
    `convert(${JSON.stringify(folder)}, { dtype: "float32" })`,
  );
  if (told === undefined) return t.skip("no limit on the size of files here");
  assert.match(told, /^UserError: cannot write .*group1-shard1of1\.bin.*\n$/);
  assert.deepEqual(contents(folder), before);
  await assertSame(await openCheckpoint(micro), await openWeights(folder), 2 ** -10);
});

for (const demo of DEMOS)
  test(`the demo model ${demo} is whole`, async () => {
    const folder = join(root, "models", demo);
    const source = await openWeights(folder);
    checkParameters(parseHparams(readFileSync(join(folder, "hparams.json"), "utf8"), "hparams.json"), source);
    for (const [name, { shape, dtype }] of source.tensors) {
      assert.equal(dtype, "float16");
      await source.read(name, new Float32Array(sizeOf(shape)));
    }
    const original = join(root, "../shared/models", demo);
    if (existsSync(original)) await assertSame(await openCheckpoint(original), source, 0);
    for (const name of ["encoder.json", "vocab.bpe", "README.md"])
      assert(existsSync(join(folder, name)), name);
  });
