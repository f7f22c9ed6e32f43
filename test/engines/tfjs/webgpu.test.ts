import assert from "node:assert/strict";
import { test } from "node:test";
import { createTfjsEngine } from "../../../dist/src/engines/tfjs/engine.js";
import { createTfjsTrainer } from "../../../dist/src/engines/tfjs/trainer.js";
import { createWebgpuEngine } from "../../../dist/src/engines/webgpu/engine.js";
import type { Hparams } from "../../../dist/src/model/hparams.js";
import { isInstalled } from "../../../dist/src/system/package.js";
import { difference } from "../../support/conformance.js";
import { MICRO, withSource } from "../../support/models.js";
import { followAdam } from "../../support/training.js";
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

test("50 steps of training on a GPU follow PyTorch's losses", { skip }, async () => {
  await withSource(MICRO, async (hparams, source) => {
    const trainer = await createTfjsTrainer(hparams, source, { backend: "tfjs-webgpu", gpu: ANY_GPU });
    await followAdam(trainer, 50);
    await trainer.dispose();
  });
});
