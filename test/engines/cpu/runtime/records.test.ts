/// <reference path="../../../../src/engines/cpu/runtime/webassembly.d.ts" />
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import * as records from "../../../../dist/src/engines/cpu/runtime/records.js";

/** A class of the kernels, and the record that TypeScript writes for it. */
const PAIRS = {
  Linear: records.LINEAR,
  Norm: records.NORM,
  Layer: records.LAYER,
  Block: records.BLOCK,
  Model: records.MODEL,
  Pack: records.PACK,
  Matmul: records.MATMUL,
  LayerNorm: records.LAYERNORM,
  Attention: records.ATTENTION,
  Values: records.VALUES,
  Embedding: records.EMBEDDING,
  CrossEntropy: records.CROSSENTROPY,
  Update: records.UPDATE,
};

/** Every unmanaged class in assembly/: its fields and whether each is a float. */
function classes(): Map<string, Record<string, string>> {
  const found = new Map<string, Record<string, string>>();
  for (const file of ["inference", "training"].flatMap((folder) => readFolder(`assembly/${folder}`))) {
    const text = readFileSync(file, "utf8");
    for (const [, name, body] of text.matchAll(/@unmanaged\nexport class (\w+) \{\n(.*?)\n\}/gs)) {
      const fields = [...body.matchAll(/^ {2}(\w+): ([\w.]+);$/gm)].map(([, field, type]) => [
        field,
        type === "f32" ? "f32" : "u32",
      ]);
      assert.equal(fields.length, body.match(/^ {2}\w+:/gm)!.length, `every field of ${name} was read`);
      found.set(name, Object.fromEntries(fields));
    }
  }
  return found;
}

const readFolder = (folder: string): string[] => readdirSync(folder).map((file) => `${folder}/${file}`);

test("records have the fields of the kernels' classes, in their order, with their types", () => {
  const found = classes();
  assert.deepEqual([...found.keys()].sort(), Object.keys(PAIRS).sort());
  for (const [name, { fields, bytes, offsets }] of Object.entries(PAIRS)) {
    assert.deepEqual(Object.entries(fields), Object.entries(found.get(name)!), name);
    assert.equal(bytes, 4 * Object.keys(fields).length);
    assert.deepEqual(
      Object.values(offsets),
      Object.keys(fields).map((_, i) => 4 * i),
    );
  }
});

test("floats are written as floats, words as words, what is left out stays", () => {
  const memory = { buffer: new SharedArrayBuffer(256) } as WebAssembly.Memory;
  records.write(memory, 64, records.VALUES, { n: 7, rows: 8, x: 2 ** 32 - 4, y: 9, z: 10, scale: 0.5 });
  records.write(memory, 64, records.VALUES, { rows: 11 });
  assert.equal(records.read(memory, 64, records.VALUES, "n"), 7);
  assert.equal(records.read(memory, 64, records.VALUES, "rows"), 11);
  assert.equal(records.read(memory, 64, records.VALUES, "x"), 2 ** 32 - 4);
  assert.equal(new DataView(memory.buffer).getFloat32(64 + 20, true), 0.5);
});
