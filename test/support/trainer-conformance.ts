import assert from "node:assert/strict";
import type { Hparams } from "../../dist/src/model/hparams.js";
import { initialWeights } from "../../dist/src/model/initial.js";
import type { TrainerOptions } from "../../dist/src/model/trainer.js";
import { UserError } from "../../dist/src/system/errors.js";
import { testGradients } from "./trainer-gradients.js";
import { testParts } from "./trainer-parts.js";
import {
  type CreateTrainer,
  LORA,
  microWeights,
  OTHER_ROWS,
  ROWS,
  TrainerTests,
  type TrainerTraits,
  train,
} from "./trainer-tests.js";
import { close, gradientsOf, type Rows, readAll, same, saved } from "./training.js";

/** The tests that every trainer must pass. */
export function trainerConformance(name: string, create: CreateTrainer, traits: TrainerTraits = {}): void {
  const t = new TrainerTests(name, create, traits);
  testGradients(t);
  testParts(t);

  t.test("evaluate tells accumulate's loss and changes nothing", () =>
    t.micro({}, async (trainer) => {
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
    t.test(`a training that was saved goes on as if it had not been interrupted: ${kind}`, async () => {
      const save = await t.micro(options, async (trainer) => {
        await train(trainer, 3);
        const { updates, hparams } = trainer;
        const [weights, state] = [await saved(trainer.weights), await saved(trainer.state)];
        const losses = await train(trainer, 3);
        return { updates, hparams, weights, state, losses, end: await readAll(trainer.weights) };
      });
      assert.equal(save.updates, 3);
      await t.using([save.hparams, save.weights], options, async (trainer) => {
        await trainer.accumulate(ROWS); // what was accumulated before is no part of what is put back
        await trainer.restore(save.updates, save.state);
        assert.equal(trainer.updates, 3);
        same(await readAll(trainer.weights), await readAll(save.weights));
        const losses = await train(trainer, 3);
        close(losses, save.losses, t.isExact ? 0 : 1e-5, "losses");
        same(await readAll(trainer.weights), save.end, t.isExact);
      });
    });
  }

  t.test("a state of other options is refused", () =>
    t.micro(LORA, async (lora) => {
      const state = await saved(lora.state);
      for (const options of [{}, { optimizer: "sgd" }, { lora_rank: 3 }] as const)
        await t.micro(options, (trainer) => assert.rejects(trainer.restore(1, state), UserError));
      await t.micro({}, async (adam) => assert.rejects(lora.restore(1, await saved(adam.state)), UserError));
      await assert.rejects(lora.restore(1, { ...state, tensors: new Map() }), UserError);
    }),
  );

  t.test("sgd: p - lr g", () =>
    t.micro({ optimizer: "sgd" }, async (trainer) => {
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

  t.test("wrong ids, lengths and batches are refused and change nothing", () =>
    t.micro({}, async (trainer) => {
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
        [
          [1, 2],
          [1, 2, 3],
          [1, 2],
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

  if (t.isSlow) return;
  t.test("from a random start, 200 tokens are learned by heart", async () => {
    const hparams: Hparams = { n_vocab: 50, n_ctx: 25, n_embd: 32, n_head: 2, n_layer: 1 };
    const text = Array.from({ length: 200 }, (_, i) => (i * i * 7 + Math.floor(i / 3) * 11) % 50);
    const rows = [0, 25, 50, 75, 100, 125, 150, 174].map((start) => text.slice(start, start + 26));
    await t.using([hparams, initialWeights(hparams, 1)], {}, async (trainer) => {
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
