import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CpuTrainerOptions,
  createCpuTrainer,
} from "../../../../dist/src/engines/cpu/training/trainer.js";
import type { Hparams } from "../../../../dist/src/model/hparams.js";
import type { Trainer } from "../../../../dist/src/model/trainer.js";
import type { WeightSource } from "../../../../dist/src/model/weight-source.js";
import { UserError } from "../../../../dist/src/system/errors.js";
import { MICRO, withSource } from "../../../support/models.js";
import {
  mergeLora,
  places,
  readAll,
  referenceLoss,
  slope,
  widen,
} from "../../../support/training-reference.js";
import { generator, randomParameters, sourceOf } from "../../../support/wasm-reference.js";

/** No size here is a multiple of what the kernels like. */
const ODD: Hparams = { n_vocab: 317, n_ctx: 24, n_embd: 48, n_head: 3, n_layer: 2 };
const ODDER: Hparams = { n_vocab: 101, n_ctx: 170, n_embd: 35, n_head: 5, n_layer: 1 };

const random = (hparams: Hparams): WeightSource => sourceOf(hparams, randomParameters(hparams, 7));

function batch({ n_vocab }: Hparams, n: number, length: number, seed = 1): number[][] {
  const next = generator(seed);
  return Array.from({ length: n }, () =>
    Array.from({ length: length + 1 }, () => Math.floor(((next() + 1) / 2) * n_vocab)),
  );
}

async function withTrainer<T>(
  hparams: Hparams,
  source: WeightSource,
  options: CpuTrainerOptions,
  body: (trainer: Trainer) => Promise<T>,
): Promise<T> {
  const trainer = await createCpuTrainer(hparams, source, { threads: 2, ...options });
  try {
    return await body(trainer);
  } finally {
    await trainer.dispose();
  }
}

async function gradientOf(trainer: Trainer, name: string, size: number): Promise<Float32Array> {
  const values = new Float32Array(size);
  await trainer.gradient(name, values);
  return values;
}

/** Whether a gradient is that of float64 finite differences, at some places of a tensor. */
function checkGradient(name: string, gradient: Float32Array, values: Float64Array, loss: () => number): void {
  const scale = gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
  for (const i of places(gradient, 3)) {
    const wanted = slope(values, i, loss);
    const error = Math.abs(gradient[i] - wanted);
    assert.ok(error <= 2e-4 * scale + 1e-8, `${name}[${i}]: ${gradient[i]}, by differences ${wanted}`);
  }
}

async function checkGradients(
  hparams: Hparams,
  source: WeightSource,
  rows: number[][],
  options: CpuTrainerOptions,
): Promise<void> {
  await withTrainer(hparams, source, options, async (trainer) => {
    const parameters = widen(await readAll(trainer.weights));
    const found = await trainer.accumulate(rows);
    const wanted = referenceLoss(hparams, parameters, rows);
    assert.ok(Math.abs(found / wanted - 1) < 1e-6, `loss ${found}, in float64 ${wanted}`);
    for (const [name, values] of parameters) {
      const gradient = await gradientOf(trainer, name, values.length);
      checkGradient(name, gradient, values, () => referenceLoss(hparams, parameters, rows));
    }
  });
}

test("gradients of every tensor are those of float64 finite differences: micro", async () => {
  await withSource(MICRO, async (hparams, source) => {
    await checkGradients(hparams, source, batch(hparams, 2, 9), {});
  });
});

for (const [hparams, n, t] of [
  [ODD, 1, 24],
  [ODD, 2, 7],
  [ODD, 1, 1],
  [ODDER, 1, 170],
  [ODDER, 2, 9],
] as const) {
  test(`gradients of odd sizes: n_embd ${hparams.n_embd}, ${n} x ${t} tokens`, async () => {
    await checkGradients(hparams, random(hparams), batch(hparams, n, t), {});
  });
}

// Of the product's blocks: more rows, more columns and more k's than go at a time, the latter also with a bias (in
// mlp/c_proj); attention likewise.
for (const [hparams, t] of [
  [{ n_vocab: 1541, n_ctx: 260, n_embd: 12, n_head: 2, n_layer: 1 }, 259],
  [{ n_vocab: 30, n_ctx: 5, n_embd: 194, n_head: 2, n_layer: 1 }, 5],
] as const) {
  test(`gradients of sizes that take several blocks: n_embd ${hparams.n_embd}, ${t} tokens`, async () => {
    await checkGradients(hparams, random(hparams), batch(hparams, 1, t), {});
  });
}

test("a batch larger than a group of sequences has the gradients of the whole", async () => {
  const hparams = { n_vocab: 13, n_ctx: 8, n_embd: 6, n_head: 1, n_layer: 1 };
  await checkGradients(hparams, random(hparams), batch(hparams, 150, 8), {});
});

/** Weights after some steps of Adam, with two batches a step. */
async function trained(
  hparams: Hparams,
  options: CpuTrainerOptions,
  steps = 5,
): Promise<Map<string, Float32Array>> {
  return withTrainer(hparams, random(hparams), options, async (trainer) => {
    for (let i = 0; i < steps; i++) {
      await trainer.accumulate(batch(hparams, 2, 20, 2 * i));
      await trainer.accumulate(batch(hparams, 1, 24, 2 * i + 1));
      await trainer.update(1e-3);
    }
    return readAll(trainer.weights);
  });
}

test("the same bits for any number of threads, and with recompute", async () => {
  const wanted = await trained(ODD, { threads: 1 });
  const start = randomParameters(ODD, 7);
  for (const [name, values] of wanted) assert.notDeepEqual(values, start.get(name), `${name} has changed`);
  for (const threads of [2, 3]) assert.deepEqual(await trained(ODD, { threads }), wanted);
  assert.deepEqual(await trained(ODD, { threads: 2, recompute: true }), wanted);
});

test("two rows at once give the gradient of one after the other", async () => {
  const rows = batch(ODD, 2, 24);
  const gradients = (batches: number[][][]): Promise<Map<string, Float32Array>> =>
    withTrainer(ODD, random(ODD), {}, async (trainer) => {
      for (const rows of batches) await trainer.accumulate(rows);
      const all = new Map<string, Float32Array>();
      for (const [name, { length }] of randomParameters(ODD, 7))
        all.set(name, await gradientOf(trainer, name, length));
      return all;
    });
  const [together, apart] = [await gradients([rows]), await gradients(rows.map((row) => [row]))];
  for (const [name, values] of together) {
    const scale = values.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
    for (const [i, g] of apart.get(name)!.entries())
      assert.ok(Math.abs(values[i] - g / 2) <= 1e-5 * scale, `${name}[${i}]: ${values[i]}, ${g / 2}`);
  }
});

test("evaluate gives accumulate's loss bit for bit and changes nothing", async () => {
  await withTrainer(ODD, random(ODD), {}, async (trainer) => {
    const rows = batch(ODD, 3, 19);
    const before = await readAll(trainer.weights);
    const evaluated = await trainer.evaluate(rows);
    assert.ok((await gradientOf(trainer, "model/wpe", 24 * 48)).every((g) => g === 0));
    assert.equal(await trainer.accumulate(rows), evaluated);
    assert.deepEqual(await readAll(trainer.weights), before);
    await assert.rejects(
      withTrainer(ODD, random(ODD), {}, (fresh) => fresh.update(1)),
      RangeError,
    );
  });
});

for (const options of [{}, { lora_rank: 3, seed: 5 }, { optimizer: "sgd" }] as const) {
  test(`a restored training goes on bit for bit: ${JSON.stringify(options)}`, async () => {
    const step = async (trainer: Trainer, i: number): Promise<void> => {
      await trainer.accumulate(batch(ODD, 2, 20, i));
      await trainer.update(1e-3);
    };
    await withTrainer(ODD, random(ODD), options, async (trainer) => {
      for (let i = 0; i < 3; i++) await step(trainer, i);
      const weights = await readAll(trainer.weights);
      const state = await readAll(trainer.state);
      for (let i = 3; i < 6; i++) await step(trainer, i);
      const saved = sourceOf(ODD, weights);
      await withTrainer(ODD, saved, { ...options, threads: 1 }, async (second) => {
        await second.accumulate(batch(ODD, 1, 5)); // to be forgotten
        await second.restore(3, { ...second.state, read: async (name, to) => to.set(state.get(name)!) });
        assert.deepEqual(await readAll(second.weights), weights);
        for (let i = 3; i < 6; i++) await step(second, i);
        assert.equal(second.updates, 6);
        assert.deepEqual(await readAll(second.weights), await readAll(trainer.weights));
        assert.deepEqual(await readAll(second.state), await readAll(trainer.state));
      });
    });
  });
}

test("a state of another training is refused", async () => {
  await withTrainer(ODD, random(ODD), { optimizer: "sgd" }, async (sgd) => {
    await withTrainer(ODD, random(ODD), {}, async (adam) => {
      assert.equal(sgd.state.tensors.size, 0);
      await assert.rejects(adam.restore(1, sgd.state), /has no tensor adam\/m\/model\/wte/);
      await assert.rejects(sgd.restore(1, adam.state), /adam\/m\/model\/wte is not of this training/);
    });
  });
});

test("Adam and sgd are PyTorch's formulas", async () => {
  for (const optimizer of ["adam", "sgd"] as const) {
    await withTrainer(ODD, random(ODD), { optimizer }, async (trainer) => {
      const name = "model/h1/mlp/c_fc/w";
      const size = 48 * 192;
      const wanted = Float64Array.from((await readAll(trainer.weights)).get(name)!);
      const [m, v] = [new Float64Array(size), new Float64Array(size)];
      for (let t = 1; t <= 4; t++) {
        await trainer.accumulate(batch(ODD, 1, 20, t));
        await trainer.accumulate(batch(ODD, 1, 20, -t));
        const gradient = (await gradientOf(trainer, name, size)).map((g) => g / 2);
        await trainer.update(0.01);
        for (let i = 0; i < size; i++) {
          const g = gradient[i];
          m[i] = 0.9 * m[i] + 0.1 * g;
          v[i] = 0.999 * v[i] + 0.001 * g * g;
          const step = m[i] / (1 - 0.9 ** t) / (Math.sqrt(v[i] / (1 - 0.999 ** t)) + 1e-8);
          wanted[i] -= 0.01 * (optimizer === "adam" ? step : g);
        }
      }
      const found = (await readAll(trainer.weights)).get(name)!;
      for (let i = 0; i < size; i++)
        assert.ok(Math.abs(found[i] - wanted[i]) < 2e-6, `${found[i]}, ${wanted[i]}`);
    });
  }
});

test("only_train_transformer_layers leaves embeddings and ln_f as they were", async () => {
  const before = randomParameters(ODD, 7);
  const all = await trained(ODD, {}, 1);
  const after = await trained(ODD, { only_train_transformer_layers: true }, 1);
  for (const [name, values] of after)
    assert.deepEqual(values, /\/h\d/.test(name) ? all.get(name) : before.get(name), name);
  await withTrainer(ODD, random(ODD), { only_train_transformer_layers: true }, async (trainer) => {
    assert.equal(trainer.n_trained, 2 * (12 * 48 * 48 + 13 * 48));
    assert.ok(![...trainer.state.tensors.keys()].some((name) => /wte|wpe|ln_f/.test(name)));
    await assert.rejects(trainer.gradient("model/wte", new Float64Array(1) as never), RangeError);
  });
});

test("LoRA: its matrices' gradients, the merged weights, the weights below", async () => {
  const rank = 3;
  await withTrainer(ODD, random(ODD), { lora_rank: rank, seed: 9 }, async (trainer) => {
    const start = await readAll(trainer.weights);
    assert.deepEqual(start, randomParameters(ODD, 7));
    assert.equal(trainer.n_trained, 2 * rank * 48 * (4 + 2 + 5 + 5));
    for (let i = 0; i < 3; i++) {
      await trainer.accumulate(batch(ODD, 2, 20, i));
      await trainer.update(1e-2);
    }
    const state = await readAll(trainer.state);
    const lora = widen(new Map([...state].filter(([name]) => /^lora\/[ab]\//.test(name))));
    assert.equal(lora.size, 2 * 8);
    const merged = mergeLora(ODD, widen(start), lora);
    for (const [name, values] of await readAll(trainer.weights)) {
      const base = state.get(`lora/base/${name}`);
      if (base) assert.deepEqual(base, start.get(name));
      else assert.deepEqual(values, start.get(name));
      const wanted = merged.get(name)!;
      assert.ok(
        values.every((w, i) => Math.abs(w - wanted[i]) < 1e-6),
        name,
      );
    }
    const rows = batch(ODD, 2, 11, 77);
    const found = await trainer.accumulate(rows);
    const loss = (): number => referenceLoss(ODD, mergeLora(ODD, widen(start), lora), rows);
    assert.ok(Math.abs(found / loss() - 1) < 1e-6);
    for (const [name, values] of lora)
      checkGradient(name, await gradientOf(trainer, name, values.length), values, loss);
  });
});

test("LoRA's rank may be larger than every side of the model: nothing lies beside its place", async () => {
  const hparams = { n_vocab: 9, n_ctx: 6, n_embd: 4, n_head: 1, n_layer: 1 };
  await withTrainer(hparams, random(hparams), { lora_rank: 700, seed: 9, threads: 1 }, async (trainer) => {
    const start = widen(await readAll(trainer.weights));
    const rows = batch(hparams, 2, 6);
    for (let i = 0; i < 2; i++) {
      await trainer.accumulate(rows);
      await trainer.update(1e-3);
    }
    const lora = widen(
      new Map([...(await readAll(trainer.state))].filter(([name]) => /^lora\/[ab]\//.test(name))),
    );
    const found = await trainer.accumulate(rows);
    const loss = (): number => referenceLoss(hparams, mergeLora(hparams, start, lora), rows);
    assert.ok(Math.abs(found / loss() - 1) < 1e-6, `${found}, in float64 ${loss()}`);
    for (const [name, values] of lora)
      checkGradient(name, await gradientOf(trainer, name, values.length), values, loss);
  });
});

test("a loss over many ids is exact to 1e-6", async () => {
  const hparams = { n_vocab: 20011, n_ctx: 8, n_embd: 12, n_head: 1, n_layer: 1 };
  await withTrainer(hparams, random(hparams), {}, async (trainer) => {
    const rows = batch(hparams, 2, 8);
    const wanted = referenceLoss(hparams, widen(randomParameters(hparams, 7)), rows);
    const found = await trainer.evaluate(rows);
    assert.ok(Math.abs(found / wanted - 1) < 1e-6, `${found}, in float64 ${wanted}`);
  });
});

test("too small a memory is a UserError that says what to try", async () => {
  const maximumPages = 40;
  const create = (options: CpuTrainerOptions): Promise<Trainer> =>
    createCpuTrainer(ODD, random(ODD), { threads: 2, ...options });
  await assert.rejects(create({ maximumPages: 2 }), (error: Error) => {
    assert.ok(error instanceof UserError);
    for (const way of ["recompute: true", "only_train_transformer_layers", "lora_rank", "context_length"])
      assert.ok(error.message.includes(way), error.message);
    return true;
  });
  // Enough for the weights and a short batch, not for a long one; the trainer can still be used afterwards.
  const trainer = await create({ maximumPages, recompute: true });
  try {
    const short = await trainer.evaluate(batch(ODD, 1, 4));
    await assert.rejects(trainer.accumulate(batch(ODD, 42, 24)), (error: Error) => {
      assert.ok(error instanceof UserError);
      assert.ok(!error.message.includes("--recompute"), error.message);
      return true;
    });
    assert.equal(await trainer.evaluate(batch(ODD, 1, 4)), short);
  } finally {
    await trainer.dispose();
  }
});

test("wrong batches are refused, and calls that overlap", async () => {
  await withTrainer(ODD, random(ODD), {}, async (trainer) => {
    for (const rows of [
      [],
      [[1]],
      [new Array(26).fill(1)],
      [
        [1, 2],
        [1, 2, 3],
      ],
      [[1, 317]],
      [[1, 0.5]],
    ])
      await assert.rejects(async () => trainer.accumulate(rows), RangeError);
    const first = trainer.accumulate(batch(ODD, 1, 20));
    await assert.rejects(async () => trainer.evaluate(batch(ODD, 1, 20)), RangeError);
    await first;
  });
  await assert.rejects(createCpuTrainer(ODD, random(ODD), { lora_rank: 0 }), RangeError);
  await assert.rejects(createCpuTrainer(ODD, random(ODD), { threads: 0 }), RangeError);
});

test("a training lets others have their turn", async (t) => {
  // Every look at the clock finds that a second has gone by: turns are counted, not time.
  let now = performance.now();
  t.mock.method(performance, "now", () => (now += 1000));
  await withTrainer(ODD, random(ODD), { threads: 1 }, async (trainer) => {
    let turns = 0;
    let next: NodeJS.Immediate;
    const count = (): void => {
      turns++;
      next = setImmediate(count);
    };
    next = setImmediate(count);
    await trainer.accumulate(batch(ODD, 2, 24));
    clearImmediate(next);
    assert.ok(turns >= 20, `${turns} turns`);
  });
});

test("an aborted load throws the signal's reason", async () => {
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  await assert.rejects(createCpuTrainer(ODD, random(ODD), { signal }), reason);
});
