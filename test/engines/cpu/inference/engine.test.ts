import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { loadEncoder } from "../../../../dist/src/encoder/encoder.js";
import { type CpuOptions, createCpuEngine } from "../../../../dist/src/engines/cpu/inference/engine.js";
import { cpuQuota, defaultThreads } from "../../../../dist/src/engines/cpu/runtime/cpu-quota.js";
import { openCheckpoint } from "../../../../dist/src/formats/tensorflow/checkpoint.js";
import { openWeights } from "../../../../dist/src/formats/tfjs/read.js";
import type { Engine, Sequence } from "../../../../dist/src/model/engine.js";
import type { Hparams } from "../../../../dist/src/model/hparams.js";
import type { WeightSource } from "../../../../dist/src/model/weight-source.js";
import { UserError } from "../../../../dist/src/system/errors.js";
import { generator, randomParameters, referenceLogits, sourceOf } from "../../../support/wasm-reference.js";
import { HELD_OUT } from "../../../support/wasm-text.js";

interface Expected {
  sequences: { ids: number[]; last_logits_first_16: number[]; top8_ids: number[]; top8_logits: number[] }[];
  prompts: { prompt_ids: number[]; greedy_ids: number[] }[];
  texts: { ids: number[] }[];
}

const json = async <T>(file: string): Promise<T> => JSON.parse(await readFile(file, "utf8")) as T;

/** The two trained models, with float64 logits computed by another program. */
const MODELS = {
  micro: {
    folder: "test/fixtures/micro",
    expected: "test/fixtures/micro/expected.json",
    open: openCheckpoint,
  },
  shakespeare: {
    folder: "models/shakespeare",
    expected: "test/fixtures/shakespeare-expected.json",
    open: openWeights,
  },
};

async function withModel(
  name: keyof typeof MODELS,
  options: CpuOptions,
  body: (engine: Engine, expected: Expected) => Promise<void>,
): Promise<void> {
  const { folder, expected, open } = MODELS[name];
  const source = await open(folder);
  const engine = await createCpuEngine(await json<Hparams>(join(folder, "hparams.json")), source, options);
  try {
    await body(engine, await json<Expected>(expected));
  } finally {
    await engine.dispose();
    await source.close();
  }
}

async function withRandom(
  hparams: Hparams,
  options: CpuOptions,
  body: (engine: Engine) => Promise<void>,
): Promise<void> {
  const engine = await createCpuEngine(hparams, sourceOf(hparams, randomParameters(hparams, 1)), options);
  try {
    await body(engine);
  } finally {
    await engine.dispose();
  }
}

const ODD: Hparams = { n_vocab: 317, n_ctx: 80, n_embd: 48, n_head: 3, n_layer: 2 };

function randomIds(hparams: Hparams, n: number, seed: number): number[] {
  const random = generator(seed);
  return Array.from({ length: n }, () => Math.floor(((random() + 1) / 2) * hparams.n_vocab));
}

/** A copy: the engine's own arrays hold until the next call. */
const copy = (logits: Float32Array): Float32Array => Float32Array.from(logits);

/** Logits of every position, the ids fed in pieces. */
async function logitsInPieces(engine: Engine, ids: readonly number[], piece: number): Promise<Float32Array> {
  const { n_vocab } = engine.hparams;
  const all = new Float32Array(ids.length * n_vocab);
  const sequence = engine.createSequence();
  for (let i = 0; i < ids.length; i += piece) {
    const [logits] = await engine.forward([{ sequence, ids: ids.slice(i, i + piece) }], "all");
    all.set(logits, i * n_vocab);
  }
  assert.equal(sequence.length, ids.length);
  engine.free(sequence);
  return all;
}

function assertClose(
  actual: Float32Array,
  expected: readonly number[],
  tolerance: number,
  what: string,
): void {
  assert.equal(actual.length, expected.length, what);
  const largest = Math.max(...expected.map(Math.abs));
  const worst = Math.max(...expected.map((v, i) => Math.abs(actual[i] - v)));
  assert.ok(worst <= tolerance * largest, `${what}: off by ${worst / largest} of the largest logit`);
}

function assertSameBits(actual: Float32Array, expected: Float32Array, what: string): void {
  assert.ok(
    Buffer.from(copy(actual).buffer).equals(Buffer.from(copy(expected).buffer)),
    `${what}: other bits`,
  );
}

for (const name of ["micro", "shakespeare"] as const) {
  test(`${name}: float32 logits are within 2e-5 of float64`, async () => {
    await withModel(name, {}, async (engine, { sequences }) => {
      const check = (
        logits: Float32Array,
        { last_logits_first_16: first, top8_ids, top8_logits }: Expected["sequences"][0],
      ) => {
        const picked = Float32Array.from([...logits.slice(0, 16), ...top8_ids.map((id) => logits[id])]);
        assertClose(
          picked,
          [...first, ...top8_logits],
          2e-5,
          `${name}, last of the top is the largest logit`,
        );
      };
      for (const expected of sequences) {
        const sequence = engine.createSequence();
        check((await engine.forward([{ sequence, ids: expected.ids }]))[0], expected);
        engine.free(sequence);
      }
      // The same ones beside each other, of different lengths, in one call.
      const steps = sequences.map(({ ids }) => ({ sequence: engine.createSequence(), ids }));
      for (const [i, logits] of (await engine.forward(steps)).entries()) check(logits, sequences[i]);
    });
  });

  test(`${name}: greedy ids are those of float64, prompts beside each other`, async () => {
    await withModel(name, {}, async (engine, { prompts }) => {
      // An empty prompt begins after <|endoftext|>, the last id.
      const texts = prompts.map(({ prompt_ids, greedy_ids }) => ({
        sequence: engine.createSequence(),
        ids: prompt_ids.length > 0 ? prompt_ids : [engine.hparams.n_vocab - 1],
        greedy_ids,
        found: [] as number[],
      }));
      for (;;) {
        const running = texts.filter(({ found, greedy_ids }) => found.length < greedy_ids.length);
        if (running.length === 0) break;
        const logits = await engine.forward(running);
        running.forEach((text, i) => {
          text.ids = [logits[i].indexOf(Math.max(...logits[i]))];
          text.found.push(text.ids[0]);
        });
      }
      for (const { found, greedy_ids } of texts) assert.deepEqual(found, greedy_ids);
    });
  });
}

test("any shape: sizes that divide by nothing, heads of 1, 5, 7, 64 and 80 features", async () => {
  const shapes: [number, number, number][] = [
    [48, 3, 317],
    [3, 3, 5],
    [10, 2, 9],
    [7, 1, 8],
    [21, 3, 33],
    [64, 1, 31],
    [160, 2, 40],
  ];
  for (const [n_embd, n_head, n_vocab] of shapes) {
    const hparams = { n_vocab, n_ctx: 40, n_embd, n_head, n_layer: 2 };
    const parameters = randomParameters(hparams, n_embd);
    const ids = randomIds(hparams, 40, 3);
    const expected = referenceLogits(hparams, parameters, ids).flat();
    for (const threads of [1, 2]) {
      const engine = await createCpuEngine(hparams, sourceOf(hparams, parameters), { threads });
      const what = `n_embd ${n_embd}, n_head ${n_head}, n_vocab ${n_vocab}, ${threads} threads`;
      assertClose(await logitsInPieces(engine, ids, 40), expected, 2e-5, what);
      assertClose(await logitsInPieces(engine, ids, 3), expected, 2e-5, `${what}, in pieces`);
      await engine.dispose();
    }
    const engine = await createCpuEngine(hparams, sourceOf(hparams, parameters), {
      threads: 2,
      precision: "int8",
    });
    assertClose(await logitsInPieces(engine, ids, 40), expected, 0.1, `int8, n_embd ${n_embd}`);
    await engine.dispose();
  }
});

for (const precision of ["float32", "int8"] as const) {
  test(`${precision}: the same bits for every number of threads, batch and piece of the prompt`, async () => {
    const ids = randomIds(ODD, 75, 7);
    const others = Array.from({ length: 8 }, (_, i) => randomIds(ODD, 20 + 7 * i, 100 + i));
    let expected: Float32Array | undefined;
    let expectedOthers: Float32Array[] = [];
    for (const threads of [1, 2, 3]) {
      await withRandom(ODD, { threads, precision }, async (engine) => {
        for (const piece of [1, 7, ids.length]) {
          const logits = await logitsInPieces(engine, ids, piece);
          expected ??= logits;
          assertSameBits(logits, expected, `${threads} threads, pieces of ${piece}`);
        }
        if (expectedOthers.length === 0) {
          for (const other of others)
            expectedOthers.push((await logitsInPieces(engine, other, other.length)).slice(-ODD.n_vocab));
        }
        for (const batch of [1, 2, 5, 8]) {
          // Prompts whole, then their last ids one by one, all beside each other.
          const texts = others.slice(0, batch).map((other) => ({ other, sequence: engine.createSequence() }));
          await engine.forward(
            texts.map(({ other, sequence }) => ({ sequence, ids: other.slice(0, -3) })),
            "none",
          );
          for (const back of [3, 2]) {
            await engine.forward(
              texts.map(({ other, sequence }) => ({ sequence, ids: other.slice(-back, 1 - back) })),
            );
          }
          const logits = await engine.forward(
            texts.map(({ other, sequence }) => ({ sequence, ids: other.slice(-1) })),
          );
          for (const [i, row] of logits.entries())
            assertSameBits(row, expectedOthers[i], `${threads} threads, batch of ${batch}, text ${i}`);
          for (const { sequence } of texts) engine.free(sequence);
        }
      });
    }
    expectedOthers = [];
  });
}

test("prompts longer than a pass, mixed with single tokens, give the same bits", async () => {
  const hparams = { ...ODD, n_ctx: 400 };
  await withRandom(hparams, { threads: 2 }, async (engine) => {
    const long = randomIds(hparams, 390, 1);
    const short = randomIds(hparams, 5, 2);
    const expectedLong = (await logitsInPieces(engine, long, 64)).slice(-hparams.n_vocab);
    const expectedShort = await logitsInPieces(engine, short, 1);
    const [a, b] = [engine.createSequence(), engine.createSequence()];
    const [first, second] = await engine.forward([
      { sequence: a, ids: long },
      { sequence: b, ids: short },
    ]);
    assertSameBits(first, expectedLong, "long");
    assertSameBits(second, expectedShort.slice(-hparams.n_vocab), "short");
    const all = await engine.forward(
      [
        { sequence: engine.createSequence(), ids: short },
        { sequence: engine.createSequence(), ids: long },
      ],
      "all",
    );
    assertSameBits(all[0], expectedShort, "all of the short one");
    assertSameBits(all[1].slice(-hparams.n_vocab), expectedLong, "last of the long one");
    assert.deepEqual(
      await engine
        .forward([{ sequence: engine.createSequence(), ids: long }], "none")
        .then(([x]) => x.length),
      0,
    );
  });
});

test("int8 changes the perplexity of a text by less than 0.1 %", async () => {
  const encoder = await loadEncoder(MODELS.shakespeare.folder);
  const ids = encoder.encode(HELD_OUT);
  const perplexity = async (precision: "float32" | "int8"): Promise<number> => {
    let total = 0;
    let count = 0;
    await withModel("shakespeare", { precision }, async (engine) => {
      const { n_ctx, n_vocab } = engine.hparams;
      for (let begin = 0; begin + 1 < ids.length; begin += n_ctx) {
        const passage = ids.slice(begin, begin + n_ctx);
        const logits = await logitsInPieces(engine, passage, passage.length);
        for (let i = 0; i + 1 < passage.length; i++, count++) {
          const row = logits.subarray(i * n_vocab, (i + 1) * n_vocab);
          const most = Math.max(...row);
          total += Math.log(row.reduce((sum, v) => sum + Math.exp(v - most), 0)) + most - row[passage[i + 1]];
        }
      }
    });
    assert.ok(count > 500);
    return Math.exp(total / count);
  };
  const [exact, rounded] = [await perplexity("float32"), await perplexity("int8")];
  if (process.env.DEBUG) console.log(exact, rounded, rounded / exact - 1);
  assert.ok(Math.abs(rounded / exact - 1) < 0.001, `${exact} in float32, ${rounded} in int8`);
});

test("a fork goes on by itself; freed memory is used again", async () => {
  await withRandom(ODD, { threads: 2 }, async (engine) => {
    const ids = randomIds(ODD, 70, 5);
    const expected = await logitsInPieces(engine, ids, 70);
    const last = (n: number): Float32Array => expected.slice((n - 1) * ODD.n_vocab, n * ODD.n_vocab);
    for (const at of [1, 31, 32, 33, 64]) {
      const sequence = engine.createSequence();
      await engine.forward([{ sequence, ids: ids.slice(0, at) }], "none");
      const fork = engine.fork(sequence);
      assert.equal(fork.length, at);
      await engine.forward([{ sequence, ids: randomIds(ODD, 70 - at, 9) }]); // goes another way
      engine.free(sequence);
      const [logits] = await engine.forward([{ sequence: fork, ids: ids.slice(at) }]);
      assertSameBits(logits, last(70), `forked at ${at}`);
      engine.free(fork);
      assert.throws(() => engine.free(fork), RangeError);
      await assert.rejects(engine.forward([{ sequence: fork, ids: [1] }]), RangeError);
    }
  });
  // A memory with room for a few sequences takes any number of them one after the other.
  const page = 2 * 2 * 48 * 32 * 4;
  await withRandom(ODD, { threads: 1, maximumPages: 20 }, async (engine) => {
    const held: Sequence[] = [];
    await assert.rejects(
      async () => {
        for (let i = 0; i < 1000; i++) {
          held.push(engine.createSequence());
          await engine.forward([{ sequence: held.at(-1)!, ids: randomIds(ODD, 80, i) }]);
        }
      },
      (error: unknown) => error instanceof UserError && /out of memory/.test(error.message),
    );
    assert.ok(held.length * 3 * page > 5 * 65536, `${held.length} sequences`);
    for (const sequence of held) engine.free(sequence);
    for (let i = 0; i < 100; i++) {
      const sequence = engine.createSequence();
      await engine.forward([{ sequence, ids: randomIds(ODD, 80, i) }]);
      engine.free(sequence);
    }
  });
});

test("wrong calls are RangeErrors and change nothing", async () => {
  await withRandom(ODD, { threads: 1 }, async (engine) => {
    const sequence = engine.createSequence();
    const wrong = [[], [317], [-1], [0.5], [Number.NaN], new Array<number>(81).fill(0)];
    for (const ids of wrong) await assert.rejects(engine.forward([{ sequence, ids }]), RangeError);
    const step = { sequence, ids: [1] };
    await assert.rejects(engine.forward([step, step]), RangeError);
    await assert.rejects(engine.forward([{ sequence: { length: 0 }, ids: [1] }]), RangeError);
    assert.equal(sequence.length, 0);
    assert.deepEqual(await engine.forward([]), []);
  });
});

test("a source that fails, a memory that cannot grow: one clear error", async () => {
  const parameters = randomParameters(ODD, 1);
  const good = sourceOf(ODD, parameters);
  for (const bad of ["model/wte", "model/h1/mlp/c_fc/w", "model/ln_f/b"]) {
    const source: WeightSource = {
      ...good,
      read: async (name, target) => {
        if (name === bad) throw new UserError(`${name} is cut off`);
        await good.read(name, target);
      },
    };
    for (const precision of ["float32", "int8"] as const) {
      await assert.rejects(createCpuEngine(ODD, source, { threads: 2, precision }), {
        message: `${bad} is cut off`,
      });
    }
  }
  await assert.rejects(
    createCpuEngine(ODD, good, { threads: 2, maximumPages: 5 }),
    (error: unknown) =>
      error instanceof UserError && /out of memory/.test(error.message) && !error.message.includes("\n"),
  );
  const large = { n_vocab: 50257, n_ctx: 1024, n_embd: 1600, n_head: 25, n_layer: 48 };
  await assert.rejects(createCpuEngine(large, good), /precision: "int8"/);
});

test("a load can be called off", async () => {
  const controller = new AbortController();
  const seen: number[] = [];
  const onProgress = (done: number): void => {
    seen.push(done);
    if (seen.length === 5) controller.abort(new UserError("called off"));
  };
  const source = sourceOf(ODD, randomParameters(ODD, 1));
  await assert.rejects(createCpuEngine(ODD, source, { threads: 2, onProgress, signal: controller.signal }), {
    message: "called off",
  });
  assert.equal(seen.length, 5);
});

/** Runs a program of its own with an engine of 3 threads in `engine`. */
async function runProgram(body: string): Promise<{ stdout: string; code: number }> {
  const folder = await mkdtemp(join(tmpdir(), "gpt2-wasm-"));
  const file = join(folder, "program.mjs");
  const at = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  await writeFile(
    file,
    `import { Worker } from "node:worker_threads";
     import { createCpuEngine } from ${at("../../../../dist/src/engines/cpu/inference/engine.js")};
     import { openWeights } from ${at("../../../../dist/src/formats/tfjs/read.js")};
     const workers = [];
     const on = Worker.prototype.on;
     Worker.prototype.on = function (...a) { if (!workers.includes(this)) workers.push(this); return on.apply(this, a); };
     const hparams = { n_vocab: 1024, n_ctx: 256, n_embd: 160, n_head: 5, n_layer: 4 };
     const engine = await createCpuEngine(hparams, await openWeights("models/shakespeare"), { threads: 3, patience: 1 });
     const sequence = engine.createSequence();
     await engine.forward([{ sequence, ids: [1, 2, 3] }]);
     ${body}`,
  );
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 20_000 });
    return { stdout, code: 0 };
  } catch (error) {
    const { stdout, code, killed } = error as { stdout: string; code: number; killed: boolean };
    assert.ok(!killed, "the process hung");
    return { stdout, code };
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("the process ends by itself, with and without dispose()", async () => {
  assert.deepEqual(await runProgram("console.log('done')"), { stdout: "done\n", code: 0 });
  assert.deepEqual(await runProgram("await engine.dispose(); console.log('done')"), {
    stdout: "done\n",
    code: 0,
  });
});

test("a worker that dies: one clear error, no hang", async () => {
  const attempt = `await engine.forward([{ sequence, ids: [4] }]).then(() => console.log("went on"), (e) => console.log(e.name + ": " + e.message)); await engine.dispose();`;
  const known = await runProgram(`await workers[0].terminate(); ${attempt}`);
  assert.match(known.stdout, /^UserError: a worker thread ended[^\n]*\n$/);
  // Gone while this thread cannot hear of it: where it had not begun, the others did its work.
  const unknown = await runProgram(`workers[0].terminate(); ${attempt}`);
  assert.match(
    unknown.stdout,
    /^(went on|UserError: (a worker thread ended|the worker threads do not answer)[^\n]*)\n$/,
  );
  assert.deepEqual([known.code, unknown.code], [0, 0]);
});

test("threads: the container's limit counts", async () => {
  assert.ok(defaultThreads() >= 1);
  const root = await mkdtemp(join(tmpdir(), "gpt2-cgroup-"));
  const put = async (file: string, text: string): Promise<void> => {
    await mkdir(dirname(join(root, file)), { recursive: true });
    await writeFile(join(root, file), text);
  };
  try {
    assert.equal(cpuQuota(root), undefined);
    await put("proc/self/cgroup", "0::/a/b\n");
    await put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert.equal(cpuQuota(root), undefined);
    await put("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    assert.equal(cpuQuota(root), 1.5);
    await put("proc/self/cgroup", "4:cpu,cpuacct:/x\n1:name=systemd:/\n");
    await put("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n");
    await put("sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
    assert.equal(cpuQuota(root), undefined);
    await put("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "200000\n");
    assert.equal(cpuQuota(root), 2);
  } finally {
    await rm(root, { recursive: true });
  }
});
