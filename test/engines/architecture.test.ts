/** GPT-2s unlike OpenAI's: every engine and trainer against float64, one option of config.json at a time. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createCpuEngine } from "../../dist/src/engines/cpu/inference/engine.js";
import type { Precision } from "../../dist/src/engines/cpu/inference/weights.js";
import { tryNative } from "../../dist/src/engines/cpu/runtime/native-trial.js";
import { createCpuTrainer } from "../../dist/src/engines/cpu/training/trainer.js";
import { createTfjsEngine } from "../../dist/src/engines/tfjs/engine.js";
import { createTfjsTrainer } from "../../dist/src/engines/tfjs/trainer.js";
import { createWebgpuEngine } from "../../dist/src/engines/webgpu/engine.js";
import type { Engine } from "../../dist/src/model/engine.js";
import { ACTIVATIONS, type Architecture, type Hparams } from "../../dist/src/model/hparams.js";
import type { Trainer } from "../../dist/src/model/trainer.js";
import { difference } from "../support/conformance.js";
import { gradientsOf, largest } from "../support/training.js";
import { referenceLoss } from "../support/training-reference.js";
import { randomParameters, referenceLogits, sourceOf } from "../support/wasm-reference.js";
import { ANY_GPU, NO_GPU } from "../support/webgpu.js";

const SIZES: Hparams = { n_vocab: 41, n_ctx: 24, n_embd: 30, n_head: 3, n_layer: 3 };
const OPTIONS: readonly Partial<Architecture>[] = [
  ...ACTIVATIONS.map((activation_function) => ({ activation_function })),
  { layer_norm_epsilon: 0.01 },
  { n_inner: 37 }, // less than n_embd's three, and more than its four below
  { n_inner: 150 },
  { scale_attn_weights: false },
  { scale_attn_by_inverse_layer_idx: true },
  { tie_word_embeddings: false },
  {
    activation_function: "gelu",
    layer_norm_epsilon: 1e-3,
    n_inner: 25, // less than n_embd
    scale_attn_weights: false,
    scale_attn_by_inverse_layer_idx: true,
    tie_word_embeddings: false,
  },
];
const IDS = [0, 40, 7, 7, 23, 12, 31, 5, 39, 2, 18, 26, 11];

/** Logits of all positions, read in pieces of several sizes. */
async function logitsOf(engine: Engine): Promise<Float32Array> {
  const sequence = engine.createSequence();
  const logits = new Float32Array(IDS.length * SIZES.n_vocab);
  for (const [begin, end] of [
    [0, 6],
    [6, 7],
    [7, 8],
    [8, 13],
  ]) {
    const [some] = await engine.forward([{ sequence, ids: IDS.slice(begin, end) }], "all");
    logits.set(some, begin * SIZES.n_vocab);
  }
  await engine.dispose();
  return logits;
}

const title = (options: object): string => JSON.stringify(options);
const bits = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

for (const options of OPTIONS) {
  const hparams = { ...SIZES, ...options };
  const parameters = randomParameters(hparams, 3);
  // Hidden values of several units, where the activations differ, and unlike those of other layers.
  for (const [name, values] of parameters)
    if (/c_fc\/w$|c_attn\/w$/.test(name)) for (const i of values.keys()) values[i] *= 2;
  const source = sourceOf(hparams, parameters);

  test(`engines: ${title(options)}`, async () => {
    const wanted = referenceLogits(hparams, parameters, IDS).flat();
    const cpu = (precision: Precision, native: boolean): Promise<Float32Array> =>
      createCpuEngine(hparams, source, { precision, native, threads: 2 }).then(logitsOf);
    const wasm = await cpu("float32", false);
    assert.ok(difference(wasm, wanted) < 3e-6, `wasm: ${difference(wasm, wanted)}`);
    const int8 = await cpu("int8", false);
    assert.ok(difference(int8, wanted) < 0.05, `int8: ${difference(int8, wanted)}`);
    if (tryNative("gpt2").works) {
      assert.deepEqual(bits(await cpu("float32", true)), bits(wasm));
      assert.deepEqual(bits(await cpu("int8", true)), bits(int8));
    }
    for (const backend of ["tfjs-wasm", "tfjs-cpu"] as const) {
      const logits = await createTfjsEngine(hparams, source, { backend }).then(logitsOf);
      assert.ok(difference(logits, wanted) < 5e-6, `${backend}: ${difference(logits, wanted)}`);
    }
  });

  test(`webgpu: ${title(options)}`, { skip: NO_GPU ?? false }, async () => {
    const wanted = referenceLogits(hparams, parameters, IDS).flat();
    const logits = await createWebgpuEngine(hparams, source, { gpu: ANY_GPU }).then(logitsOf);
    assert.ok(difference(logits, wanted) < 1e-5, `${difference(logits, wanted)}`);
  });

  describe(`trainers: ${title(options)}`, () => {
    const rows = [IDS.slice(0, 7), IDS.slice(6, 13)];
    const trainers: readonly [string, () => Promise<Trainer>][] = [
      ["wasm", () => createCpuTrainer(hparams, source, { threads: 2 })],
      ["wasm with recompute", () => createCpuTrainer(hparams, source, { threads: 2, recompute: true })],
      ["tfjs-cpu", () => createTfjsTrainer(hparams, source, { backend: "tfjs-cpu" })],
      ["tfjs-wasm", () => createTfjsTrainer(hparams, source, { backend: "tfjs-wasm", recompute: true })],
    ];
    for (const [name, create] of trainers) {
      test(name, async () => {
        const trainer = await create();
        const loss = await trainer.accumulate(rows);
        const wide = new Map([...parameters].map(([key, values]) => [key, Float64Array.from(values)]));
        assert.ok(Math.abs(loss - referenceLoss(hparams, wide, rows)) < 2e-5, `loss ${loss}`);
        for (const [key, gradient] of await gradientsOf(trainer)) {
          const scale = largest(gradient);
          const values = wide.get(key)!;
          const i = gradient.findIndex((g) => Math.abs(g) === scale);
          const slope = slopeAt(values, i, () => referenceLoss(hparams, wide, rows));
          assert.ok(Math.abs(gradient[i] - slope) < 2e-4 * scale + 1e-7, `${key}: ${gradient[i]}, ${slope}`);
        }
        await trainer.dispose();
      });
    }

    test("native kernels train the same bits", { skip: !tryNative("train").works }, async () => {
      const weights = await Promise.all(
        [false, true].map(async (native) => {
          const trainer = await createCpuTrainer(hparams, source, { threads: 2, native });
          await trainer.accumulate(rows);
          await trainer.update(0.01);
          const all: Uint8Array[] = [];
          for (const [key, values] of parameters) {
            const target = new Float32Array(values.length);
            await trainer.weights.read(key, target);
            all.push(bits(target));
          }
          await trainer.dispose();
          return Buffer.concat(all);
        }),
      );
      assert.ok(weights[0].equals(weights[1]));
    });
  });
}

/** How the loss changes with one value, by a central difference. */
function slopeAt(values: Float64Array, i: number, loss: () => number): number {
  const [at, step] = [values[i], 1e-5];
  const [above, below] = [at + step, at - step].map((value) => {
    values[i] = value;
    return loss();
  });
  values[i] = at;
  return (above - below) / (2 * step);
}
