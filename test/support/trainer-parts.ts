import assert from "node:assert/strict";
import { loraStart, loraTargets } from "../../dist/src/model/initial.js";
import { parameterShapes } from "../../dist/src/model/parameters.js";
import { LORA, microWeights, ROWS, TOLERANCE, type TrainerTests, train } from "./trainer-tests.js";
import { close, gradientOf, largest, microGradients, readAll, same, saved } from "./training.js";

/** Trainings that leave a part of the model as it is. */
export function testParts(t: TrainerTests): void {
  t.test("only_train_transformer_layers leaves embeddings and ln_f as they are", () =>
    t.micro({ only_train_transformer_layers: true }, async (trainer) => {
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

  t.test("lora: starts at the model, and trains two matrices beside each of the layers' four", () =>
    t.micro(LORA, async (trainer) => {
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
      await t.using([hparams, await saved(trainer.weights)], {}, async (full) => {
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
