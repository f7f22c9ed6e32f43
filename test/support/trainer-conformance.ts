import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "../../dist/src/errors.js";
import { initialWeights, loraStart, loraTargets } from "../../dist/src/initial.js";
import { countParameters, type Hparams, parameterShapes, type WeightSource } from "../../dist/src/model.js";
import type { Trainer, TrainerOptions } from "../../dist/src/trainer.js";
import { MICRO, withSource } from "./models.js";
import {
  close,
  EXPECTED,
  gradientOf,
  gradientsOf,
  largest,
  microGradients,
  type Rows,
  readAll,
  referenceLoss,
  same,
  saved,
} from "./training.js";
import { randomParameters, sourceOf } from "./wasm-reference.js";

/** float32 against float64, relative to the largest value of a gradient. */
const TOLERANCE = 2e-5;
const LORA: TrainerOptions = { lora_rank: 4, seed: 3 };
const { rows: ROWS } = EXPECTED.micro;
const OTHER_ROWS: Rows = ROWS.map((row) => row.slice(3, 12).reverse());

export type CreateTrainer = (
  hparams: Hparams,
  source: WeightSource,
  options: TrainerOptions,
) => Promise<Trainer>;

/**
 * What every trainer must hold: the tests that each is put to.
 * @param isExact whether the same calls give the same bits; on a GPU they need not
 */
export function trainerConformance(name: string, create: CreateTrainer, isExact = true): void {
  const title = (what: string): string => `${name}: ${what}`;

  /** A trainer of some model for the length of a call. */
  async function using<T>(
    [hparams, source]: readonly [Hparams, WeightSource],
    options: TrainerOptions,
    use: (trainer: Trainer) => Promise<T>,
  ): Promise<T> {
    const trainer = await create(hparams, source, options);
    try {
      return await use(trainer);
    } finally {
      await trainer.dispose();
    }
  }

  /** A trainer of micro. */
  const micro = <T>(options: TrainerOptions, use: (trainer: Trainer) => Promise<T>): Promise<T> =>
    withSource(MICRO, (hparams, source) => using([hparams, source], options, use));

  const microWeights = (): Promise<Map<string, Float32Array>> =>
    withSource(MICRO, async (hparams, source) => {
      const all = await readAll(source);
      return new Map([...parameterShapes(hparams).keys()].map((key) => [key, all.get(key)!]));
    });

  /** Some steps on different batches. */
  async function train(trainer: Trainer, n_updates: number): Promise<number[]> {
    const losses: number[] = [];
    for (let i = 0; i < n_updates; i++) {
      losses.push(await trainer.accumulate(i % 2 ? ROWS : OTHER_ROWS));
      await trainer.update(1e-2);
    }
    return losses;
  }

  for (const recompute of [false, true]) {
    const how = recompute ? ", with recompute" : "";
    test(title(`every gradient of micro equals PyTorch's in float64${how}`), () =>
      micro({ recompute }, async (trainer) => {
        assert.equal(trainer.n_trained, countParameters(trainer.hparams));
        const loss = await trainer.accumulate(ROWS);
        assert.ok(Math.abs(loss - EXPECTED.micro.loss) < 1e-5, `loss ${loss}`);
        const gradients = await gradientsOf(trainer);
        for (const [key, expected] of microGradients(trainer.hparams))
          close(gradients.get(key)!, expected, TOLERANCE, key);
      }),
    );
  }

  test(title("gradients equal float64 finite differences"), () =>
    micro({}, async (trainer) => {
      const { hparams } = trainer;
      const rows = OTHER_ROWS.map((row) => row.slice(0, 6));
      const weights = await readAll(trainer.weights);
      const parameters = new Map([...weights].map(([key, values]) => [key, Float64Array.from(values)]));
      const loss = await trainer.accumulate(rows);
      assert.ok(Math.abs(loss - referenceLoss(hparams, parameters, rows)) < 1e-5, `loss ${loss}`);
      for (const [key, gradient] of await gradientsOf(trainer)) {
        const scale = largest(gradient);
        const values = parameters.get(key)!;
        for (const i of [gradient.findIndex((g) => Math.abs(g) === scale), Math.floor(values.length / 3)]) {
          const at = values[i];
          const step = 1e-5;
          const [above, below] = [at + step, at - step].map((value) => {
            values[i] = value;
            return referenceLoss(hparams, parameters, rows);
          });
          values[i] = at;
          close([gradient[i]], [(above - below) / (2 * step)], 1e-4, `${key}, value ${i}`, scale);
        }
      }
    }),
  );

  test(title("sizes that fit no register: gradients equal PyTorch's in float64"), async () => {
    const { hparams, seed, batches } = EXPECTED.odd;
    const source = sourceOf(hparams, randomParameters(hparams, seed));
    for (const { rows, loss: known, gradients } of batches) {
      for (const recompute of [false, true]) {
        await using([hparams, source], { recompute }, async (trainer) => {
          const what = `${rows.length} x ${rows[0].length - 1}`;
          const loss = await trainer.accumulate(rows);
          assert.ok(Math.abs(loss - known) < 1e-5 * known, `${what}: loss ${loss}`);
          for (const [key, { norm, sum, values }] of Object.entries(gradients)) {
            const gradient = await gradientOf(trainer, key);
            const total = gradient.reduce((all, g) => all + g, 0);
            const seen = gradient.filter((_, i) => i % 61 === 0);
            close(seen, values, TOLERANCE, `${what}: ${key}`, largest(gradient));
            close([Math.hypot(...gradient)], [norm], TOLERANCE, `${what}: norm of ${key}`);
            const scale = norm * Math.sqrt(gradient.length);
            close([total], [sum], TOLERANCE, `${what}: sum of ${key}`, scale);
          }
        });
      }
    }
  });

  test(title("the losses of 50 steps of Adam follow PyTorch's"), () =>
    micro({}, async (trainer) => {
      const { learning_rate, text, n_time, starts, losses } = EXPECTED.adam;
      for (const [step, known] of losses.entries()) {
        const rows = starts[step].map((start) => text.slice(start, start + n_time + 1));
        const loss = await trainer.accumulate(rows);
        assert.ok(Math.abs(loss - known) < 1e-3, `step ${step + 1}: ${loss}, expected ${known}`);
        await trainer.update(learning_rate);
        assert.equal(trainer.updates, step + 1);
      }
    }),
  );

  test(title("a batch is the mean of its rows, and several batches are the mean of each"), () =>
    micro({ optimizer: "sgd" }, async (trainer) => {
      const before = await readAll(trainer.weights);
      const together = await trainer.accumulate(ROWS);
      const whole = await gradientsOf(trainer);
      await trainer.update(0);
      same(await readAll(trainer.weights), before);
      const losses: number[] = [];
      const singles: Map<string, Float32Array>[] = [];
      for (const row of ROWS) {
        losses.push(await trainer.accumulate([row]));
        singles.push(await gradientsOf(trainer));
        await trainer.update(0);
      }
      close([(losses[0] + losses[1]) / 2], [together], 1e-6, "loss");
      for (const [key, gradient] of whole) {
        const [first, second] = singles.map((single) => single.get(key)!);
        const mean = first.map((g, i) => (g + second[i]) / 2);
        close(mean, gradient, TOLERANCE, key);
      }
      for (const row of ROWS) await trainer.accumulate([row]);
      await trainer.update(1);
      for (const [key, weights] of await readAll(trainer.weights)) {
        const change = weights.map((w, i) => before.get(key)![i] - w);
        const scale = largest(whole.get(key)!) + 0.01 * largest(before.get(key)!); // the rounding of w itself
        close(change, whole.get(key)!, TOLERANCE, `change of ${key}`, scale);
      }
    }),
  );

  test(title("evaluate tells accumulate's loss and changes nothing"), () =>
    micro({}, async (trainer) => {
      await train(trainer, 2);
      const told = await trainer.evaluate(ROWS);
      assert.equal(await trainer.accumulate(ROWS), told);
      const before = [trainer.weights, trainer.state].map(readAll);
      const gradients = await gradientsOf(trainer);
      await trainer.evaluate(OTHER_ROWS);
      assert.equal(await trainer.evaluate(ROWS), told);
      same(await gradientsOf(trainer), gradients);
      same(await readAll(trainer.weights), await before[0]);
      same(await readAll(trainer.state), await before[1]);
      assert.equal(trainer.updates, 2);
    }),
  );

  const kinds: Record<string, TrainerOptions> = {
    adam: {},
    sgd: { optimizer: "sgd" },
    "layers alone": { only_train_transformer_layers: true },
    lora: LORA,
    "lora with sgd": { ...LORA, optimizer: "sgd" },
    "adam with recompute": { recompute: true },
  };
  for (const [kind, options] of Object.entries(kinds)) {
    test(title(`a training that was saved goes on as if it had not been interrupted: ${kind}`), async () => {
      const save = await micro(options, async (trainer) => {
        await train(trainer, 3);
        const { updates, hparams } = trainer;
        const [weights, state] = [await saved(trainer.weights), await saved(trainer.state)];
        const losses = await train(trainer, 3);
        return { updates, hparams, weights, state, losses, end: await readAll(trainer.weights) };
      });
      assert.equal(save.updates, 3);
      await using([save.hparams, save.weights], options, async (trainer) => {
        await trainer.accumulate(ROWS); // what was accumulated before is no part of what is put back
        await trainer.restore(save.updates, save.state);
        assert.equal(trainer.updates, 3);
        same(await readAll(trainer.weights), await readAll(save.weights));
        const losses = await train(trainer, 3);
        close(losses, save.losses, isExact ? 0 : 1e-5, "losses");
        same(await readAll(trainer.weights), save.end, isExact);
      });
    });
  }

  test(title("a state of other options is refused"), () =>
    micro(LORA, async (lora) => {
      const state = await saved(lora.state);
      for (const options of [{}, { optimizer: "sgd" }, { lora_rank: 3 }] as const)
        await micro(options, (trainer) => assert.rejects(trainer.restore(1, state), UserError));
      await micro({}, async (adam) => assert.rejects(lora.restore(1, await saved(adam.state)), UserError));
      await assert.rejects(lora.restore(1, { ...state, tensors: new Map() }), UserError);
    }),
  );

  test(title("only_train_transformer_layers leaves embeddings and ln_f as they are"), () =>
    micro({ only_train_transformer_layers: true }, async (trainer) => {
      const { n_layer, n_embd } = trainer.hparams;
      assert.equal(trainer.n_trained, n_layer * (12 * n_embd * n_embd + 13 * n_embd));
      const before = await microWeights();
      await trainer.accumulate(ROWS);
      for (const [key, expected] of microGradients(trainer.hparams))
        if (key.includes("/h")) close(await gradientOf(trainer, key), expected, TOLERANCE, key);
      await trainer.update(1e-2);
      await train(trainer, 2);
      const after = await readAll(trainer.weights);
      const changed = [...after].filter(([key, w]) => w.some((value, i) => value !== before.get(key)![i]));
      const layers = [...before.keys()].filter((key) => key.includes("/h"));
      assert.deepEqual(
        changed.map(([key]) => key),
        layers,
      );
      const states = layers.flatMap((key) => [`adam/m/${key}`, `adam/v/${key}`]);
      assert.deepEqual([...trainer.state.tensors.keys()].sort(), states.sort());
    }),
  );

  test(title("lora: starts at the model, and trains two matrices beside each of the layers' four"), () =>
    micro(LORA, async (trainer) => {
      const { hparams } = trainer;
      const targets = loraTargets(hparams);
      const shapes = parameterShapes(hparams);
      const start = await microWeights();
      same(await readAll(trainer.weights), start);
      const names = targets.flatMap((w) => [`lora/a/${w}`, `lora/b/${w}`]);
      const moments = names.flatMap((key) => [`adam/m/${key}`, `adam/v/${key}`]);
      const bases = targets.map((w) => `lora/base/${w}`);
      assert.deepEqual([...trainer.state.tensors.keys()].sort(), [...names, ...moments, ...bases].sort());
      const first = await readAll(trainer.state);
      for (const w of targets) {
        assert.deepEqual(first.get(`lora/a/${w}`), loraStart(w, shapes.get(w)![1], 4, 3));
        assert.ok(first.get(`lora/b/${w}`)!.every((x) => x === 0));
      }
      assert.equal(
        trainer.n_trained,
        names.reduce((sum, key) => sum + first.get(key)!.length, 0),
      );

      const losses = await train(trainer, 6);
      assert.ok(losses[5] < losses[1] && losses[4] < losses[0], `${losses}`);
      const [weights, state] = [await readAll(trainer.weights), await readAll(trainer.state)];
      for (const [key, values] of weights) {
        if (!targets.includes(key)) assert.deepEqual(values, start.get(key), key);
      }
      await trainer.accumulate(ROWS);
      await using([hparams, await saved(trainer.weights)], {}, async (full) => {
        await full.accumulate(ROWS);
        for (const w of targets) {
          const base = state.get(`lora/base/${w}`)!;
          assert.deepEqual(base, start.get(w), w);
          const [, n_in, n_out] = shapes.get(w)!;
          const a = matrix(state.get(`lora/a/${w}`)!, n_in, 4);
          const b = matrix(state.get(`lora/b/${w}`)!, 4, n_out);
          assert.ok(largest(b.values) > 0.01, `b of ${w} has not moved`);
          const merged = times(a, b).values.map((x, i) => base[i] + 2 * x);
          close(weights.get(w)!, merged, 1e-6, w, 1);
          const g = matrix(await gradientOf(full, w), n_in, n_out);
          const da = times(g, transposed(b)).values.map((x) => 2 * x);
          const db = times(transposed(a), g).values.map((x) => 2 * x);
          close(await gradientOf(trainer, `lora/a/${w}`), da, 1e-4, `gradient of a of ${w}`);
          close(await gradientOf(trainer, `lora/b/${w}`), db, 1e-4, `gradient of b of ${w}`);
        }
      });
    }),
  );

  test(title("sgd: p - lr g"), () =>
    micro({ optimizer: "sgd" }, async (trainer) => {
      const before = await microWeights();
      await trainer.accumulate(ROWS);
      const gradients = await gradientsOf(trainer);
      await trainer.update(0.25);
      assert.equal(trainer.state.tensors.size, 0);
      for (const [key, weights] of await readAll(trainer.weights)) {
        const [p, g] = [before.get(key)!, gradients.get(key)!];
        for (const [i, w] of weights.entries()) {
          const rounding = 2 ** -23 * (Math.abs(p[i]) + Math.abs(g[i]));
          assert.ok(Math.abs(w - (p[i] - 0.25 * g[i])) <= rounding, `${key}, value ${i}`);
        }
      }
    }),
  );

  test(title("wrong ids, lengths and batches are refused and change nothing"), () =>
    micro({}, async (trainer) => {
      const { n_ctx, n_vocab } = trainer.hparams;
      await trainer.accumulate(ROWS);
      const gradients = await gradientsOf(trainer);
      const tooLong = new Array<number>(n_ctx + 2).fill(0);
      const wrong: Rows[] = [[], [[]], [[1]], [[1, n_vocab]], [[n_vocab, 1]], [[-1, 1]], [[1, 1.5]]];
      for (const rows of [
        ...wrong,
        [tooLong],
        [[1, 2], [1]],
        [[1, 2], []],
        [
          [1, 2],
          [1, 2, 3],
        ],
        [[1, Number.NaN]],
      ]) {
        await assert.rejects(async () => trainer.accumulate(rows), RangeError, JSON.stringify(rows));
        await assert.rejects(async () => trainer.evaluate(rows), RangeError, JSON.stringify(rows));
      }
      same(await gradientsOf(trainer), gradients);
      assert.ok(Number.isFinite(await trainer.evaluate([tooLong.slice(1)])), "n_ctx tokens are read");
      const typed = [Int32Array.from(ROWS[0]), Uint16Array.from(ROWS[1])];
      assert.equal(await trainer.evaluate(typed), await trainer.evaluate(ROWS));
    }),
  );

  test(title("from a random start, 200 tokens are learned by heart"), async () => {
    const hparams: Hparams = { n_vocab: 50, n_ctx: 25, n_embd: 32, n_head: 2, n_layer: 2 };
    const text = Array.from({ length: 200 }, (_, i) => (i * i * 7 + Math.floor(i / 3) * 11) % 50);
    const rows = [0, 25, 50, 75, 100, 125, 150, 174].map((start) => text.slice(start, start + 26));
    await using([hparams, initialWeights(hparams, 1)], {}, async (trainer) => {
      let loss = await trainer.evaluate(rows);
      assert.ok(Math.abs(loss - Math.log(50)) < 0.1, `nothing is learned yet, but the loss is ${loss}`);
      for (let step = 0; step < 120 && loss >= 0.1; step++) {
        loss = await trainer.accumulate(rows);
        await trainer.update(1e-2);
      }
      assert.ok(loss < 0.1, `loss ${loss} after ${trainer.updates} updates`);
    });
  });
}

interface Matrix {
  readonly values: Float64Array;
  readonly n_rows: number;
  readonly n_columns: number;
}

const matrix = (values: ArrayLike<number>, n_rows: number, n_columns: number): Matrix => {
  assert.equal(values.length, n_rows * n_columns);
  return { values: Float64Array.from(values), n_rows, n_columns };
};

const transposed = ({ values, n_rows, n_columns }: Matrix): Matrix => {
  const turned = values.map((_, i) => values[(i % n_rows) * n_columns + Math.floor(i / n_rows)]);
  return { values: turned, n_rows: n_columns, n_columns: n_rows };
};

const times = (x: Matrix, y: Matrix): Matrix => {
  const values = new Float64Array(x.n_rows * y.n_columns);
  for (let i = 0; i < x.n_rows; i++)
    for (let k = 0; k < x.n_columns; k++)
      for (let j = 0; j < y.n_columns; j++)
        values[i * y.n_columns + j] += x.values[i * x.n_columns + k] * y.values[k * y.n_columns + j];
  return { values, n_rows: x.n_rows, n_columns: y.n_columns };
};
