import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { kernelSets, type Native } from "../../../../dist/src/engines/cpu/runtime/native.js";
import { openAddon } from "../../../../dist/src/system/addon.js";
import { PACKAGE_ROOT } from "../../../../dist/src/system/package.js";

const platform = `${process.platform}-${process.arch}`;
const prebuilds = join(PACKAGE_ROOT, "prebuilds");
const absent = existsSync(join(prebuilds, platform)) ? false : `no native kernels for ${platform}`;

describe("the addon's file", { skip: absent }, () => {
  const folder = mkdtempSync(join(tmpdir(), "gpt2-native-"));
  after(() => rmSync(folder, { recursive: true }));
  const fresh = (): string => {
    cpSync(prebuilds, folder, { recursive: true, force: true });
    return join(folder, platform, "gpt2.node");
  };

  test("gives the sets of kernels that this processor runs", () => {
    for (const { description } of kernelSets(openAddon(prebuilds, platform))) {
      assert.match(description, /^(avx2|avx512)(\+vnni)?$|^neon$/);
    }
  });

  test("is not loaded for a platform without one", () => {
    assert.throws(() => openAddon(prebuilds, "plan9-mips"), /no native kernels for plan9-mips/);
  });

  test("is not loaded when it is missing", () => {
    rmSync(fresh());
    assert.throws(() => openAddon(folder, platform), /ENOENT.*gpt2\.node/);
  });

  test("is not loaded when it has been cut, or is another one", () => {
    truncateSync(fresh(), 20000);
    assert.throws(() => openAddon(folder, platform), /belongs to another version/);
    writeFileSync(fresh(), "a foreign file");
    assert.throws(() => openAddon(folder, platform), /belongs to another version/);
  });
});

describe("the border", { skip: absent }, () => {
  const CONTROL = 2048;
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 4, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const words = new Uint32Array(memory.buffer);
  words[CONTROL / 4 + 3] = 1; // threads
  words[CONTROL / 4 + 10] = 1; // pages
  /** A record at a place of its own. */
  const record = (at: number, ...values: number[]): number => {
    words.set(values, at / 4);
    return at;
  };
  const linear = record(4096, 4, 8, 8192, 0, 0, 0, 0);

  const sets: Native[] = absent ? [] : kernelSets(openAddon(prebuilds, platform));
  for (const native of sets) {
    const kernels = native.kernels(bytes, CONTROL, 0);
    const refused = (name: string, args: number[], what: RegExp): void =>
      assert.throws(() => kernels[name](...args), { name: "RangeError", message: what });

    test(`${native.description}: a product within the memory is done`, () => {
      new Float32Array(memory.buffer, 8192, 32).fill(2);
      new Float32Array(memory.buffer, 16384, 4).fill(3);
      words[(CONTROL + 64) / 4] = 0;
      kernels.linear_float32(linear, 1, 16384, 4, 20480, 8, 0);
      assert.deepEqual([...new Float32Array(memory.buffer, 20480, 9)], [24, 24, 24, 24, 24, 24, 24, 24, 0]);
    });

    test(`${native.description}: what lies outside the memory is refused`, () => {
      const rows = [1, 16384, 4, 20480, 8, 0];
      refused("linear_float32", [65536, ...rows], /linear_float32: no matrix there/);
      refused("linear_float32", [4098, ...rows], /no matrix there/);
      refused("linear_float32", [0, ...rows], /no matrix there/);
      refused("linear_float32", [linear, 1, 65528, 4, 20480, 8, 0], /x lies outside/);
      refused("linear_float32", [linear, 1, -4, 4, 20480, 8, 0], /x lies outside/);
      refused("linear_float32", [linear, 1, 16384, 4, 65532, 8, 0], /y lies outside/);
      refused("linear_float32", [linear, 3, 16384, 4, 20480, 2 ** 31, 0], /y lies outside/);
      refused("linear_float32", [linear, 1, 16384, 4, 20480, 8, 7], /no such mode/);
      refused("linear_float16", [linear, ...rows], /another type/);
      refused("linear_int8", [linear, ...rows, 0], /another type/);
      refused("linear_float32", [record(4160, 1 << 16, 1 << 16, 8192, 0, 0, 0, 0), ...rows], /outside/);
      refused("linear_float32", [record(4160, 4, 7, 8192, 0, 0, 0, 0), ...rows], /no matrix there/);
      refused("linear_float32", [record(4160, 4, 8, 65472, 0, 0, 0, 0), ...rows], /matrix lies outside/);
      refused("linear_float32", [record(4160, 4, 8, 8192, 65532, 0, 0, 0), ...rows], /bias lies outside/);
      refused("linear_float32", [linear, 1], /too few arguments/);
    });

    test(`${native.description}: ids, positions and pages are looked at`, () => {
      const table = record(5120, 65000);
      const list = record(5184, 9);
      const model = record(
        ...[4224, 4, 1, 1, 5440, linear, 8192, 0, 0, 2, 4, 12, 16, 2048],
        ...[24576, 24576, 28672, 32768, 0, 0, 0, 40960, 1024],
        ...[1, list, 5248, record(5252, table), 0, 0, 0, 0, 0, 0],
      );
      refused("embed", [model], /an id beyond the vocabulary/);
      refused("remember", [model, 0], /a page lies outside/);
      refused("remember", [model, 1], /no such layer/);
      refused("attention", [model, 0, record(5312, 0, 1, 0, table, 0), 1], /a page lies outside/);
      refused("attention", [model, 0, record(5312, 0, 5, 0, table, 0), 1], /no block there/);
      refused("attention", [model, 0, 65528, 1], /blocks lie outside/);
    });

    test(`${native.description}: threads are looked at`, () => {
      words[CONTROL / 4 + 3] = 5000;
      refused("linear_float32", [linear, 1, 16384, 4, 20480, 8, 0], /no such number of threads/);
      words[CONTROL / 4 + 3] = 1;
      assert.throws(() => native.kernels(bytes, 65532, 0), RangeError);
      assert.throws(() => native.kernels(new Uint8Array(bytes.buffer, 8), CONTROL, 0), RangeError);
      assert.throws(() => native.kernels([] as unknown as Uint8Array, CONTROL, 0), RangeError);
    });
  }
});
