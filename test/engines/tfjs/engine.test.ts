import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import type * as TfCore from "@tensorflow/tfjs-core";
import type { TfjsBackend } from "../../../dist/src/engines/backends.js";
import { loadTf, restoreRemovedUtil } from "../../../dist/src/engines/tfjs/backend.js";
import { createTfjsEngine } from "../../../dist/src/engines/tfjs/engine.js";
import { testConformance } from "../../support/conformance.js";
import { type Fixture, MICRO, withSource } from "../../support/models.js";

const require = createRequire(import.meta.url);

const conform = (backend: TfjsBackend, fixtures?: readonly Fixture[]): void =>
  testConformance(backend, (hparams, source) => createTfjsEngine(hparams, source, { backend }), fixtures);

/** The packages that bring libtensorflow are tested where they are installed and work. */
async function works(backend: TfjsBackend): Promise<boolean> {
  return loadTf(backend).then(
    () => true,
    () => false,
  );
}

conform("tfjs-wasm");
conform("tfjs-cpu", [MICRO]); // plain JavaScript: the larger model takes it a minute
for (const backend of ["tfjs-node", "tfjs-node-gpu"] as const) {
  if (await works(backend)) conform(backend);
  else
    test(`${backend}`, { skip: `@tensorflow/${backend} is not installed or does not work here` }, () => {});
}

test("no tensor is left behind: not by a pass, a fork, a freed sequence or the engine", async () => {
  const { tf } = await loadTf("tfjs-wasm");
  const before = tf.memory().numTensors;
  const engine = await withSource(MICRO, (hparams, source) =>
    createTfjsEngine(hparams, source, { backend: "tfjs-wasm" }),
  );
  const loaded = tf.memory().numTensors;
  assert.ok(loaded > before);
  const a = engine.createSequence();
  await engine.forward([{ sequence: a, ids: [1, 2, 3] }], "none");
  const b = engine.fork(a);
  await engine.forward([
    { sequence: a, ids: [4] },
    { sequence: b, ids: [5] },
  ]);
  const c = engine.fork(b);
  await engine.forward([
    { sequence: a, ids: [4] },
    { sequence: c, ids: [5, 6] },
  ]);
  await engine.forward([{ sequence: b, ids: [7, 8] }], "all");
  const { n_layer } = engine.hparams;
  assert.equal(
    tf.memory().numTensors,
    loaded + 3 * 2 * n_layer,
    "each sequence holds one block of keys and values",
  );
  for (const sequence of [a, b, c]) engine.free(sequence);
  assert.equal(tf.memory().numTensors, loaded);
  const left = engine.createSequence();
  await engine.forward([{ sequence: left, ids: [1] }]);
  await engine.dispose();
  assert.equal(tf.memory().numTensors, before);
});

test("weights that cannot be read leave no tensor behind", async () => {
  const { tf } = await loadTf("tfjs-wasm");
  const before = tf.memory().numTensors;
  await withSource(MICRO, async (hparams, source) => {
    const broken = {
      ...source,
      path: source.path,
      tensors: source.tensors,
      read: async (name: string, target: Float32Array) => {
        if (name === "model/h1/ln_2/g") throw new Error("unplugged");
        return source.read(name, target);
      },
    };
    await assert.rejects(createTfjsEngine(hparams, broken, { backend: "tfjs-wasm" }), /unplugged/);
  });
  assert.equal(tf.memory().numTensors, before);
});

test("the functions that Node 23 removed are put back, those that are there stay", () => {
  const kept = (): boolean => true;
  const util: Record<string, unknown> = { isArray: kept };
  restoreRemovedUtil(util);
  assert.equal(util["isArray"], kept);
  const isNullOrUndefined = util["isNullOrUndefined"] as (value: unknown) => boolean;
  assert.deepEqual([null, undefined, 0, ""].map(isNullOrUndefined), [true, true, false, false]);
});

test("the WebAssembly backend's file is found in its package, without a network", async () => {
  const { backend, version } = await loadTf("tfjs-wasm");
  const tf = require("@tensorflow/tfjs-core") as typeof TfCore;
  assert.deepEqual([backend, tf.getBackend(), version], ["tfjs-wasm", "wasm", tf.version_core]);
});
