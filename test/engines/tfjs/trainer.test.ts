import assert from "node:assert/strict";
import { test } from "node:test";
import type { TfjsBackend } from "../../../dist/src/engines/backends.js";
import { loadTf } from "../../../dist/src/engines/tfjs/backend.js";
import { createTfjsTrainer } from "../../../dist/src/engines/tfjs/trainer.js";
import type { Hparams } from "../../../dist/src/model/hparams.js";
import { initialWeights } from "../../../dist/src/model/initial.js";
import type { TrainerOptions } from "../../../dist/src/model/trainer.js";
import { MICRO, withSource } from "../../support/models.js";
import { trainerConformance } from "../../support/trainer-conformance.js";
import { EXPECTED, readAll } from "../../support/training.js";

const conform = (backend: TfjsBackend): void =>
  trainerConformance(
    `trainer on ${backend}`,
    (hparams, source, options) => createTfjsTrainer(hparams, source, { ...options, backend }),
    { isExact: backend !== "tfjs-node-gpu", isSlow: backend === "tfjs-cpu" },
  );

/** The packages that bring libtensorflow are tested where they are installed and work. */
async function works(backend: TfjsBackend): Promise<boolean> {
  return loadTf(backend).then(
    () => true,
    () => false,
  );
}

conform("tfjs-wasm");
conform("tfjs-cpu");
for (const backend of ["tfjs-node", "tfjs-node-gpu"] as const) {
  if (await works(backend)) conform(backend);
  else
    test(`${backend}`, { skip: `@tensorflow/${backend} is not installed or does not work here` }, () => {});
}

const ways: TrainerOptions[] = [
  {},
  { recompute: true },
  { optimizer: "sgd", only_train_transformer_layers: true },
  { lora_rank: 2, recompute: true },
];
for (const options of ways) {
  test(`no tensor is left behind: ${JSON.stringify(options)}`, async () => {
    const { tf } = await loadTf("tfjs-wasm");
    const before = tf.memory();
    const { rows } = EXPECTED.micro;
    const trainer = await withSource(MICRO, (hparams, source) =>
      createTfjsTrainer(hparams, source, { ...options, backend: "tfjs-wasm" }),
    );
    const counts: number[] = [];
    for (let step = 0; step < 3; step++) {
      for (let batch = 0; batch < 2; batch++) await trainer.accumulate(rows);
      await trainer.evaluate(rows);
      await trainer.gradient(
        [...trainer.state.tensors.keys()].find((name) => name.startsWith("lora/a")) ?? "model/h0/ln_1/g",
        new Float32Array(options.lora_rank ? 64 : 32),
      );
      await assert.rejects(trainer.accumulate([[0, -1]]), RangeError);
      await trainer.update(1e-3);
      for (const source of [trainer.weights, trainer.state]) await readAll(source);
      await trainer.restore(trainer.updates, trainer.state);
      counts.push(tf.memory().numTensors);
    }
    assert.deepEqual(counts, [counts[0], counts[0], counts[0]]);
    await trainer.accumulate(rows);
    await trainer.dispose();
    assert.equal(tf.memory().numTensors, before.numTensors);
    assert.equal(tf.memory().numBytes, before.numBytes);
  });
}

test("recompute needs less memory", async () => {
  const { tf } = await loadTf("tfjs-wasm");
  const hparams: Hparams = { n_vocab: 50, n_ctx: 32, n_embd: 32, n_head: 4, n_layer: 8 };
  const row = Array.from({ length: 33 }, (_, i) => i);
  const peak = async (recompute: boolean): Promise<number> => {
    const trainer = await createTfjsTrainer(hparams, initialWeights(hparams, 1), {
      recompute,
      backend: "tfjs-wasm",
    });
    try {
      const start = tf.memory().numBytes;
      const loss = tf.scalar(0);
      const { peakBytes } = await tf.profile(async () => {
        await trainer.accumulate([row]);
        return loss;
      });
      loss.dispose();
      return peakBytes - start;
    } finally {
      await trainer.dispose();
    }
  };
  const [whole, layerwise] = [await peak(false), await peak(true)];
  const n_bytes = 4 * hparams.n_layer * (12 * 32 * 32 + 13 * 32); // the gradients are there in both cases
  assert.ok(
    layerwise - n_bytes < (whole - n_bytes) / 4,
    `${layerwise} and ${whole} bytes, ${n_bytes} of gradients`,
  );
});

test("weights that cannot be read, and a signal, leave no tensor behind", async () => {
  const { tf } = await loadTf("tfjs-wasm");
  const before = tf.memory().numTensors;
  await withSource(MICRO, async (hparams, source) => {
    const gone = new AbortController();
    const seen: number[] = [];
    const onProgress = (done: number, total: number): void => {
      seen.push(done / total);
      if (done === 5) gone.abort(new Error("enough"));
    };
    const { signal } = gone;
    await assert.rejects(
      createTfjsTrainer(hparams, source, { backend: "tfjs-wasm", signal, onProgress }),
      /enough/,
    );
    assert.equal(seen.length, 5);
    const broken = { ...source, read: async () => assert.fail("unplugged") };
    await assert.rejects(createTfjsTrainer(hparams, broken, { backend: "tfjs-wasm" }), /unplugged/);
    for (const lora_rank of [0, 1.5, -1])
      await assert.rejects(
        createTfjsTrainer(hparams, source, { backend: "tfjs-wasm", lora_rank }),
        RangeError,
      );
  });
  assert.equal(tf.memory().numTensors, before);
});

test("an update without a gradient is refused", async () => {
  const trainer = await withSource(MICRO, (hparams, source) => createTfjsTrainer(hparams, source));
  await assert.rejects(trainer.update(1), RangeError);
  await trainer.dispose();
});
