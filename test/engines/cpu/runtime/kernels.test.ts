import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { createCpuEngine } from "../../../../dist/src/engines/cpu/inference/engine.js";
import type { Precision } from "../../../../dist/src/engines/cpu/inference/weights.js";
import { tryNative } from "../../../../dist/src/engines/cpu/runtime/native-trial.js";
import { createCpuTrainer } from "../../../../dist/src/engines/cpu/training/trainer.js";
import type { Hparams } from "../../../../dist/src/model/hparams.js";
import { readAll } from "../../../support/training-reference.js";
import { generator, randomParameters, sourceOf } from "../../../support/wasm-reference.js";

const float16 = (x: number): number => Math.round(x * 512) / 512; // exact in float16 up to 4

/** No size of the first is a multiple of what kernels like; the second fills panels; the third has long heads. */
const SHAPES: Hparams[] = [
  { n_vocab: 317, n_ctx: 75, n_embd: 35, n_head: 5, n_layer: 2 },
  { n_vocab: 480, n_ctx: 64, n_embd: 96, n_head: 3, n_layer: 2 },
  { n_vocab: 40, n_ctx: 600, n_embd: 160, n_head: 2, n_layer: 1 },
];

/** Batches of 1 to 9 texts of different lengths, read whole and then token by token: a hash of all logits' bits. */
async function logits(
  hparams: Hparams,
  native: boolean,
  precision: Precision,
  threads: number,
): Promise<string> {
  const parameters = randomParameters(hparams, 7);
  for (const values of parameters.values()) for (const [i, x] of values.entries()) values[i] = float16(x);
  const options = { threads, native, precision };
  const engine = await createCpuEngine(hparams, sourceOf(hparams, parameters), options);
  const hash = createHash("sha256");
  assert.equal(engine.name, native ? "native" : "wasm");
  try {
    for (const batch of [1, 2, 3, 9]) {
      const texts = Array.from({ length: batch }, (_, i) => ({
        sequence: engine.createSequence(),
        ids: Array.from(
          { length: 1 + ((13 * i + 29) % (hparams.n_ctx - 2)) },
          (_, t) => (t * 79 + i) % hparams.n_vocab,
        ),
      }));
      for (const rows of await engine.forward(texts, "all")) hash.update(rows.slice());
      for (const id of [3, 11]) {
        const steps = texts.map(({ sequence }) => ({ sequence, ids: [id] }));
        for (const row of await engine.forward(steps)) hash.update(row.slice());
      }
      for (const { sequence } of texts) engine.free(sequence);
    }
  } finally {
    await engine.dispose();
  }
  return hash.digest("hex");
}

const nativeInference = tryNative("gpt2");
const nativeTraining = tryNative("train");
const skip = (trial: typeof nativeInference): string | false => (trial.works ? false : trial.reason);

for (const hparams of SHAPES) {
  const title = `n_embd ${hparams.n_embd}, ${hparams.n_head} heads`;
  test(`native kernels give the logits of WebAssembly's to the bit: ${title}`, {
    skip: skip(nativeInference),
  }, async () => {
    for (const precision of ["float32", "int8"] as const) {
      const wanted = await logits(hparams, false, precision, 2);
      for (const threads of [1, 2, 3])
        assert.equal(
          await logits(hparams, true, precision, threads),
          wanted,
          `${precision}, ${threads} threads`,
        );
    }
  });

  test(`float16 weights give float32's logits of the same values to the bit: ${title}`, async () => {
    const wanted = await logits(hparams, false, "float32", 1);
    for (const native of nativeInference.works ? [false, true] : [false])
      assert.equal(await logits(hparams, native, "float16", 2), wanted, native ? "native" : "WebAssembly");
  });
}

/** Weights after some steps on sequences of two lengths. */
async function weights(hparams: Hparams, native: boolean, threads: number, rank?: number): Promise<string> {
  const source = sourceOf(hparams, randomParameters(hparams, 7));
  const trainer = await createCpuTrainer(hparams, source, { threads, native, lora_rank: rank });
  assert.equal(trainer.name, native ? "native" : "wasm");
  const next = generator(1);
  const hash = createHash("sha256");
  try {
    for (let step = 0; step < 6; step++) {
      const t = step % 2 ? hparams.n_ctx : 7;
      const rows = Array.from({ length: 2 }, () =>
        Array.from({ length: t + 1 }, () => Math.floor(((next() + 1) / 2) * hparams.n_vocab)),
      );
      hash.update(String(await trainer.accumulate(rows)));
      await trainer.update(1e-3);
    }
    for (const values of (await readAll(trainer.weights)).values()) hash.update(values);
  } finally {
    await trainer.dispose();
  }
  return hash.digest("hex");
}

for (const hparams of SHAPES) {
  test(`native kernels train to the weights of WebAssembly's: n_embd ${hparams.n_embd}`, {
    skip: skip(nativeTraining),
  }, async () => {
    for (const rank of [undefined, 3]) {
      const wanted = await weights(hparams, false, 2, rank);
      for (const threads of [1, 3]) assert.equal(await weights(hparams, true, threads, rank), wanted);
    }
  });
}
