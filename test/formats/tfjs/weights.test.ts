import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { crc32, createCrc } from "../../../dist/src/formats/crc.js";
import { decodeFloat16, encodeFloat16 } from "../../../dist/src/formats/floats.js";
import { manifestFromAbove } from "../../../dist/src/formats/tfjs/manifest.js";
import { hasWeights, openWeights } from "../../../dist/src/formats/tfjs/read.js";
import { type WriteOptions, writeWeights } from "../../../dist/src/formats/tfjs/write.js";
import { sizeOf } from "../../../dist/src/model/parameters.js";
import type { WeightSource } from "../../../dist/src/model/weight-source.js";
import { UserError } from "../../../dist/src/system/errors.js";

const fixtures = join(import.meta.dirname, "../../fixtures");
const scratch = mkdtempSync(join(tmpdir(), "gpt2-weights-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const require = createRequire(import.meta.url);
const tf = require("@tensorflow/tfjs-core") as typeof import("@tensorflow/tfjs-core");
require("@tensorflow/tfjs-backend-cpu");

let seed = 1;
function random(below: number): number {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % below;
}

/** Tensors that take 8.9 MB in float32: three files, two tensors over their borders. */
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "model/a": [1000, 999],
  "model/scalar": [],
  "model/b": [3],
  "model/empty": [0, 5],
  "model/c": [1, 1234, 1000],
  __proto__x: [7],
};
function memorySource(offset = 0, shapes = SHAPES): WeightSource {
  return {
    path: "memory",
    tensors: new Map(Object.entries(shapes).map(([name, shape]) => [name, { shape, dtype: "float32" }])),
    read: async (name, target) => {
      for (let i = 0; i < target.length; i++) target[i] = valueAt(name, i) + offset;
    },
    close: async () => undefined,
  };
}
/** Held by float16 exactly. */
const valueAt = (name: string, i: number): number => ((i * 7 + name.length) % 2000) / 128 - 5;

async function written(options: Partial<WriteOptions> = {}, offset = 0): Promise<string> {
  const folder = mkdtempSync(join(scratch, "w-"));
  await writeWeights(folder, memorySource(offset), { dtype: "float32", ...options });
  return folder;
}

async function readAll(folder: string): Promise<Map<string, Float32Array>> {
  const source = await openWeights(folder);
  const all = new Map<string, Float32Array>();
  const reads = [...source.tensors].map(async ([name, { shape }]) => {
    const target = new Float32Array(new SharedArrayBuffer(sizeOf(shape) * 4 + 8), 8);
    all.set(name, target);
    await source.read(name, target);
  });
  await Promise.all(reads);
  await source.close();
  return all;
}

async function assertHolds(folder: string, offset = 0): Promise<void> {
  const all = await readAll(folder);
  assert.deepEqual([...all.keys()], Object.keys(SHAPES));
  for (const [name, values] of all) {
    const wrong = values.findIndex((value, i) => value !== Math.fround(valueAt(name, i) + offset));
    assert.equal(wrong, -1, `${name}[${wrong}]`);
  }
}

function clearly(path: string): (error: unknown) => boolean {
  return (error) => {
    assert(error instanceof UserError, `not a UserError: ${(error as Error)?.stack}`);
    assert(!error.message.includes("\n") && error.message.includes(path), error.message);
    return true;
  };
}

test("crc32 is zlib's, native or our own", () => {
  const own = createCrc(0xedb88320);
  for (const f of [crc32, own]) {
    assert.equal(f(Buffer.from("123456789")), 0xcbf43926);
    assert.equal(f(Buffer.from("6789"), f(Buffer.from("12345"))), 0xcbf43926);
  }
  const data = Uint8Array.from({ length: 1000 }, () => random(256));
  assert.equal(own(data), crc32(data));
});

test("float16 rounds as numpy does, ties and smallest values included", () => {
  const file = (name: string): ArrayBuffer => Uint8Array.from(readFileSync(join(fixtures, name))).buffer;
  const values = new Float32Array(file("float16-in.f32"));
  const wanted = new Uint16Array(file("float16-out.u16"));
  const found = new Uint16Array(values.length);
  assert.equal(encodeFloat16(values, found), -1);
  assert.deepEqual(found, wanted);
});

test("every float16 comes back as itself; too large a value is pointed out", () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const values = new Float32Array(65536);
  decodeFloat16(bits, values);
  assert.deepEqual(
    [values[0x3c00], values[0xc100], values[1], values[0x7bff], values[0x0400]],
    [1, -2.5, 2 ** -24, 65504, 2 ** -14],
  );
  assert(Number.isNaN(values[0x7e00]) && Object.is(values[0x8000], -0));
  const finite = bits.filter((half) => (half & 0x7c00) !== 0x7c00);
  const again = new Uint16Array(finite.length);
  assert.equal(
    encodeFloat16(
      values.filter((value) => Number.isFinite(value)),
      again,
    ),
    -1,
  );
  assert.deepEqual(again, finite);
  for (const value of [65520, -65520, 1e30, Number.POSITIVE_INFINITY]) {
    assert.equal(encodeFloat16(new Float32Array([1, value]), again), 1);
  }
  assert.equal(encodeFloat16(new Float32Array([65519.99, Number.NaN]), again), -1);
  assert.deepEqual([...again.subarray(0, 2)], [0x7bff, 0x7e00]);
});

for (const dtype of ["float32", "float16"] as const) {
  test(`${dtype}: files of 4 MiB, read back value for value, by tf.io too`, async () => {
    const progress: number[] = [];
    const folder = await written({ dtype, onProgress: (done, total) => progress.push(done, total) });
    const total = (999_000 + 1 + 3 + 1_234_000 + 7) * (dtype === "float16" ? 2 : 4);
    assert.deepEqual(progress.slice(-2), [total, total]);
    const shards = Math.ceil(total / 2 ** 22);
    const names = Array.from({ length: shards }, (_, i) => `group1-shard${i + 1}of${shards}.bin`);
    assert.deepEqual(readdirSync(folder).sort(), [...names, "model.json"]);
    assert.equal(readFileSync(join(folder, names[0])).length, 2 ** 22);
    await assertHolds(folder);

    // tf.io's own loader of model.json, fed from the folder as it would be from a server
    const handler = tf.io.http("http://127.0.0.1/model.json", {
      fetchFunc: (async (url: string) => {
        const json = url.endsWith(".json");
        const body = Uint8Array.from(readFileSync(join(folder, url.slice(url.lastIndexOf("/") + 1))));
        return new Response(body, {
          headers: { "content-type": json ? "application/json" : "application/octet-stream" },
        });
      }) as typeof fetch,
    });
    const artifacts = await handler.load?.();
    assert(artifacts?.weightData && artifacts.weightSpecs);
    const loaded = tf.io.decodeWeights(artifacts.weightData, artifacts.weightSpecs);
    assert.deepEqual(Object.keys(loaded), Object.keys(SHAPES));
    for (const [name, tensor] of Object.entries(loaded)) {
      assert.deepEqual([...tensor.shape], SHAPES[name]);
      assert.equal(
        tensor.dataSync().findIndex((value, i) => value !== valueAt(name, i)),
        -1,
        name,
      );
    }
    // and its loader of a manifest
    const load = tf.io.weightsLoaderFactory(async (paths) =>
      paths.map((path) => Uint8Array.from(readFileSync(path)).buffer),
    );
    const some = await load(
      JSON.parse(readFileSync(join(folder, "model.json"), "utf8")).weightsManifest,
      folder,
      ["model/b", "model/c"],
    );
    for (const [name, tensor] of Object.entries(some)) {
      assert.equal(
        tensor.dataSync().findIndex((value, i) => value !== valueAt(name, i)),
        -1,
        name,
      );
    }
  });
}

test("files of any size are read, and several groups: tensors over every border", async () => {
  const folder = await written();
  const json = JSON.parse(readFileSync(join(folder, "model.json"), "utf8"));
  const { paths, weights } = json.weightsManifest[0];
  const all = Buffer.concat(paths.map((path: string) => readFileSync(join(folder, path))));
  const border = 999_000 * 4 + 4;
  const cuts = [0, 1, 1, 3_000_001, border, border + 13, 8_900_001, all.length];
  const names = cuts.slice(1).map((end, i) => {
    writeFileSync(join(folder, `part ${i}`), all.subarray(cuts[i], end));
    return `part ${i}`;
  });
  json.weightsManifest = [
    { paths: names.slice(0, 4), weights: weights.slice(0, 2) },
    { paths: names.slice(4), weights: weights.slice(2) },
  ];
  writeFileSync(join(folder, "model.json"), JSON.stringify(json));
  await assertHolds(folder);
});

test("weights one folder below are read, by tf.io too", async () => {
  const folder = mkdtempSync(join(scratch, "above-"));
  await writeWeights(join(folder, "step-7"), memorySource(), { dtype: "float32" });
  const below = readFileSync(join(folder, "step-7", "model.json"), "utf8");
  writeFileSync(join(folder, "model.json"), manifestFromAbove(below, "step-7"));
  await assertHolds(folder);
  const json = JSON.parse(readFileSync(join(folder, "model.json"), "utf8"));
  assert.deepEqual(
    { ...json, weightsManifest: JSON.parse(below).weightsManifest },
    JSON.parse(below),
    "nothing but the paths differs",
  );
  const load = tf.io.weightsLoaderFactory(async (paths) =>
    paths.map((path) => Uint8Array.from(readFileSync(path)).buffer),
  );
  const { "model/c": c } = await load(json.weightsManifest, folder, ["model/c"]);
  assert.equal(
    c.dataSync().findIndex((value, i) => value !== valueAt("model/c", i)),
    -1,
  );
});

test("one changed byte anywhere, a cut or a missing file: a clear line that names it", async () => {
  const folder = await written({ dtype: "float16" });
  for (let i = 0; i < 12; i++) {
    const path = join(folder, `group1-shard${1 + (i & 1)}of2.bin`);
    const sound = readFileSync(path);
    const altered = Buffer.from(sound);
    altered[random(altered.length)] ^= 1 << random(8);
    writeFileSync(path, altered);
    await assert.rejects(readAll(folder), clearly("damaged"));
    writeFileSync(path, sound.subarray(0, random(sound.length)));
    await assert.rejects(openWeights(folder), clearly(path));
    writeFileSync(path, sound);
  }
  const source = await openWeights(folder);
  rmSync(join(folder, "group1-shard2of2.bin"));
  await assert.rejects(openWeights(folder), clearly("group1-shard2of2.bin"));
  await assert.rejects(source.read("model/c", new Float32Array(1_234_000)), clearly("group1-shard2of2.bin"));
  await assert.rejects(source.read("model/b", new Float32Array(4)), RangeError);
  await assert.rejects(source.read("model/x", new Float32Array(4)), RangeError);
});

test("what model.json must not say", async () => {
  const folder = await written();
  const path = join(folder, "model.json");
  const sound = readFileSync(path, "utf8");
  assert.equal(await hasWeights(folder), true);
  // biome-ignore lint/suspicious/noExplicitAny: the test writes whatever a hostile file could hold
  const cases: [RegExp, (json: any) => unknown][] = [
    ...[
      "../x.bin",
      "/etc/passwd",
      "a/b/c",
      "a/..",
      "./a",
      "a//b",
      "a/",
      "a/b\\c",
      "a\\b",
      "C:x",
      "..",
      "",
      "a\0",
      5,
      null,
      "x".repeat(300),
    ].map(
      // biome-ignore lint/suspicious/noExplicitAny: as above
      (name): [RegExp, (json: any) => unknown] => [
        /not the name of a file/,
        (json) => (json.weightsManifest[0].paths[0] = name),
      ],
    ),
    [/named twice/, (json) => (json.weightsManifest[0].paths[1] = json.weightsManifest[0].paths[0])],
    [/described twice/, (json) => (json.weightsManifest[0].weights[1].name = "model/a")],
    [/no name/, (json) => (json.weightsManifest[0].weights[1].name = 3)],
    [/not float32/, (json) => (json.weightsManifest[0].weights[1].dtype = "int32")],
    [
      /stored as "uint8"/,
      (json) => (json.weightsManifest[0].weights[1].quantization = { dtype: "uint8", min: 0, scale: 1 }),
    ],
    [/stored as null/, (json) => (json.weightsManifest[0].weights[1].quantization = null)],
    [
      /cut off or altered/,
      (json) => (json.weightsManifest[0].weights[0].quantization = { dtype: "float16" }),
    ],
    [/no valid shape/, (json) => (json.weightsManifest[0].weights[0].shape = [-1, 4])],
    [/no valid shape/, (json) => (json.weightsManifest[0].weights[0].shape = ["4"])],
    [/too large/, (json) => (json.weightsManifest[0].weights[0].shape = [2 ** 40, 2 ** 40])],
    [/cut off or altered/, (json) => (json.weightsManifest[0].weights[0].shape = [999, 999])],
    [/no checksum/, (json) => delete json.userDefinedMetadata.crc32["model/a"]],
    [/no checksum/, (json) => (json.userDefinedMetadata.crc32["model/a"] = -1)],
    [/not a list/, (json) => (json.userDefinedMetadata.crc32 = [])],
    [/weightsManifest/, (json) => delete json.weightsManifest],
    [/group/, (json) => (json.weightsManifest[0] = null)],
    [/group/, (json) => (json.weightsManifest[0].paths = "x")],
    [/not an object/, (json) => (json.weightsManifest[0].weights[0] = [])],
  ];
  for (const [reason, change] of cases) {
    const json = JSON.parse(sound);
    change(json);
    writeFileSync(path, JSON.stringify(json));
    await assert.rejects(openWeights(folder), (error) => {
      clearly(folder)(error);
      assert.match((error as Error).message, reason);
      return true;
    });
  }
  for (const text of ["", "null", "[]", '{"weightsManifest":', "<html>"]) {
    writeFileSync(path, text);
    await assert.rejects(openWeights(folder), clearly(path));
  }
  rmSync(path);
  await assert.rejects(openWeights(folder), clearly(path));
  assert.equal(await hasWeights(folder), false);
  mkdirSync(path);
  await assert.rejects(openWeights(folder), clearly(path));
  assert.equal(await hasWeights(folder), false);
});

test("2,000 random changes of model.json never crash the reader or give wrong numbers", async () => {
  const folder = mkdtempSync(join(scratch, "m-"));
  const small = { "model/a": [2, 3], "model/b": [6], "model/c": [4] };
  await writeWeights(folder, memorySource(0, small), { dtype: "float16" });
  const path = join(folder, "model.json");
  const sound = readFileSync(path);
  const alphabet = Buffer.from('{}[]",:0123456789.-eE\\/aflrsutn \0\xff', "latin1");
  for (let i = 0; i < 2000; i++) {
    let altered = Buffer.from(sound);
    for (let n = random(3); n >= 0; n--) {
      const at = random(altered.length);
      const byte = alphabet.subarray(random(alphabet.length)).subarray(0, 1);
      const cut = [at, at + 1, at + random(40)][random(3)];
      altered = Buffer.concat([altered.subarray(0, at), byte, altered.subarray(cut)]);
    }
    writeFileSync(path, altered);
    try {
      for (const [name, values] of await readAll(folder)) {
        if (!(name in small)) continue; // a changed name is for checkParameters to find
        assert(
          values.every((value, at) => value === valueAt(name, at)),
          altered.toString(),
        );
      }
    } catch (error) {
      clearly(folder)(error);
    }
  }
});

/** Names and contents of a folder. */
function snapshot(folder: string): Map<string, string> {
  return new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "latin1")]));
}

test("new weights replace old ones whole; files that nothing names any more go", async () => {
  const folder = await written();
  writeFileSync(join(folder, "notes.txt"), "mine");
  writeFileSync(join(folder, "model.json.4194304-0a0b0c0d.part"), "left by a process that was killed");
  await writeWeights(folder, memorySource(0.5), { dtype: "float16" });
  await assertHolds(folder, 0.5);
  assert.deepEqual(readdirSync(folder).sort(), [
    "group1-shard1of2.bin",
    "group1-shard2of2.bin",
    "model.json",
    "notes.txt",
  ]);
  const first = snapshot(folder);
  await writeWeights(folder, memorySource(0.5), { dtype: "float16" });
  assert.deepEqual(snapshot(folder), first);
});

test("an abort, a failing source, a value beyond float16, a file in the way: the old weights stay", async () => {
  const folder = await written({ dtype: "float16" });
  const before = snapshot(folder);
  const fails = async (
    source: WeightSource,
    options: WriteOptions,
    expect: (error: unknown) => boolean,
  ): Promise<void> => {
    await assert.rejects(writeWeights(folder, source, options), expect);
    assert.deepEqual(snapshot(folder), before);
    await assertHolds(folder);
  };
  for (const when of [0, 1, 5, 8]) {
    const abort = new AbortController();
    let calls = 0;
    const onProgress = (): void => {
      if (calls++ === when) abort.abort(new Error("stop"));
    };
    await fails(
      memorySource(1),
      { dtype: "float32", onProgress, signal: abort.signal },
      (error) => (error as Error).message === "stop",
    );
  }
  await fails(
    memorySource(1),
    { dtype: "float32", signal: AbortSignal.abort(new Error("stop")) },
    (error) => (error as Error).message === "stop",
  );
  const broken = memorySource(1);
  const failing: WeightSource = {
    ...broken,
    read: async (name, target) => {
      if (name === "model/c") throw new UserError("model/c is damaged");
      await broken.read(name, target);
    },
  };
  await fails(failing, { dtype: "float16" }, clearly("model/c is damaged"));
  await fails(memorySource(1e5), { dtype: "float16" }, clearly(`dtype: "float32"`));

  // The last file to be put in its place cannot be: everything goes back, model.json included.
  const companions = new Map([["hparams.json", Buffer.from("{}")]]);
  mkdirSync(join(folder, "hparams.json"));
  await assert.rejects(
    writeWeights(folder, memorySource(1), { dtype: "float16", companions }),
    clearly("hparams.json"),
  );
  rmSync(join(folder, "hparams.json"), { recursive: true });
  assert.deepEqual(snapshot(folder), before);
});

test("a folder that cannot be made, a file that cannot be opened: a clear line, nothing left", async () => {
  const file = join(scratch, "a file");
  writeFileSync(file, "");
  await assert.rejects(writeWeights(join(file, "x"), memorySource(), { dtype: "float32" }), clearly(file));
  const folder = await written();
  const before = snapshot(folder);
  const companions = new Map([["n".repeat(250), Buffer.from("x")]]); // too long a name once .part is added
  await assert.rejects(
    writeWeights(folder, memorySource(1), { dtype: "float32", companions }),
    clearly(folder),
  );
  assert.deepEqual(snapshot(folder), before);
});
