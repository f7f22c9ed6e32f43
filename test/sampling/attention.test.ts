/** Attention weights against float64's: test/fixtures/attention/make.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { createCpuEngine } from "../../dist/src/engines/cpu/inference/engine.js";
import { attention, loadModel } from "../../dist/src/index.js";
import { attentionOf } from "../../dist/src/sampling/attention.js";
import type { Engine } from "../../src/model/engine.js";
import { type Fixture, MICRO, STORIES, withSource } from "../support/models.js";

interface Row {
  readonly place: readonly [layer: number, head: number, row: number];
  readonly weights: readonly number[];
}
const expected = JSON.parse(
  readFileSync(new URL("../fixtures/attention/attention.json", import.meta.url), "utf8"),
) as {
  readonly micro: { readonly ids: number[]; readonly weights: number[] };
  readonly stories: { readonly ids: number[]; readonly rows: Row[] };
};

const engineOf = (model: Fixture, threads: number, precision?: "int8"): Promise<Engine> =>
  withSource(model, (hparams, source) => createCpuEngine(hparams, source, { threads, precision }));

/** The largest difference from what is expected. */
function farthest(weights: Float32Array, wanted: readonly number[]): number {
  assert.equal(weights.length, wanted.length);
  return weights.reduce((most, weight, i) => Math.max(most, Math.abs(weight - wanted[i])), 0);
}

describe("attention weights", { concurrency: false }, () => {
  test("of a whole model equal float64's; the threads do not change a bit", async () => {
    const { ids, weights: wanted } = expected.micro;
    const [one, three] = await Promise.all([engineOf(MICRO, 1), engineOf(MICRO, 3)]);
    const weights = await one.attention!(ids);
    assert.ok(farthest(weights, wanted) < 1e-6, String(farthest(weights, wanted)));
    assert.deepEqual(await three.attention!(ids), weights);
    await Promise.all([one.dispose(), three.dispose()]);
  });

  test("of a text longer than a pass: rows equal float64's, add up to 1, and look at nothing to come", async () => {
    const { ids, rows } = expected.stories;
    const engine = await engineOf(STORIES, 2);
    const { n_layer, n_head, weights } = await attentionOf(engine, ids[0], ids.slice(1));
    const n = ids.length;
    assert.equal(n, 129);
    assert.equal(weights.length, n_layer * n_head * n * n);
    for (let row = 0; row < n_layer * n_head * n; row++) {
      const own = weights.subarray(row * n, (row + 1) * n);
      assert.ok(Math.abs(own.reduce((sum, weight) => sum + weight, 0) - 1) < 1e-5);
      assert.ok(own.subarray((row % n) + 1).every((weight) => weight === 0));
    }
    for (const { place, weights: wanted } of rows) {
      const [layer, head, row] = place;
      const at = ((layer * n_head + head) * n + row) * n;
      const distance = farthest(weights.subarray(at, at + n), wanted);
      assert.ok(distance < 1e-5, `${place}: ${distance}`);
    }
    await engine.dispose();
  });

  test("logits and other sequences are the same before and after", async () => {
    for (const precision of [undefined, "int8"] as const) {
      const engine = await engineOf(MICRO, 2, precision);
      const other = engine.createSequence();
      const logits = async (ids: number[]): Promise<Float32Array> =>
        (await engine.forward([{ sequence: engine.fork(other), ids }]))[0].slice();
      await engine.forward([{ sequence: other, ids: [5, 399, 17] }], "none");
      const before = await logits([3, 1]);
      await engine.attention!(expected.micro.ids);
      assert.deepEqual(await logits([3, 1]), before);
      const controller = new AbortController();
      controller.abort(new Error("enough"));
      await assert.rejects(engine.attention!([1, 2], controller.signal), /enough/);
      await assert.rejects(engine.attention!([1, 400]), RangeError);
      await assert.rejects(engine.attention!([]), RangeError);
      const running = engine.attention!([1, 2]);
      await assert.rejects(engine.forward([{ sequence: other, ids: [1] }]), /one call at a time/);
      await running;
      assert.deepEqual(await logits([3, 1]), before);
      await engine.dispose();
    }
  });

  test("the library: the token that begins a text comes first; what cannot be is said in a line", async () => {
    const model = await loadModel(STORIES.folder);
    const found = await attention(model, "Once upon a time");
    assert.deepEqual(found.ids.slice(1), model.encoder.encode("Once upon a time"));
    assert.equal(found.weights.length, found.n_layer * found.n_head * found.ids.length ** 2);
    assert.equal(found.weights[0], 1);
    await assert.rejects(attention(model, ""), /an empty text has no attention/);
    await assert.rejects(
      attention(model, "a b c d ".repeat(100)),
      /the text has \d+ tokens, and attention is shown for at most 128: give a shorter text/,
    );
    await assert.rejects(attention(model, "a", { top: 1 } as object), RangeError);
    await model.dispose();
    const tfjs = await loadModel(MICRO.folder, { backend: "tfjs" });
    await assert.rejects(attention(tfjs, "a"), /tfjs\S* gives no attention weights: pass backend: "wasm"/);
    await assert.rejects(attention(tfjs, "a b c d ".repeat(20)), /at most 63/);
    await tfjs.dispose();
  });
});
