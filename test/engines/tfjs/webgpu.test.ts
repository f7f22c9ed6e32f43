import assert from "node:assert/strict";
import { test } from "node:test";
import { createTfjsEngine } from "../../../dist/src/engines/tfjs/engine.js";
import { createTfjsTrainer } from "../../../dist/src/engines/tfjs/trainer.js";
import { createWebgpuEngine } from "../../../dist/src/engines/webgpu/engine.js";
import type { Hparams } from "../../../dist/src/model/hparams.js";
import { isInstalled } from "../../../dist/src/system/package.js";
import { difference } from "../../support/conformance.js";
import { randomParameters, referenceLogits, sourceOf } from "../../support/wasm-reference.js";
import { ANY_GPU, NO_GPU } from "../../support/webgpu.js";

const PACKAGE = "@tensorflow/tfjs-backend-webgpu";
const skip = NO_GPU ?? (isInstalled(PACKAGE) ? false : `${PACKAGE} is not installed`);
const TINY: Hparams = { n_vocab: 17, n_ctx: 8, n_embd: 8, n_head: 2, n_layer: 1 };
const parameters = randomParameters(TINY, 5);

test("tfjs-webgpu and webgpu compute the same logits, which are float64's", { skip }, async () => {
  const ids = [3, 1, 4, 1, 5];
  const reference = await createTfjsEngine(TINY, sourceOf(TINY, parameters), {
    backend: "tfjs-webgpu",
    gpu: ANY_GPU,
  });
  const engine = await createWebgpuEngine(TINY, sourceOf(TINY, parameters), { gpu: ANY_GPU });
  const expected = referenceLogits(TINY, parameters, ids).flat();
  for (const each of [reference, engine]) {
    const [logits] = await each.forward([{ sequence: each.createSequence(), ids }], "all");
    const found = difference(logits, expected);
    assert.ok(found < 1e-4, `${each.name}: ${found}`);
    await each.dispose();
  }
});

/** On a GPU in software a step takes seconds: it is some hundreds of programs. */
const STEPS = 8;

test("steps of training on a GPU have the reference's losses", { skip }, async () => {
  const losses: number[][] = [];
  for (const backend of ["tfjs-cpu", "tfjs-webgpu"] as const) {
    const source = sourceOf(TINY, parameters);
    const trainer = await createTfjsTrainer(TINY, source, { seed: 1, backend, gpu: ANY_GPU });
    const own: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      own.push(await trainer.accumulate([[1, 2, 3, 4, 9]]));
      await trainer.update(1e-3);
    }
    losses.push(own);
    await trainer.dispose();
  }
  assert.ok(losses[0][STEPS - 1] < losses[0][0], "it learns");
  for (const [step, loss] of losses[1].entries()) {
    const expected = losses[0][step];
    assert.ok(Math.abs(loss - expected) < 1e-3 * expected, `step ${step}: ${loss}, not ${expected}`);
  }
});
