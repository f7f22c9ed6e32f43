import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openSafetensors, writeSafetensors } from "../../../dist/src/formats/huggingface/safetensors.js";
import { sizeOf } from "../../../dist/src/model/parameters.js";
import { UserError } from "../../../dist/src/system/errors.js";
import { joinSafetensors, splitSafetensors } from "../../support/safetensors.js";

const fixtures = join(import.meta.dirname, "../../fixtures/huggingface");
const scratch = mkdtempSync(join(tmpdir(), "gpt2-safetensors-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

let count = 0;
function fileOf(bytes: Uint8Array): string {
  const path = join(scratch, `${count++}.safetensors`);
  writeFileSync(path, bytes);
  return path;
}

async function refuses(bytes: Uint8Array, reason: RegExp): Promise<void> {
  const path = fileOf(bytes);
  await assert.rejects(openSafetensors(path), (error) => {
    assert.ok(error instanceof UserError, (error as Error).stack);
    assert.ok(error.message.includes(path) && !error.message.includes("\n"), error.message);
    assert.match(error.message, reason);
    assert.ok(error.message.length < 400);
    return true;
  });
  rmSync(path);
}

const f32 = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer);
const one = { dtype: "F32", shape: [2], data_offsets: [0, 8] };

test("every type of numbers, names of any kind", async () => {
  const halves = Buffer.from("003c00c1ff7b0100", "hex"); // 1, -2.5, 65504, 2^-24
  const brains = Buffer.from("803f20c0807f0100", "hex"); // 1, -2.5, Infinity, 2^-133
  const doubles = Buffer.from(Float64Array.of(0.1, -3).buffer);
  const header = {
    __metadata__: { format: "pt", any: "thing" },
    __proto__: undefined,
    f16: { dtype: "F16", shape: [2, 2], data_offsets: [8, 16] },
    bf16: { dtype: "BF16", shape: [4], data_offsets: [16, 24] },
    f64: { dtype: "F64", shape: [2], data_offsets: [24, 40] },
    "a name\nof ünïcode": one,
    mask: { dtype: "BOOL", shape: [1, 3], data_offsets: [40, 43] },
    empty: { dtype: "F32", shape: [0, 5], data_offsets: [43, 43] },
    scalar: { dtype: "F32", shape: [], data_offsets: [43, 47] },
  };
  const json = JSON.stringify(header).replace(
    "{",
    '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[47,48]},',
  );
  const data = Buffer.concat([
    f32(1, -0),
    halves,
    brains,
    doubles,
    Buffer.from([1, 0, 1]),
    f32(9),
    Buffer.from([5]),
  ]);
  const file = await openSafetensors(fileOf(joinSafetensors(`${json}   `, data)));
  assert.equal(file.tensors.size, 8);
  assert.deepEqual(file.tensors.get("__proto__")?.dtype, "U8");
  const read = async (name: string): Promise<number[]> => {
    const target = new Float32Array(sizeOf(file.tensors.get(name)?.shape ?? []));
    await file.read(name, target);
    const scanned: number[] = [];
    await file.scan(name, (values) => scanned.push(...values));
    assert.deepEqual(scanned, [...target]);
    return [...target];
  };
  assert.deepEqual(await read("a name\nof ünïcode"), [1, -0]);
  assert.deepEqual(await read("f16"), [1, -2.5, 65504, 2 ** -24]);
  assert.deepEqual(await read("bf16"), [1, -2.5, Number.POSITIVE_INFINITY, 2 ** -133]);
  assert.deepEqual(await read("f64"), [Math.fround(0.1), -3]);
  assert.deepEqual(await read("empty"), []);
  assert.deepEqual(await read("scalar"), [9]);
  await assert.rejects(read("mask"), /mask has the type BOOL, and only floating-point/);
  await assert.rejects(file.read("scalar", new Float32Array(2)), RangeError);
  await assert.rejects(file.read("none", new Float32Array(1)), RangeError);
});

test("what is no safetensors, cut off, or says what cannot be: one line that names the file", async () => {
  const good = joinSafetensors({ a: one }, f32(1, 2));
  await openSafetensors(fileOf(good));
  await refuses(Buffer.alloc(0), /it has 0 bytes/);
  await refuses(good.subarray(0, 7), /it has 7 bytes/);
  await refuses(good.subarray(0, 20), /its header has \d+ bytes and the file 20, so it is cut off/);
  await refuses(good.subarray(0, good.length - 1), /"a" lies outside the file; perhaps it is cut off/);
  await refuses(Buffer.concat([good, Buffer.alloc(1)]), /it has \d+ bytes where its header describes \d+/);
  await refuses(Buffer.from("<!DOCTYPE html><html>no such model</html>"), /another kind of file/);
  await refuses(Buffer.from("ffffffffffffffff7b7d", "hex"), /another kind of file/);
  await refuses(Buffer.from("ffff3f00000000007b7d", "hex"), /cut off/); // just below the limit
  await refuses(joinSafetensors("{"), /not valid JSON/);
  await refuses(joinSafetensors("[]"), /not a list of tensors/);
  await refuses(joinSafetensors("null"), /not a list of tensors/);
  await refuses(
    Buffer.concat([Buffer.from("0400000000000000", "hex"), Buffer.from([0x7b, 0xff, 0xfe, 0x7d])]),
    /UTF-8/,
  );
  const wrong: [unknown, RegExp][] = [
    [5, /"a" is not described/],
    [{ ...one, dtype: 32 }, /"a" has no type/],
    [{ ...one, dtype: "F 32" }, /"a" has no type/],
    [{ ...one, dtype: "F16" }, /"a" has 8 bytes, which does not match F16 of the shape \[2\]/],
    [{ ...one, shape: 2 }, /no valid shape/],
    [{ ...one, shape: [-2] }, /no valid shape/],
    [{ ...one, shape: [2.5] }, /no valid shape/],
    [{ ...one, shape: ["2"] }, /no valid shape/],
    [{ ...one, shape: new Array(9).fill(1) }, /no valid shape/],
    [{ ...one, shape: [2 ** 53 - 1, 2 ** 53 - 1, 2 ** 53 - 1] }, /does not match/],
    [{ ...one, shape: [1e9, 1e9] }, /does not match/],
    [{ ...one, data_offsets: [0] }, /no valid offsets/],
    [{ ...one, data_offsets: [8, 0] }, /outside the file/],
    [{ ...one, data_offsets: [-8, 0] }, /no valid offsets/],
    [{ ...one, data_offsets: [0, 2 ** 53] }, /no valid offsets/],
    [{ ...one, data_offsets: [2 ** 52, 2 ** 52 + 8] }, /outside the file/],
    [{ dtype: "U8", shape: [7], data_offsets: [1, 8] }, /overlap or have gaps/],
  ];
  for (const [a, reason] of wrong) await refuses(joinSafetensors({ a }, f32(1, 2)), reason);
  await refuses(joinSafetensors({ a: one, b: one }, f32(1, 2)), /overlap/);
  await refuses(
    joinSafetensors({ a: one, b: { ...one, data_offsets: [12, 20] } }, f32(1, 2, 3, 4, 5)),
    /gaps/,
  );
  await refuses(joinSafetensors({ [`a\n${"b".repeat(5000)}`]: 1 }), /"a\\nb+\.\.\.b+" is not described/);
  await assert.rejects(openSafetensors(join(scratch, "gone")), /cannot read .*gone: no such file/);
  await assert.rejects(openSafetensors(scratch), /not a file|it is a folder/);
});

test("2,000 mutations of a file: each is read or refused in one line, none takes much memory or time", async () => {
  // A small generator of random numbers, so that a failure can be seen again.
  let state = 12345;
  const random = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const original = readFileSync(join(fixtures, "bf16/model-00001-of-00003.safetensors"));
  const { header } = splitSafetensors(original);
  const headerEnd = 8 + Number(original.readBigUInt64LE());
  const hostile = [
    "-1",
    "1e308",
    "9007199254740993",
    "null",
    "[]",
    '"F32"',
    "{}",
    "1e-9",
    '"\\ud800"',
    "[[[[[[",
  ];
  const path = join(scratch, "mutated.safetensors");
  let read = 0;
  let refused = 0;
  let most = 0;
  const before = process.memoryUsage().rss;
  const started = performance.now();
  for (let i = 0; i < 2000; i++) {
    let bytes = Buffer.from(original);
    for (let changes = 1 + random(4); changes > 0; changes--) {
      const at = random(10) < 8 ? random(headerEnd) : random(bytes.length);
      const kind = random(6);
      if (kind === 0) bytes[at % bytes.length] ^= 1 << random(8);
      else if (kind === 1) bytes[at % bytes.length] = random(256);
      else if (kind === 2) bytes = bytes.subarray(0, at);
      else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + random(40))]);
      else {
        // A number of the header becomes another.
        const text = bytes.toString("latin1", 8, headerEnd);
        const numbers = [...text.matchAll(/\d+/g)];
        if (numbers.length === 0) continue;
        const { 0: old, index } = numbers[random(numbers.length)];
        const value = kind === 4 ? String(random(1 << 30)) : hostile[random(hostile.length)];
        const changed = Buffer.from(text.slice(0, index) + value + text.slice(index + old.length), "latin1");
        const length = Buffer.alloc(8);
        length.writeBigUInt64LE(BigInt(changed.length));
        bytes = Buffer.concat([length, changed, bytes.subarray(headerEnd)]);
      }
      if (bytes.length < 8) break;
    }
    writeFileSync(path, bytes);
    try {
      const file = await openSafetensors(path);
      for (const [name, { shape, dtype }] of file.tensors) {
        if (!["F32", "F16", "BF16", "F64"].includes(dtype)) continue;
        assert.ok(sizeOf(shape) <= bytes.length, "no tensor is larger than its file");
        await file.read(name, new Float32Array(sizeOf(shape)));
      }
      read++;
    } catch (error) {
      assert.ok(error instanceof UserError, `mutation ${i}: ${(error as Error).stack}`);
      assert.ok(!error.message.includes("\n") && error.message.includes(path), error.message);
      refused++;
    }
    most = Math.max(most, process.memoryUsage().rss);
  }
  assert.ok(
    Object.keys(header).length > 10 && read > 50 && refused > 1000,
    `${read} read, ${refused} refused`,
  );
  assert.ok(most - before < 200e6, `${(most - before) / 1e6} MB`);
  assert.ok(performance.now() - started < 60_000);
});

test("written tensors: sorted, aligned, padded, and read by another reader", async () => {
  const values = new Map([
    ["b.weight", { shape: [2, 3], values: Float32Array.of(1, 2, 3, 4, 5, -0) }],
    ["a", { shape: [], values: Float32Array.of(Number.NaN) }],
    ["none", { shape: [0], values: new Float32Array(0) }],
  ]);
  const folder = join(scratch, "written here");
  const seen: number[] = [];
  const bytes = await writeSafetensors(
    folder,
    "x.safetensors",
    {
      path: "memory",
      tensors: new Map([...values].map(([name, { shape }]) => [name, { shape, dtype: "float32" }])),
      read: async (name, target) => target.set(values.get(name)?.values ?? []),
      close: async () => undefined,
    },
    { onProgress: (done) => seen.push(done) },
  );
  assert.equal(bytes, 28);
  assert.deepEqual(seen, [4, 28, 28]);
  const file = readFileSync(join(folder, "x.safetensors"));
  assert.equal(Number(file.readBigUInt64LE()) % 8, 0);
  const { header, data } = splitSafetensors(file);
  assert.deepEqual(header, {
    __metadata__: { format: "pt" },
    a: { dtype: "F32", shape: [], data_offsets: [0, 4] },
    "b.weight": { dtype: "F32", shape: [2, 3], data_offsets: [4, 28] },
    none: { dtype: "F32", shape: [0], data_offsets: [28, 28] },
  });
  assert.ok(data.equals(f32(Number.NaN, 1, 2, 3, 4, 5, -0)));
});
