/** Each program in WGSL by itself, against float64 and against the tfjs engine's layers. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Order, ordered, orderOf, placeOf } from "../../../dist/src/engines/webgpu/order.js";
import { attentionShader } from "../../../dist/src/engines/webgpu/shaders/attention.js";
import { embedShader } from "../../../dist/src/engines/webgpu/shaders/embed.js";
import {
  BINS,
  LARGEST_ROOM,
  LARGEST_WORDS,
  largestShader,
  readLargest,
} from "../../../dist/src/engines/webgpu/shaders/largest.js";
import { type LinearKind, linearShader } from "../../../dist/src/engines/webgpu/shaders/linear.js";
import { packShader } from "../../../dist/src/engines/webgpu/shaders/pack.js";
import { PAGE, PANEL, PASS_LARGEST, type Storage } from "../../../dist/src/engines/webgpu/shaders/wgsl.js";
import type { Activation } from "../../../dist/src/model/hparams.js";
import { difference } from "../../support/conformance.js";
import {
  aboutPass,
  cachePlace,
  inPanels,
  KernelRun,
  type PassRow,
  type Words,
} from "../../support/kernel-run.js";
import { tfjsAttention, tfjsProduct } from "../../support/tfjs-reference.js";
import { ACTIVATION, generator } from "../../support/wasm-reference.js";
import { NO_GPU } from "../../support/webgpu.js";

const TOLERANCE = 5e-6;
const STORAGES: readonly Storage[] = ["float32", "float16"];
const random = generator(11);
/** Numbers in [-size, size] that float16 holds exactly for a size of at most 2. */
const numbers = (n: number, size = 1): Float32Array =>
  Float32Array.from({ length: n }, () => (Math.round(random() * 512) / 512) * size);
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const dot = (a: readonly number[], b: (i: number) => number): number =>
  a.reduce((sum, value, i) => sum + value * b(i), 0);
/** Rows of n numbers, each in its order. */
const orderedRows = (rows: Float32Array, order: Order): Float32Array => {
  const n_rows = rows.length / order.n;
  const result = new Float32Array(n_rows * order.size);
  for (const r of range(n_rows))
    result.set(ordered(rows.subarray(r * order.n, (r + 1) * order.n), order), r * order.size);
  return result;
};
/** The other way round. */
const plainRows = (rows: Float32Array, order: Order): number[] =>
  range(rows.length / order.size).flatMap((r) =>
    range(order.n).map((k) => rows[r * order.size + placeOf(k, order)]),
  );
const join = (...parts: Float32Array[]): Float32Array =>
  Float32Array.from(parts.flatMap((part) => [...part]));
const near = (actual: ArrayLike<number>, expected: readonly number[], what: string): void => {
  const found = difference(actual, expected);
  assert.ok(found < TOLERANCE, `${what}: ${found}`);
};

describe("WGSL programs", { skip: NO_GPU ?? false }, () => {
  let gpu: KernelRun;
  before(async () => {
    gpu = await KernelRun.open();
  });
  after(() => gpu?.close());

  for (const storage of STORAGES) {
    for (const isTransposed of [false, true]) {
      test(`pack, ${storage}${isTransposed ? ", transposed" : ""}: every weight is in its place`, async () => {
        const order = orderOf(35, 8);
        const [n_out, first, columns] = [45, 16, 21];
        const w = numbers(order.n * n_out);
        const rows = isTransposed ? w.map((_, i) => w[(i % order.n) * n_out + Math.floor(i / order.n)]) : w;
        const expected = inPanels(w, { order, n_out, first, columns }, storage);
        let packed: Words = expected.map(() => 0);
        // In two pieces: of the inputs or, where it is transposed, of the panels.
        const [start, end] = isTransposed ? [first, first + columns] : [0, order.n];
        const half = isTransposed ? first + PANEL : 13;
        for (const [from, to] of [
          [start, half],
          [half, end],
        ]) {
          const width = isTransposed ? order.n : n_out;
          const about = Uint32Array.of(
            from,
            to - from,
            first,
            columns,
            isTransposed ? (from - first) / PANEL : 0,
          );
          const [, , result] = await gpu.run(
            packShader({ storage, order, n_out, isTransposed }),
            [about, rows.subarray(from * width, to * width), packed],
            1,
            Math.ceil((isTransposed ? to - from : columns) / PANEL),
          );
          packed = storage === "float32" ? result : new Uint32Array(result.buffer);
        }
        assert.deepEqual(packed, expected);
      });
    }

    test(`embedding, ${storage}: rows of other slices stay as they are`, async () => {
      const order = orderOf(35, 8);
      const [n_vocab, n_ctx, first, columns] = [61, 9, 16, 29];
      const wte = numbers(order.n * n_vocab); // [E, V]
      const wpe = numbers(n_ctx * order.n);
      const rows = [15, 16, 44, 45, 30, 0, 60].map((id, i) => ({ id, position: n_ctx - 1 - i }));
      const x = numbers(rows.length * order.n);
      const [, , , result] = await gpu.run(
        embedShader({ storage, order, first, columns, threads: 16 }),
        [
          aboutPass(rows),
          inPanels(wte, { order, n_out: n_vocab, first, columns }, storage),
          orderedRows(wpe, order),
          orderedRows(x, order),
        ],
        rows.length,
        1,
      );
      const expected = rows.flatMap(({ id, position }, r) =>
        range(order.n).map((k) =>
          id < first || id >= first + columns
            ? x[r * order.n + k]
            : Math.fround(wte[k * n_vocab + id] + wpe[position * order.n + k]),
        ),
      );
      assert.deepEqual(plainRows(result, order), expected);
    });
  }

  /** Sizes of a product: inputs, threads, rows of a workgroup, shared memory. */
  interface Size {
    readonly n: number;
    readonly most: number;
    readonly together: number;
    readonly shared: number;
  }
  const SIZES: readonly Size[] = [
    { n: 35, most: 8, together: 1, shared: 16384 }, // a thread's weights fit in registers
    { n: 300, most: 64, together: 1, shared: 16384 },
    { n: 300, most: 8, together: 2, shared: 16384 },
    { n: 300, most: 64, together: 8, shared: 3000 }, // the rows' sums do not
  ];
  const EPSILON = 1e-5;

  /** A product over 11 rows, by the GPU, in float64 and by tfjs. */
  async function product(
    kind: LinearKind,
    size: Size,
    storage: Storage,
    activation_function: Activation = "gelu_new",
    poison = (_x: Float32Array, _w: Float32Array): void => {},
  ): Promise<{
    readonly actual: readonly number[];
    readonly expected: readonly number[];
    readonly reference: readonly number[];
    readonly width: number;
  }> {
    const order = orderOf(size.n, size.most);
    const n_head = 5;
    const d = size.n / n_head;
    const n_out = kind === "attention-in" ? 3 * size.n : 53;
    // A slice that begins and ends in the middle of the matrix.
    const [first, columns] = kind === "attention-in" ? [0, n_out] : [16, 29];
    const to = orderOf(n_out, 8);
    const x = numbers(11 * size.n);
    const w = numbers(size.n * n_out, 0.125);
    const [g, b, bias] = [numbers(size.n), numbers(size.n), numbers(n_out)];
    poison(x, w);
    const wanted = kind === "logits" ? [10, 0, 3, 4, 7] : [];
    const rows: PassRow[] = range(11).map((r) => ({ position: 60 + r, pages: [4, 0, 2] }));
    const before = numbers(11 * n_out);
    const isNormed = kind !== "residual";
    const output = kind === "attention-in" ? new Float32Array(11 * size.n) : orderedRows(before, to);
    const plainOutput = kind === "logits" ? new Float32Array(wanted.length * n_out) : output;
    const cache = new Float32Array(5 * 2 * n_head * PAGE * Math.ceil(d / 4) * 4);
    const count = kind === "logits" ? wanted.length : 11;
    const found = await gpu.run(
      linearShader({
        kind,
        storage,
        order,
        columns,
        first,
        n_out,
        rows: size.together,
        to,
        n_head,
        activation_function,
        layer_norm_epsilon: EPSILON,
        shared: size.shared,
      }),
      [
        aboutPass(rows, wanted),
        inPanels(w, { order, n_out, first, columns }, storage),
        isNormed ? join(ordered(g, order), ordered(b, order), bias) : bias,
        orderedRows(x, order),
        plainOutput,
        ...(kind === "attention-in" ? [cache] : []),
      ],
      Math.ceil(columns / PANEL),
      Math.ceil(count / size.together),
    );

    const expected = range(count).map((r) => {
      const row = [...x.subarray((wanted[r] ?? r) * size.n).subarray(0, size.n)];
      const mean = row.reduce((sum, v) => sum + v, 0) / size.n;
      const scale = 1 / Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / size.n + EPSILON);
      const input = isNormed ? row.map((v, k) => (v - mean) * scale * g[k] + b[k]) : row;
      return range(columns).map((c) => {
        const sum = dot(input, (k) => w[k * n_out + first + c]);
        if (kind === "logits") return sum;
        if (kind === "attention-in") return sum + bias[c];
        if (kind === "hidden") return ACTIVATION[activation_function](sum + bias[first + c]);
        return sum + bias[first + c] + before[r * n_out + first + c];
      });
    });
    const actual = (r: number, c: number): number => {
      if (kind === "logits") return found[4][r * n_out + first + c];
      if (kind !== "attention-in") return found[4][r * to.size + placeOf(first + c, to)];
      if (c < size.n) return found[4][r * size.n + c];
      const place = c % size.n;
      const which = c < 2 * size.n ? 0 : 1;
      return found[5][cachePlace({ n_head, d }, rows[r], which, Math.floor(place / d), place % d)];
    };
    const about = { kind, n: size.n, n_out, x, w, g, b, bias, before };
    const all = await tfjsProduct({ ...about, activation_function, layer_norm_epsilon: EPSILON });
    return {
      actual: range(count).flatMap((r) => range(columns).map((c) => actual(r, c))),
      expected: expected.flat(),
      reference: range(count).flatMap((r) =>
        range(columns).map((c) => all[(wanted[r] ?? r) * n_out + first + c]),
      ),
      width: columns,
    };
  }

  for (const kind of ["attention-in", "hidden", "residual", "logits"] as const) {
    test(`product, "${kind}": float64's and tfjs's values for every size and storage`, async () => {
      for (const storage of STORAGES) {
        for (const size of SIZES) {
          const { actual, expected, reference } = await product(kind, size, storage);
          near(actual, expected, `${storage} ${JSON.stringify(size)}`);
          near(actual, reference, `tfjs, ${storage} ${JSON.stringify(size)}`);
        }
      }
    });

    test(`product, "${kind}": a number that is none spoils its own row, and is not lost`, async () => {
      for (const spoiled of [Number.NaN, Infinity]) {
        const { actual, width } = await product(kind, SIZES[3], "float32", "relu", (x) => {
          x[3 * 300 + 17] = spoiled;
        });
        const row = kind === "logits" ? 2 : 3; // the third row of logits is of row 3
        for (const [i, value] of actual.entries())
          assert.equal(
            Number.isFinite(value),
            Math.floor(i / width) !== row,
            `${spoiled}: value ${i} is ${value}`,
          );
      }
    });
  }

  for (const activation of Object.keys(ACTIVATION) as Activation[]) {
    test(`product with ${activation}: float64's and tfjs's values`, async () => {
      const { actual, expected, reference } = await product("hidden", SIZES[0], "float32", activation);
      near(actual, expected, activation);
      near(actual, reference, `tfjs, ${activation}`);
    });
  }

  /** Attention of rows with these lengths, each with pages of its own, by the GPU, in float64 and by tfjs. */
  async function attention(
    { n_head, d, block, threads }: { n_head: number; d: number; block: number; threads: number },
    lengths: readonly number[],
    size: number,
    spoiled?: { readonly row: number; readonly position: number; readonly value: number },
  ): Promise<Record<"actual" | "expected" | "reference", readonly number[]>> {
    const E = n_head * d;
    const order = orderOf(E, 8);
    const scale = 1 / Math.sqrt(d);
    let pages = 0;
    // From the last page to the first, so that a page's number is not its place.
    const rows = lengths.map((length) => {
      const own = range(Math.ceil(length / PAGE)).map(() => pages++);
      return { position: length - 1, pages: own.reverse() };
    });
    const q = numbers(rows.length * E, size);
    // What is not of a row must not be read: it is no number.
    const cache = new Float32Array(pages * 2 * n_head * PAGE * Math.ceil(d / 4) * 4).fill(Number.NaN);
    const [k, v] = [0, 1].map(() => lengths.map((length) => numbers(length * E)));
    if (spoiled) k[spoiled.row][spoiled.position * E] = spoiled.value;
    for (const [r, row] of rows.entries()) {
      for (let position = 0; position < lengths[r]; position++) {
        for (let i = 0; i < Math.ceil(d / 4) * 4 * n_head; i++) {
          const [head, feature] = [Math.floor(i / (Math.ceil(d / 4) * 4)), i % (Math.ceil(d / 4) * 4)];
          const at = { position, pages: row.pages };
          const from = position * E + head * d + feature;
          for (const which of [0, 1] as const)
            cache[cachePlace({ n_head, d }, at, which, head, feature)] =
              feature < d ? (which === 0 ? k : v)[r][from] : 0;
        }
      }
    }
    const [, , , output] = await gpu.run(
      attentionShader({ n_head, d, scale, block, threads, to: order }),
      [aboutPass(rows), q, cache, new Float32Array(rows.length * order.size)],
      n_head,
      rows.length,
    );
    const expected = rows.flatMap((_, r) =>
      range(E).map((i) => {
        const head = Math.floor(i / d) * d;
        const query = [...q.subarray(r * E + head, r * E + head + d)];
        const scores = range(lengths[r]).map((p) => scale * dot(query, (j) => k[r][p * E + head + j]));
        const most = scores.reduce((a, b) => Math.max(a, b));
        const weights = scores.map((score) => Math.exp(score - most));
        return dot(weights, (p) => v[r][p * E + i]) / weights.reduce((a, b) => a + b);
      }),
    );
    const reference = await Promise.all(
      rows.map((_, r) => tfjsAttention({ n_head, d, scale }, q.slice(r * E, (r + 1) * E), k[r], v[r])),
    );
    return { actual: plainRows(output, order), expected, reference: reference.flatMap((row) => [...row]) };
  }

  const LENGTHS = [1, 31, 32, 33, 64, 100];
  for (const shape of [
    { n_head: 3, d: 5, block: 64, threads: 16 },
    { n_head: 2, d: 64, block: 32, threads: 32 },
    { n_head: 1, d: 80, block: 128, threads: 16 },
  ]) {
    test(`attention, ${JSON.stringify(shape)}: float64's and tfjs's values; nothing is read beyond a row's end`, async () => {
      for (const size of [1, 64]) {
        const { actual, expected, reference } = await attention(shape, LENGTHS, size);
        // Scores of some hundreds have fewer places behind the point.
        for (const other of [expected, reference])
          assert.ok(difference(actual, other) < TOLERANCE * size, String(difference(actual, other)));
      }
    });
  }

  test("attention: a key that is not a number spoils its row's head alone, and is not lost", async () => {
    const shape = { n_head: 2, d: 8, block: 32, threads: 16 };
    const spoiled = { row: 1, position: 40, value: Number.NaN };
    const { actual } = await attention(shape, [50, 60, 70], 1, spoiled);
    for (const [i, value] of actual.entries()) {
      const isSpoiled = Math.floor(i / 16) === spoiled.row && i % 16 < 8;
      assert.equal(Number.isFinite(value), !isSpoiled, `value ${i} is ${value}`);
    }
  });

  /** What the program finds in rows of logits. */
  async function largest(
    rows: readonly Float32Array[],
    k: number,
  ): Promise<ReturnType<typeof readLargest>[]> {
    const n_vocab = rows[0].length;
    const about = aboutPass([]);
    about[PASS_LARGEST] = k;
    const [, , words] = await gpu.run(
      largestShader({ n_vocab, threads: 16 }),
      [about, join(...rows), new Float32Array(rows.length * LARGEST_WORDS)],
      rows.length,
      1,
    );
    return rows.map((_, r) => readLargest(words.subarray(r * LARGEST_WORDS, (r + 1) * LARGEST_WORDS)));
  }

  test("the k largest logits: all of them, with what ties with the k-th, and little else", async () => {
    const n_vocab = 3001;
    const smooth = Float32Array.from({ length: n_vocab }, () => random() * 20 - 40);
    const tied = numbers(n_vocab).map((value) => Math.round(value * 200)); // each value some seven times
    const few = new Float32Array(n_vocab).fill(-Infinity);
    few.set([3, -0, 0, -5], 1000);
    const rising = Float32Array.from({ length: n_vocab }, (_, id) => id);
    const rows = [
      smooth,
      tied,
      few.map((value, id) => (value === -Infinity && id < 400 ? -6 : value)),
      rising,
    ];
    for (const k of [1, 2, 40, 128]) {
      for (const [r, found] of (await largest(rows, k)).entries()) {
        const row = rows[r];
        const border = [...row].sort((a, b) => b - a)[k - 1];
        const wanted = range(n_vocab).filter((id) => row[id] >= border);
        assert.ok(found, `row ${r}, k ${k}: no result`);
        const ids = [...found.ids];
        assert.deepEqual(
          ids,
          [...ids].sort((a, b) => a - b),
        );
        assert.deepEqual(
          ids.filter((id) => row[id] >= border),
          wanted,
          `row ${r}, k ${k}`,
        );
        assert.ok(ids.length <= 3 * wanted.length + 32, `row ${r}, k ${k}: ${ids.length}`);
        for (const [i, id] of ids.entries()) assert.ok(Object.is(found.logits[i], row[id]), `logit of ${id}`);
      }
    }
  });

  test("the largest logits: too many that are equal, or what is no number, and all must be read", async () => {
    const n_vocab = 700;
    const spoil = (value: number, id: number): Float32Array => {
      const row = numbers(n_vocab);
      row[id] = value;
      return row;
    };
    const equal = new Float32Array(n_vocab).fill(1);
    const full = equal.map((value, id) => (id < LARGEST_ROOM ? value : 0));
    // A bin's other logits: its maximum says nothing of them.
    const oneBin = equal.map((_, id) => (id % BINS === 0 ? 5 : -1));
    const minusNaN = new Float32Array(Uint32Array.of(0xffc00000).buffer)[0];
    const rows = [equal, spoil(Number.NaN, 3), spoil(Infinity, 699), spoil(minusNaN, 0), full, oneBin];
    const found = await largest(rows, 3);
    assert.deepEqual(
      found.map((each) => each?.ids.length),
      [undefined, undefined, undefined, undefined, LARGEST_ROOM, undefined],
    );
    // With as few as one, only the largest are looked for.
    assert.deepEqual([...((await largest(rows, 1))[5]?.ids ?? [])], [0, 256, 512]);
  });
});
