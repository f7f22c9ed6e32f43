/** Every native kernel beside WebAssembly's, over odd sizes and odd values: the same bytes in all of the memory. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Mode } from "../../../../dist/assembly/abi.js";
import { kernelSets } from "../../../../dist/src/engines/cpu/runtime/native.js";
import { openAddon } from "../../../../dist/src/system/addon.js";
import { PACKAGE_ROOT } from "../../../../dist/src/system/package.js";
import { Inputs, type Kernels, KernelWorld, wasmKernels } from "../../../support/kernel-world.js";

const platform = `${process.platform}-${process.arch}`;
const prebuilds = join(PACKAGE_ROOT, "prebuilds");
const absent = existsSync(join(prebuilds, platform)) ? false : `no native kernels for ${platform}`;
const sets = absent ? [] : kernelSets(openAddon(prebuilds, platform));
const known = process.arch === "arm64" ? ["neon"] : ["avx512+vnni", "avx512", "avx2+vnni", "avx2"];

const PAGES = 48;
const up = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** WebAssembly's world, then one for each set, of one or more threads. */
function worldsOf(program: string, threads: number, pages = PAGES): KernelWorld[] {
  return [
    new KernelWorld("wasm", pages, threads, (memory, thread) => wasmKernels(program, memory, thread)),
    ...sets.map(
      ({ description, kernels }) =>
        new KernelWorld(
          description,
          pages,
          threads,
          (memory, thread) => kernels(new Uint8Array(memory.buffer), 2048, thread) as Kernels,
        ),
    ),
  ];
}

/** The same calls in each world, and the same bytes afterwards. */
function same(
  worlds: readonly KernelWorld[],
  inputs: Inputs,
  calls: (run: (kernel: string, ...args: number[]) => void, world: KernelWorld) => void,
  what: () => string,
): void {
  worlds.forEach((world, i) => {
    inputs.into(world);
    calls((kernel, ...args) => world.run(kernel, args, i % world.threads), world);
    if (i > 0) inputs.compare(worlds[0], world, what);
  });
}

/** The most that any of the worlds asks for. */
const most = (worlds: readonly KernelWorld[], name: string, ...args: number[]): number =>
  Math.max(...worlds.map(({ kernels }) => kernels[0][name](...args) as number));

describe("native kernels", { skip: absent }, () => {
  for (const name of known) {
    const here = sets.some(({ description }) => description === name);
    test(
      `${name} kernels are among those compared`,
      {
        skip: here ? false : `this processor does not run ${name}`,
      },
      () => assert.ok(here),
    );
  }

  for (const threads of [1, 3]) {
    test(`products in float32, ${threads} threads`, () => {
      const worlds = worldsOf("gpt2-kernels", threads);
      for (let n_in = 1; n_in <= 70; n_in++)
        for (const more of [0, 1, 2]) {
          const inputs = new Inputs(PAGES, n_in * 3 + more);
          const n_out = up(inputs.whole(1, 70), 8);
          const rows = more === 2 ? inputs.whole(21, 140) : inputs.whole(1, 20);
          const [xs, ys] = [n_in + inputs.whole(0, 3), n_out + inputs.whole(0, 9)];
          const odd = n_in % 5 === 0 ? 0.01 : 0;
          const w = inputs.values(n_in * n_out, 1, odd);
          const l = inputs.record(n_in, n_out, w, more ? inputs.values(n_out) : 0, 0, 0, 0);
          const [x, y] = [inputs.values(rows * xs, 2, odd), inputs.values(rows * ys)];
          const mode = inputs.whole(0, Mode.QUICK_GELU);
          const what = () => `n_in ${n_in}, n_out ${n_out}, rows ${rows}, mode ${mode}`;
          same(worlds, inputs, (run) => run("linear_float32", l, rows, x, xs, y, ys, mode), what);
        }
    });

    test(`LayerNorm, rounded rows and products in int8, ${threads} threads`, () => {
      const worlds = worldsOf("gpt2-kernels", threads);
      for (let n_in = 1; n_in <= 70; n_in++)
        for (const more of [0, 1, 2]) {
          const inputs = new Inputs(PAGES, n_in * 5 + more);
          const n_out = up(inputs.whole(1, 70), 8);
          const rows = more === 2 ? inputs.whole(21, 140) : inputs.whole(1, 20);
          const pairs = up(n_in, 2) / 2;
          const [xs, as, ys] = [n_in + inputs.whole(0, 3), up(n_in, 8), n_out + inputs.whole(0, 9)];
          const w = inputs.raw(n_out * pairs * 2);
          const b = more ? inputs.values(n_out) : 0;
          const l = inputs.record(n_in, n_out, w, b, inputs.values(n_out), 0, 2);
          inputs.setFloat(l + 20, inputs.whole(1, 32767));
          const norm = inputs.record(inputs.values(n_in), inputs.values(n_in), 0);
          inputs.setFloat(norm + 8, more ? 1e-5 : 0.03);
          const x = inputs.values(rows * xs, 2, n_in % 5 === 0 ? 0.01 : 0);
          const [a, y] = [inputs.values(rows * as), inputs.values(rows * ys)];
          const [q, scales] = [inputs.room(rows * pairs * 4), inputs.room(rows * 4)];
          const own = inputs.scratch(up(n_in, 2) * 16 + 64);
          const mode = inputs.whole(0, Mode.QUICK_GELU);
          const normed = inputs.whole(0, 1) * norm;
          const what = () => `n_in ${n_in}, n_out ${n_out}, rows ${rows}, mode ${mode}, norm ${normed > 0}`;
          const calls = (run: (kernel: string, ...args: number[]) => void): void => {
            run("prepare", l, normed, rows, x, xs, a, as, q, scales, 0);
            run("linear_int8", l, rows, q, scales, y, ys, mode, own);
          };
          same(worlds, inputs, calls, what);
        }
    });

    test(`attention over the cache, ${threads} threads`, () => {
      const worlds = worldsOf("gpt2-kernels", threads, 80);
      for (let n_state = 1; n_state <= 80; n_state++) {
        const inputs = new Inputs(80, n_state);
        const [n_head, rows, layers] = [inputs.whole(1, 3), inputs.whole(1, 70), 2];
        const n_embd = n_state * n_head;
        const [qs, es] = [up(3 * n_embd, 8), up(n_embd, 8)];
        const layer = n_head * 32 * (n_state + up(n_state, 8)) * 4;
        const pages = Array.from({ length: 3 }, () => inputs.room(layer * layers));
        const table = inputs.record(...pages);
        const qkv = inputs.values(rows * qs, 3, n_state % 5 === 0 ? 0.001 : 0);
        const a = inputs.values(rows * es);
        const positions = inputs.record(...Array.from({ length: rows }, (_, i) => i));
        const tables = inputs.record(...Array.from({ length: rows }, () => table));
        const blocks: number[][] = [];
        for (let at = 0; at < rows; ) {
          const count = Math.min(rows - at, inputs.whole(1, 6), 4);
          blocks.push([at, count, at, table, at]);
          at += count;
        }
        const block = inputs.record(...blocks.flat());
        const bytes = most(worlds, "inference_own_bytes", 96, n_embd);
        const own = inputs.scratch(bytes * threads);
        const layerRecords = inputs.record(...Array.from({ length: layers * 7 }, () => 0));
        inputs.setFloat(layerRecords + 4 * 13, 1 / n_state);
        const m = inputs.record(
          ...[n_embd, n_head, layers, layerRecords, 0, 0, 0, 0, 0, es, qs, 0, layer],
          ...[0, 0, a, qkv, 0, 0, 0, own, bytes],
          ...[rows, 0, positions, tables, block, blocks.length, 0, 0, 0, 0],
        );
        const calls = (run: (kernel: string, ...args: number[]) => void): void => {
          run("remember", m, 1);
          run("attention", m, 1, block, blocks.length);
        };
        same(worlds, inputs, calls, () => `n_state ${n_state}, heads ${n_head}, rows ${rows}`);
      }
    });

    test(`packing, rounding and the embedding, ${threads} threads`, () => {
      const worlds = worldsOf("gpt2-kernels", threads);
      for (let n_in = 1; n_in <= 70; n_in++) {
        const inputs = new Inputs(PAGES, n_in);
        const n_out = inputs.whole(1, 70);
        const outputs = up(n_out, 8);
        const from = inputs.values(n_in * n_out, 1);
        const bytes = most(worlds, "inference_own_bytes", 32, n_in);
        const own = inputs.scratch(bytes * threads);
        const pack = (to: number, scale = 0): number =>
          inputs.record(from, to, scale, n_in, n_out, 1, own, bytes);
        const int8 = (): number => pack(inputs.room(outputs * up(n_in, 2)), inputs.room(outputs * 4));
        const kinds: [string, number][] = [
          ["pack_linear", pack(inputs.room(n_in * outputs * 4))],
          ["pack_rows", pack(inputs.values(n_in * outputs))],
          ["quantize_linear", int8()],
          ["quantize_rows", int8()],
        ];
        const calls = (run: (kernel: string, ...args: number[]) => void): void => {
          for (const [kind, record] of kinds) run(kind, record);
        };
        same(worlds, inputs, calls, () => `n_in ${n_in}, n_out ${n_out}`);
        for (const type of [0, 2]) embedSame(worlds, n_in, outputs, type);
      }
    });

    test(`training's products, ${threads} threads`, () => {
      const worlds = worldsOf("train-kernels", threads, 500);
      for (let round = 0; round < 120; round++) {
        const inputs = new Inputs(500, round);
        const large = round % 30 === 0;
        const [m, n] = [inputs.whole(1, large ? 300 : 70), inputs.whole(1, large ? 300 : 70)];
        const k = inputs.whole(1, large ? 1700 : 70);
        const rows = large && round % 60 === 0 ? 1600 : m;
        const odd = round % 5 === 0 ? 0.002 : 0;
        const [a, b] = [inputs.values(rows * k, 1, odd), inputs.values(k * n, 1, odd)];
        const c_row = n + inputs.whole(0, 5);
        const c = inputs.values(rows * c_row);
        const longest = Math.max(rows, n, k);
        const shared = inputs.scratch(most(worlds, "training_shared_bytes", longest));
        const bytes = most(worlds, "training_own_bytes", longest, 1, 8);
        const own = inputs.scratch(bytes * threads);
        const bias = inputs.whole(0, 1) * inputs.values(n);
        const [a_row, a_k] = inputs.whole(0, 1) ? [k, 1] : [1, rows];
        const [b_k, b_column] = inputs.whole(0, 1) ? [n, 1] : [1, k];
        const add = inputs.whole(0, 1);
        const p = inputs.record(
          ...[rows, n, k, a, a_row, a_k, b, b_k, b_column, c, c_row, bias, add, shared, own, bytes],
        );
        const calls = (run: (kernel: string, ...args: number[]) => void, world: KernelWorld): void => {
          const blocks = world.kernels[0].matmul_blocks(p) as number;
          for (let i = 0; i < blocks; i++) {
            run("matmul_pack", p, i);
            run("matmul_block", p, i);
          }
        };
        same(
          worlds,
          inputs,
          calls,
          () => `${rows} x ${k} x ${n}, add ${add}, rows of a ${a_row}, of b ${b_k}`,
        );
      }
    });

    test(`training's attention, forward and back, ${threads} threads`, () => {
      const worlds = worldsOf("train-kernels", threads, 120);
      for (let n_state = 1; n_state <= 80; n_state += 3) {
        const inputs = new Inputs(120, n_state);
        const [n, n_head] = [inputs.whole(1, 2), inputs.whole(1, 2)];
        const t = n_state % 4 === 1 ? inputs.whole(97, 250) : inputs.whole(1, 40);
        const n_embd = n_state * n_head;
        const rows = n * t;
        const [qkv, a] = [inputs.values(rows * 3 * n_embd, 2), inputs.values(rows * n_embd)];
        const [da, dqkv] = [inputs.values(rows * n_embd), inputs.values(rows * 3 * n_embd)];
        const moments = inputs.room(rows * n_head * 8);
        const bytes = most(worlds, "training_own_bytes", 1, t, n_state);
        const own = inputs.scratch(bytes * threads);
        const p = inputs.record(n, t, n_head, n_embd, qkv, a, moments, da, dqkv, own, bytes, 0);
        inputs.setFloat(p + 44, 0.7 / n_state);
        const calls = (run: (kernel: string, ...args: number[]) => void): void => {
          run("attention_forward", p);
          run("attention_backward", p);
        };
        same(worlds, inputs, calls, () => `n_state ${n_state}, heads ${n_head}, ${n} of ${t}`);
      }
    });

    test(`training's rows and values, ${threads} threads`, () => {
      const worlds = worldsOf("train-kernels", threads);
      for (let n = 1; n <= 140; n++) {
        const inputs = new Inputs(PAGES, n);
        const rows = inputs.whole(1, 40);
        const odd = n % 5 === 0 ? 0.01 : 0;
        const [x, y, dx] = [0, 1, 2].map(() => inputs.values(rows * n, 2, odd));
        const [g, b, dg, db] = [0, 1, 2, 3].map(() => inputs.values(n));
        const forward = inputs.record(rows, n, g, b, x, inputs.values(rows * n), 0, 0, 0, 0, 0);
        const back = inputs.record(rows, n, g, 0, x, y, dx, dg, db, inputs.room(rows * 8), 0);
        for (const norm of [forward, back]) inputs.setFloat(norm + 40, n % 2 ? 1e-5 : 0.03);
        const row = up(n, 8);
        const logits = inputs.scratch(rows * row * 4);
        const targets = inputs.record(...Array.from({ length: rows }, () => inputs.whole(0, n - 1)));
        const loss = inputs.record(rows, n, row, logits, targets, inputs.room(rows * 8), 0);
        inputs.setFloat(loss + 24, inputs.whole(0, 1) / rows);
        const kept = inputs.room(rows * row * 4);
        const source = inputs.values(rows * row, 20, odd);
        const count = inputs.whole(1, 9000);
        // Zeros behind the values: their results are themselves.
        const some = (scale: number): number => {
          const at = inputs.values(count, scale, odd);
          inputs.room(64);
          return at;
        };
        const activations = [Mode.GELU_NEW, Mode.GELU, Mode.RELU, Mode.SILU, Mode.QUICK_GELU].map(
          (activation) => inputs.record(count, 1, some(5), some(1), some(1), 0, activation),
        );
        const step = inputs.record(count, some(1), some(1), some(1), inputs.room(count * 4 + 64), 0, 0, 0);
        for (const [i, value] of [0.25, 1e-3, 1.7].entries()) inputs.setFloat(step + 20 + 4 * i, value);
        const calls = (run: (kernel: string, ...args: number[]) => void, world: KernelWorld): void => {
          run("layernorm_forward", forward);
          run("layernorm_backward_rows", back);
          run("layernorm_backward_columns", back);
          world.floats.copyWithin(logits / 4, source / 4, source / 4 + rows * row);
          run("crossentropy", loss);
          // What lies behind a row is nobody's: only the rows themselves are compared.
          for (let r = 0; r < rows; r++)
            world.floats.copyWithin(kept / 4 + r * row, logits / 4 + r * row, logits / 4 + r * row + n);
          for (const values of activations) {
            run("activation_forward", values);
            run("activation_backward", values);
          }
          run("adam", step);
        };
        same(worlds, inputs, calls, () => `n ${n}, rows ${rows}, ${count} values`);
      }
    });
  }
});

/** x = wte[id] + wpe[position] in a type. */
function embedSame(worlds: readonly KernelWorld[], n: number, n_vocab: number, type: number): void {
  const inputs = new Inputs(PAGES, n + 1000 * type);
  const rows = inputs.whole(1, 20);
  const w = type === 2 ? inputs.raw(n_vocab * up(n, 2)) : inputs.values(n_vocab * n);
  const wte = inputs.record(n, n_vocab, w, 0, type === 2 ? inputs.values(n_vocab) : 0, 0, type);
  const list = (last: number): number =>
    inputs.record(...Array.from({ length: rows }, () => inputs.whole(0, last)));
  const [ids, positions] = [list(n_vocab - 1), list(9)];
  const [wpe, x, es] = [inputs.values(10 * n), inputs.values(rows * up(n, 8)), up(n, 8)];
  const m = inputs.record(
    ...[n, 1, 1, 0, wte, wpe, 0, 0, 0, es, 0, 0, 0, x, 0, 0, 0, 0, 0, 0, 0, 0],
    ...[rows, ids, positions, 0, 0, 0, 0, 0, 0, 0],
  );
  same(
    worlds,
    inputs,
    (run) => run("embed", m),
    () => `embed ${n} of type ${type}, rows ${rows}`,
  );
}
