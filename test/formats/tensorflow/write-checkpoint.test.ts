import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { maskCrc } from "../../../dist/src/formats/crc.js";
import { type BundleEntry, readIndex, writeIndex } from "../../../dist/src/formats/tensorflow/bundle.js";
import { findCheckpoint, openCheckpoint } from "../../../dist/src/formats/tensorflow/checkpoint.js";
import { readTable } from "../../../dist/src/formats/tensorflow/table.js";
import { writeCheckpoint } from "../../../dist/src/formats/tensorflow/write-checkpoint.js";
import { writeTable } from "../../../dist/src/formats/tensorflow/write-table.js";
import { parameterShapes, sizeOf } from "../../../dist/src/model/parameters.js";
import type { WeightSource } from "../../../dist/src/model/weight-source.js";
import { moduleUrl, onFullDisk } from "../../support/limited-disk.js";
import { maskedCrc, slowCrc32c } from "../../support/write-checkpoint.js";

const root = join(import.meta.dirname, "../../..");
const fixtures = join(root, "test/fixtures");
const micro = join(fixtures, "micro");
const scratch = mkdtempSync(join(tmpdir(), "gpt2-checkpoint-write-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

let count = 0;
const fresh = (name = ""): string => join(scratch, `${count++} ${name}`);
const sameFile = (a: string, b: string): void =>
  assert.ok(readFileSync(a).equals(readFileSync(b)), `${a} ${b}`);

/** A source that counts how many of its values are in somebody's hands. */
function sourceOf(values: ReadonlyMap<string, Float32Array>, fail?: string): WeightSource {
  const tensors = new Map(
    [...values].map(([name, { length }]) => [name, { shape: [length], dtype: "float32" }]),
  );
  return {
    path: "memory",
    tensors,
    read: async (name, target) => {
      if (name === fail) throw new Error("the source fails");
      target.set(values.get(name) ?? []);
    },
    close: async () => undefined,
  };
}

test("micro is written as an independent program in Python wrote it, byte for byte, in five blocks", async () => {
  const folder = fresh();
  const source = await openCheckpoint(micro);
  const seen: number[] = [];
  const bytes = await writeCheckpoint(folder, "model.ckpt", source, {
    blockSize: 256,
    onProgress: (done, total) => {
      assert.equal(total, 212_096);
      seen.push(done);
    },
  });
  assert.equal(bytes, 212_096);
  assert.deepEqual([seen.length, seen.at(-1)], [40, 212_096]);
  assert.ok(seen.every((done, i) => i === 0 || done > seen[i - 1]));
  const names = ["checkpoint", "model.ckpt.data-00000-of-00001", "model.ckpt.index"];
  assert.deepEqual(readdirSync(folder).sort(), names);
  for (const name of names) sameFile(join(folder, name), join(micro, name));
});

for (const name of ["shards", "types"]) {
  test(`the index of ${name}, entry by entry as it was read, has the same bytes`, async () => {
    const path = join(fixtures, "checkpoints", name, "model.ckpt.index");
    assert.ok(writeIndex(await readIndex(path)).equals(readFileSync(path)));
  });
}

test("the index of OpenAI's models has as many bytes as OpenAI's, and reads back", async () => {
  for (const [n_layer, n_embd, n_head, published] of [
    [12, 768, 12, 5215],
    [24, 1024, 16, 10_399],
  ]) {
    const shapes = parameterShapes({ n_vocab: 50257, n_ctx: 1024, n_embd, n_head, n_layer });
    const entries = new Map<string, BundleEntry>();
    let offset = 0;
    for (const [name, shape] of [...shapes].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const size = 4 * sizeOf(shape);
      entries.set(name, { dtype: 1, shape, shard: 0, offset, size, maskedCrc: 0xdeadbeef, sliced: false });
      offset += size;
    }
    // The maps' own order must not matter.
    const index = writeIndex({ shards: 1, entries: new Map([...entries].reverse()) });
    assert.equal(index.length, published);
    for (const blockSize of [64, 300, 1000, 1 << 18]) {
      const path = fresh();
      writeFileSync(path, writeIndex({ shards: 1, entries }, blockSize));
      assert.deepEqual(await readIndex(path), { shards: 1, entries });
    }
  }
});

test("OpenAI's own index is written byte for byte from its entries", async () => {
  const path = join(root, "test/fixtures/openai-124M/model.ckpt.index");
  assert.ok(writeIndex(await readIndex(path)).equals(readFileSync(path)));
});

test("tables of any keys and block sizes read back; keys out of order are refused", () => {
  const keys = [
    "",
    "\x00",
    "a",
    "aa",
    "ab\xff\xff",
    "ac",
    "a\xff",
    "b".repeat(300),
    "\xff\xff",
    "\xff\xff\xff",
  ];
  const entries = keys.map((key, i) => ({
    key: Buffer.from(key, "latin1"),
    value: Buffer.alloc((i * 97) % 400, i),
  }));
  for (const blockSize of [1, 16, 50, 100, 200, 1000, 1 << 18]) {
    const found = readTable(writeTable(entries, blockSize));
    assert.deepEqual(
      found.map(({ key, value }) => [Buffer.from(key), Buffer.from(value)]),
      entries.map(({ key, value }) => [key, value]),
    );
  }
  assert.equal(readTable(writeTable([])).length, 0);
  assert.throws(() => writeTable([entries[3], entries[2]]), RangeError);
  assert.throws(() => writeTable([entries[3], entries[3]]), RangeError);
});

test("the mask of a check", () => {
  for (const text of ["", "a", "123456789"]) {
    assert.equal(maskCrc(slowCrc32c(Buffer.from(text))), maskedCrc(Buffer.from(text)));
  }
});

test("tensors of no values, of many pieces, names beyond ASCII; a prefix with quotes and Unicode", async () => {
  const values = new Map([
    ["model/z", Float32Array.from({ length: 600_000 }, (_, i) => i)],
    ["model/ä", Float32Array.of(-0, Number.NaN, Number.POSITIVE_INFINITY)],
    ["model/empty", new Float32Array(0)],
    ["model/𝄞", Float32Array.of(7)],
    ["model/\uffee", Float32Array.of(8)], // UTF-16 sorts it behind 𝄞, bytes before
  ]);
  const folder = fresh("Ünïcode folder");
  const prefix = 'a "quoted" prefix\\ ü';
  await writeCheckpoint(folder, prefix, sourceOf(values), { blockSize: 64 });
  assert.equal(await findCheckpoint(folder), join(folder, prefix));
  const source = await openCheckpoint(folder);
  assert.deepEqual(
    [...source.tensors.keys()],
    ["model/empty", "model/z", "model/ä", "model/\uffee", "model/𝄞"],
  );
  for (const [name, wanted] of values) {
    const found = new Float32Array(wanted.length);
    await source.read(name, found);
    assert.deepEqual(found, wanted);
  }
});

test("an abort, a source that fails, a folder in the way: the old checkpoint stays, nothing else is left", async () => {
  const folder = fresh();
  cpSync(micro, folder, { recursive: true });
  const before = readdirSync(folder);
  const source = await openCheckpoint(micro);
  const values = new Map([
    ["model/a", Float32Array.of(1)],
    ["model/b", Float32Array.of(2)],
  ]);
  const stopped = new Error("stopped");
  const controller = new AbortController();
  await assert.rejects(
    writeCheckpoint(folder, "model.ckpt", source, {
      signal: controller.signal,
      onProgress: (done) => {
        if (done > 100_000) controller.abort(stopped);
      },
    }),
    stopped,
  );
  await assert.rejects(
    writeCheckpoint(folder, "model.ckpt", sourceOf(values, "model/b")),
    /the source fails/,
  );
  assert.deepEqual(readdirSync(folder), before);
  for (const name of before) sameFile(join(folder, name), join(micro, name));
  await assert.rejects(
    writeCheckpoint(join(folder, "checkpoint"), "model.ckpt", source),
    /cannot create .*checkpoint/,
  );
});

test("another step's files go with isOld, companions come", async () => {
  const folder = fresh();
  const source = await openCheckpoint(micro);
  await writeCheckpoint(folder, "model-4", source, {
    companions: new Map([["counter", Buffer.from("4\n")]]),
  });
  await writeCheckpoint(folder, "model-5", source, {
    companions: new Map([["counter", Buffer.from("5\n")]]),
    isOld: (name) => name.startsWith("model-"),
  });
  assert.deepEqual(readdirSync(folder).sort(), [
    "checkpoint",
    "counter",
    "model-5.data-00000-of-00001",
    "model-5.index",
  ]);
  assert.equal(readFileSync(join(folder, "counter"), "utf8"), "5\n");
  assert.equal(await findCheckpoint(folder), join(folder, "model-5"));
});

test("a disk that takes no more: a clear line, and the folder is as it was", {
  skip: process.platform === "win32",
}, (t) => {
  const folder = fresh();
  cpSync(micro, folder, { recursive: true });
  const before = readdirSync(folder);
  const told = onFullDisk(
    `const { openCheckpoint } = await import(${moduleUrl(join(root, "dist/src/formats/tensorflow/checkpoint.js"))});
    const { writeCheckpoint } = await import(${moduleUrl(join(root, "dist/src/formats/tensorflow/write-checkpoint.js"))});`,
    `writeCheckpoint(${JSON.stringify(folder)}, "model.ckpt", await openCheckpoint(${JSON.stringify(micro)}))`,
  );
  if (told === undefined) return t.skip("no limit on the size of files here");
  assert.match(told, /^UserError: cannot write .*model\.ckpt\.data-00000-of-00001.*\n$/);
  assert.deepEqual(readdirSync(folder), before);
  for (const name of before) sameFile(join(folder, name), join(micro, name));
});
