import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { crc32c, unmaskCrc } from "../../../dist/src/formats/crc.js";
import { type BundleEntry, readIndex } from "../../../dist/src/formats/tensorflow/bundle.js";
import {
  findCheckpoint,
  hasCheckpoint,
  openCheckpoint,
} from "../../../dist/src/formats/tensorflow/checkpoint.js";
import { parseHparams } from "../../../dist/src/model/hparams.js";
import { checkParameters, sizeOf } from "../../../dist/src/model/parameters.js";
import type { WeightSource } from "../../../dist/src/model/weight-source.js";
import { UserError } from "../../../dist/src/system/errors.js";
import {
  bytes,
  entry,
  header,
  indexFile,
  maskedCrc,
  number,
  sealed,
  slowCrc32c,
  varint,
} from "../../support/write-checkpoint.js";

const root = join(import.meta.dirname, "../../..");
const fixtures = join(root, "test/fixtures");
const micro = join(fixtures, "micro");
const scratch = mkdtempSync(join(tmpdir(), "gpt2-checkpoint-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

interface Expected {
  readonly info: { readonly blocks: number; readonly shards: number };
  readonly entries: Readonly<
    Record<
      string,
      {
        readonly dtype: number;
        readonly shape: number[];
        readonly shard: number;
        readonly offset: number;
        readonly size: number;
        readonly crc: number;
        readonly values?: number[];
        readonly sum?: number;
      }
    >
  >;
}
/** Written by an independent reader in Python. */
const expected = JSON.parse(readFileSync(join(fixtures, "checkpoints/expected.json"), "utf8")) as Record<
  string,
  Expected
>;

let count = 0;
/** A copy of a folder, or an empty one. */
function folder(from?: string): string {
  const path = join(scratch, `${count++}`);
  if (from) cpSync(from, path, { recursive: true });
  else cpSync(join(fixtures, "checkpoints/types/checkpoint"), join(path, "checkpoint"));
  return path;
}

async function readAll(source: WeightSource): Promise<Map<string, Float32Array>> {
  const all = new Map<string, Float32Array>();
  for (const [name, { shape }] of source.tensors) {
    const values = new Float32Array(sizeOf(shape));
    await source.read(name, values);
    all.set(name, values);
  }
  return all;
}

/** One line that names the file. */
function clearly(path: string): (error: unknown) => boolean {
  return (error) => {
    assert(error instanceof UserError, `not a UserError: ${(error as Error)?.stack}`);
    assert(!error.message.includes("\n") && error.message.includes(path), error.message);
    return true;
  };
}

test("crc32c gives the known answers of RFC 3720, and goes on from any cut and alignment", () => {
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  const data = Uint8Array.from({ length: 300 }, (_, i) => (i * i * 31) >> 3);
  for (let from = 0; from < 9; from++) {
    for (const to of [from, from + 1, 40, 131, 300]) {
      const part = data.subarray(from, to);
      const half = part.length >> 1;
      assert.equal(crc32c(part), slowCrc32c(part));
      assert.equal(crc32c(part.subarray(half), crc32c(part.subarray(0, half))), slowCrc32c(part));
    }
  }
  assert.equal(unmaskCrc(maskedCrc(data)), slowCrc32c(data));
});

for (const [name, { info, entries }] of Object.entries(expected)) {
  test(`index of ${name}: ${info.blocks} block(s), ${info.shards} data file(s), as another reader reads it`, async () => {
    const path = name === "micro" ? micro : join(fixtures, "checkpoints", name);
    const index = await readIndex(join(path, "model.ckpt.index"));
    assert.equal(index.shards, info.shards);
    assert.deepEqual([...index.entries.keys()], Object.keys(entries));
    for (const [tensor, found] of index.entries) {
      const { dtype, shape, shard, offset, size, crc } = entries[tensor];
      assert.deepEqual(found, {
        dtype,
        shape,
        shard,
        offset,
        size,
        maskedCrc: crc,
        sliced: false,
      } satisfies BundleEntry);
    }
    const source = await openCheckpoint(path);
    for (const [tensor, values] of await readAll(source)) {
      const { values: wanted, sum } = entries[tensor];
      if (wanted) assert.deepEqual([...values], wanted, tensor);
      else assert(Math.abs(values.reduce((a, b) => a + b, 0) - (sum ?? 0)) < 1e-9, tensor);
    }
  });
}

test("parameters in float32, float64, float16 are read; the optimizer's, counters and integers are left out", async () => {
  const { tensors } = await openCheckpoint(join(fixtures, "checkpoints/types"));
  const types = [...tensors].map(([name, { dtype }]) => `${name} ${dtype}`);
  assert.deepEqual(types, [
    "model/double float64",
    "model/empty float32",
    "model/h0/attn/c_attn/w float32",
    "model/h1/attn/c_attn/w float32",
    "model/h2/attn/c_attn/w float32",
    "model/half float16",
    "model/scalar float32",
  ]);
});

test("bfloat16, and a name of the optimizer under a parameter of any kind", async () => {
  const path = folder();
  const values = Buffer.from("803f20c0", "hex"); // 1, -2.5
  writeFileSync(join(path, "model.ckpt.data-00000-of-00001"), values);
  writeFileSync(
    join(path, "model.ckpt.index"),
    indexFile({
      "": header(),
      "model/b": entry({ dtype: 14, shape: [2], crc: maskedCrc(values) }),
      "model/b/Momentum": entry({ dtype: 14, shape: [2], crc: maskedCrc(values) }),
      _CHECKPOINTABLE_OBJECT_GRAPH: entry({ dtype: 7, size: 900_000 }),
    }),
  );
  const all = await readAll(await openCheckpoint(path));
  assert.deepEqual([...all], [["model/b", new Float32Array([1, -2.5])]]);
});

test("reads into shared memory, and micro is a whole model", async () => {
  const source = await openCheckpoint(micro);
  checkParameters(parseHparams(readFileSync(join(micro, "hparams.json"), "utf8"), "hparams.json"), source);
  const shared = new Float32Array(new SharedArrayBuffer(64 * 32 * 4 + 128), 128, 64 * 32);
  const plain = new Float32Array(64 * 32);
  await Promise.all([source.read("model/wpe", shared), source.read("model/wpe", plain)]);
  assert.deepEqual([...shared], [...plain]);
  await assert.rejects(source.read("model/wpe", plain.subarray(1)), RangeError);
  await assert.rejects(source.read("model/no", plain), RangeError);
});

test("a tensor beyond 4 GiB in a file of 6 GB", async (t) => {
  const path = folder();
  const offset = 5_000_000_004;
  const values = Float32Array.from({ length: 1000 }, (_, i) => i / 7);
  const stored = Buffer.from(values.buffer);
  const data = await open(join(path, "model.ckpt.data-00000-of-00001"), "w");
  try {
    await data.truncate(6_000_000_000); // sparse: takes no room where the file system knows such files
    await data.write(stored, 0, stored.length, offset);
    if ((await data.stat()).blocks * 512 > 1e9) return t.skip("this file system has no sparse files");
  } catch (error) {
    return t.skip(`no file of 6 GB here: ${(error as Error).message}`);
  } finally {
    await data.close();
  }
  const crc = maskedCrc(stored);
  writeFileSync(
    join(path, "model.ckpt.index"),
    indexFile({ "": header(), "model/wte": entry({ shape: [10, 100], offset, size: 4000, crc }) }),
  );
  const all = await readAll(await openCheckpoint(path));
  assert.deepEqual(all.get("model/wte"), values);
  rmSync(path, { recursive: true });
});

test("OpenAI's index of 124M: 148 tensors, 124,439,808 parameters", async () => {
  const path = join(root, "test/fixtures/openai-124M");
  const { entries } = await readIndex(join(path, "model.ckpt.index"));
  assert.equal(entries.size, 148);
  const sizes = [...entries.values()].map(({ shape }) => sizeOf(shape ?? []));
  assert.equal(
    sizes.reduce((a, b) => a + b, 0),
    124_439_808,
  );
  const tensors = new Map(
    [...entries].map(([name, { shape }]) => [name, { shape: shape ?? [], dtype: "float32" }]),
  );
  const none = async (): Promise<void> => undefined;
  checkParameters(parseHparams(readFileSync(join(path, "hparams.json"), "utf8"), path), {
    path,
    tensors,
    read: none,
    close: none,
  });
});

test("every byte of micro's index changed in turn: a clear line, or the same numbers", async () => {
  const path = folder(micro);
  const file = join(path, "model.ckpt.index");
  const sound = readFileSync(file);
  const wanted = await readAll(await openCheckpoint(path));
  let harmless = 0;
  for (let at = 0; at < sound.length; at++) {
    for (const flip of [1 << (at % 8), 0xff]) {
      const altered = Buffer.from(sound);
      altered[at] ^= flip;
      writeFileSync(file, altered);
      try {
        assert.deepEqual(await readAll(await openCheckpoint(path)), wanted);
        harmless++;
        assert(at >= sound.length - 48, `byte ${at} is covered by a checksum`);
      } catch (error) {
        clearly(file)(error);
      }
    }
  }
  assert(harmless <= 2 * 40, `${harmless}`); // the footer's padding
});

test("a cut index and a cut data file, at every length", async () => {
  const path = folder(micro);
  const file = join(path, "model.ckpt.index");
  const sound = readFileSync(file);
  for (let length = 0; length < sound.length; length += 7) {
    writeFileSync(file, sound.subarray(0, length));
    await assert.rejects(openCheckpoint(path), clearly(file));
  }
  writeFileSync(file, sound);
  const data = join(path, "model.ckpt.data-00000-of-00001");
  const values = readFileSync(data);
  for (const length of [0, 1, 4095, values.length - 1]) {
    writeFileSync(data, values.subarray(0, length));
    await assert.rejects(openCheckpoint(path), clearly(data));
  }
  writeFileSync(data, values);
  const source = await openCheckpoint(path);
  writeFileSync(data, values.subarray(0, 1000)); // cut after it was opened
  await assert.rejects(readAll(source), clearly(data));
  values[values.length - 9] ^= 4;
  writeFileSync(data, values);
  await assert.rejects(readAll(source), clearly(data));
  rmSync(data);
  await assert.rejects(openCheckpoint(path), clearly(data));
  rmSync(file);
  await assert.rejects(openCheckpoint(path), clearly(file));
});

test("foreign and hostile indexes with right checksums: a clear line that names the file", async () => {
  const path = folder();
  const file = join(path, "model.ckpt.index");
  writeFileSync(join(path, "model.ckpt.data-00000-of-00001"), Buffer.alloc(64));
  const snappy = (...parts: Buffer[]): Buffer => indexFile({}, sealed(Buffer.concat(parts), 1));
  const one = (fields: Parameters<typeof entry>[0]): Buffer =>
    indexFile({ "": header(), "model/wte": entry(fields) });
  const cases: [string, RegExp, Buffer][] = [
    ["a page of HTML", /cut off/, Buffer.from("<html>".repeat(100))],
    ["no header", /header/, indexFile({ "model/wte": entry({}) })],
    ["nothing at all", /header/, indexFile({})],
    ["big-endian", /big-endian/, indexFile({ "": header({ bigEndian: true }) })],
    ["a later version", /version 2/, indexFile({ "": header({ minConsumer: 2 }) })],
    ["no data files", /0 data files/, indexFile({ "": header({ shards: 0 }) })],
    ["no parameters", /no parameter/, indexFile({ "": header(), step: entry({ dtype: 9 }) })],
    ["a data file too many", /data file 1 of 1/, one({ shard: 1 })],
    ["slices", /slices/, one({ extra: bytes(7, Buffer.alloc(0)) })],
    ["a size that does not fit", /does not match its shape/, one({ shape: [2], size: 4 })],
    ["an unknown rank", /unknown shape/, one({ extra: bytes(2, number(3, 1)) })],
    ["a negative offset", /too large/, one({ offset: -1 })],
    ["an offset beyond 2^53", /too large/, one({ offset: 2n ** 60n })],
    ["an offset and size beyond 2^53", /too large/, one({ offset: 2n ** 53n - 1n })],
    ["a dimension beyond 2^53", /too large/, one({ shape: [2n ** 62n] })],
    ["dimensions whose product overflows", /does not match/, one({ shape: [2 ** 40, 2 ** 40], size: 0 })],
    ["an unknown wire type", /wire type/, one({ extra: Buffer.from([0x0f]) })],
    ["a field that is cut off", /in the middle/, one({ extra: Buffer.from([0x3a, 0x70]) })],
    ["an unknown compression", /compression 9/, indexFile({}, sealed(Buffer.alloc(8), 9))],
    [
      "snappy that claims 2 GB",
      /it has 20 bytes where it says 2147483647/,
      snappy(varint(2 ** 31 - 1), Buffer.alloc(40)),
    ],
    ["snappy that claims 16 TB", /cannot be read/, snappy(varint(2 ** 44), Buffer.alloc(40))],
    [
      "snappy with less than it claims",
      /it has 1 bytes where it says 50/,
      snappy(varint(50), Buffer.from([0, 0])),
    ],
    [
      "snappy that copies from before its start",
      /cannot be read/,
      snappy(varint(50), Buffer.from([0xfd, 0xff])),
    ],
  ];
  for (const [what, reason, content] of cases) {
    writeFileSync(file, content);
    await assert.rejects(openCheckpoint(path), (error) => {
      clearly(file)(error);
      assert.match((error as Error).message, reason, what);
      return true;
    });
  }
});

test("entries changed at random under right checksums never crash the reader", async () => {
  const path = folder();
  const file = join(path, "model.ckpt.index");
  const stored = Buffer.alloc(64);
  writeFileSync(join(path, "model.ckpt.data-00000-of-00001"), stored);
  const sound = entry({ shape: [2, 2], size: 16, crc: maskedCrc(stored.subarray(0, 16)) });
  const all = new Map<string, Float32Array>();
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  for (let i = 0; i < 800; i++) {
    const parts = [Buffer.from(header()), Buffer.from(sound)];
    for (let n = random(3); n >= 0; n--) {
      const part = parts[random(2)];
      part[random(part.length)] = random(256);
    }
    writeFileSync(file, indexFile({ "": parts[0], "model/wte": parts[1] }));
    try {
      for (const [name, values] of await readAll(await openCheckpoint(path))) all.set(name, values);
    } catch (error) {
      clearly(path)(error);
    }
  }
  assert(all.get("model/wte")?.every((value) => value === 0));
});

test("which checkpoint a folder holds", async () => {
  const path = folder(micro);
  const state = join(path, "checkpoint");
  const say = (text: string): void =>
    writeFileSync(state, `model_checkpoint_path: "${text}"\nall_model_checkpoint_paths: "x"\n`);
  for (const name of [
    "model.ckpt",
    "/home/someone/run1/model.ckpt",
    "../elsewhere/model.ckpt",
    "C:\\\\gpt\\\\model.ckpt",
    "./model.ckpt",
    "mod\\145l\\x2eckpt",
  ]) {
    say(name);
    assert.equal(await findCheckpoint(path), join(path, "model.ckpt"), name);
  }
  say("step/model-10");
  assert.equal(await findCheckpoint(path), join(path, "step/model-10"));
  for (const name of ["", "..", "/", "a\\000b", "a\\nb", "../.."]) {
    say(name);
    await assert.rejects(openCheckpoint(path), clearly(state));
  }
  for (const text of ["", "<html>not found</html>", "model_checkpoint_path: model.ckpt"]) {
    writeFileSync(state, text);
    await assert.rejects(openCheckpoint(path), clearly(state));
  }
  rmSync(state);
  assert.equal(await hasCheckpoint(path), true);
  assert.equal((await openCheckpoint(path)).tensors.size, 40);
  writeFileSync(join(path, "other.index"), "");
  await assert.rejects(openCheckpoint(path), clearly(path));
  const empty = mkdtempSync(join(scratch, "empty-"));
  await assert.rejects(openCheckpoint(empty), clearly(empty));
  assert.equal(await hasCheckpoint(empty), false);
  assert.equal(await hasCheckpoint(join(empty, "no")), false);
  await assert.rejects(openCheckpoint(join(empty, "no")), clearly(join(empty, "no")));
});
