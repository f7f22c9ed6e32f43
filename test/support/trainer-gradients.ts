import assert from "node:assert/strict";
import { countParameters } from "../../dist/src/model/parameters.js";
import { OTHER_ROWS, ROWS, TOLERANCE, type TrainerTests } from "./trainer-tests.js";
import {
  close,
  EXPECTED,
  followAdam,
  gradientOf,
  gradientsOf,
  largest,
  microGradients,
  readAll,
  referenceLoss,
  same,
} from "./training.js";
import { randomParameters, sourceOf } from "./wasm-reference.js";

/** Gradients and losses against PyTorch and finite differences. */
export function testGradients(t: TrainerTests): void {
  for (const recompute of [false, true]) {
    const how = recompute ? ", with recompute" : "";
    t.test(`every gradient of micro equals PyTorch's in float64${how}`, () =>
      t.micro({ recompute }, async (trainer) => {
        assert.equal(trainer.n_trained, countParameters(trainer.hparams));
        const loss = await trainer.accumulate(ROWS);
        assert.ok(Math.abs(loss - EXPECTED.micro.loss) < 1e-5, `loss ${loss}`);
        const gradients = await gradientsOf(trainer);
        for (const [key, expected] of microGradients(trainer.hparams))
          close(gradients.get(key)!, expected, TOLERANCE, key);
      }),
    );
  }

  t.test("gradients equal float64 finite differences", () =>
    t.micro({}, async (trainer) => {
      const { hparams } = trainer;
      const rows = [OTHER_ROWS[0].slice(0, 5)];
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

  t.test("sizes that fit no register: gradients equal PyTorch's in float64", async () => {
    const { hparams, seed, batches } = EXPECTED.odd;
    const source = sourceOf(hparams, randomParameters(hparams, seed));
    for (const { rows, loss: known, gradients } of batches) {
      for (const recompute of [false, true]) {
        await t.using([hparams, source], { recompute }, async (trainer) => {
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

  const n_steps = t.isSlow ? 15 : EXPECTED.adam.losses.length;
  t.test(`the losses of ${n_steps} steps of Adam follow PyTorch's`, () =>
    t.micro({}, (trainer) => followAdam(trainer, n_steps)),
  );

  t.test("a batch is the mean of its rows, and several batches are the mean of each", () =>
    t.micro({ optimizer: "sgd" }, async (trainer) => {
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
}
