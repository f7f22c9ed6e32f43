import assert from "node:assert/strict";
import { test } from "node:test";
import type { Hparams } from "../../dist/src/model/hparams.js";
import { initialWeights, loraStart, loraTargets, normal } from "../../dist/src/model/initial.js";
import { parameterShapes, sizeOf } from "../../dist/src/model/parameters.js";
import { MAX_SEED } from "../../dist/src/random.js";

const HPARAMS: Hparams = { n_vocab: 500, n_ctx: 100, n_embd: 48, n_head: 3, n_layer: 8 };

const draw = (seed: number, name: string, deviation: number, length: number): Float32Array => {
  const target = new Float32Array(length);
  normal(seed, name, deviation, target);
  return target;
};

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, x) => sum + x, 0) / values.length;

test("normal numbers have the normal distribution", () => {
  const n = 100_000;
  const values = Array.from(draw(7, "a", 1, n));
  const moment = (k: number): number => mean(values.map((x) => x ** k));
  // Each bound is four standard errors of that moment.
  assert.ok(Math.abs(moment(1)) < 4 / Math.sqrt(n));
  assert.ok(Math.abs(moment(2) - 1) < 4 * Math.sqrt(2 / n));
  assert.ok(Math.abs(moment(3)) < 4 * Math.sqrt(15 / n));
  assert.ok(Math.abs(moment(4) - 3) < 4 * Math.sqrt(96 / n));
  const share = (limit: number): number => values.filter((x) => Math.abs(x) < limit).length / n;
  for (const [limit, expected] of [
    [0.6744898, 0.5],
    [1.959964, 0.95],
    [3.290527, 0.999],
  ]) {
    assert.ok(Math.abs(share(limit) - expected) < 4 * Math.sqrt((expected * (1 - expected)) / n), `${limit}`);
  }
  // Neither the two of a pair nor the neighbours of different pairs hang together.
  for (const lag of [1, 2, 3]) {
    const products = values.slice(lag).map((x, i) => x * values[i]);
    assert.ok(Math.abs(mean(products)) < 4 / Math.sqrt(n), `lag ${lag}`);
  }
});

test("a normal number depends on seed, name and place alone", () => {
  const long = draw(3, "x", 1, 101);
  assert.deepEqual(draw(3, "x", 1, 8), long.slice(0, 8));
  assert.deepEqual(draw(3, "x", 1, 7), long.slice(0, 7));
  const others = [draw(3, "y", 1, 101), draw(4, "x", 1, 101), draw(3 + 2 ** 32, "x", 1, 101)];
  others.push(draw(MAX_SEED, "x", 1, 101), draw(3, "xx", 1, 101), draw(3, "", 1, 101));
  const all = [long, ...others].flatMap((values) => [...values]);
  assert.equal(new Set(all).size, all.length);
});

test("the start of a model: deviations, zeros and ones", async () => {
  const source = initialWeights(HPARAMS, 11);
  const shapes = parameterShapes(HPARAMS);
  assert.deepEqual([...source.tensors.keys()], [...shapes.keys()]);
  for (const [name, { shape }] of source.tensors) {
    assert.deepEqual(shape, shapes.get(name));
    const values = new Float32Array(sizeOf(shape));
    await source.read(name, values);
    if (name.endsWith("/b")) assert.ok(values.every((x) => x === 0));
    else if (name.endsWith("/g")) assert.ok(values.every((x) => x === 1));
    else {
      const expected = name === "model/wpe" ? 0.01 : name.endsWith("c_proj/w") ? 0.005 : 0.02;
      const deviation = Math.sqrt(mean(values.map((x) => x * x)));
      const relative = deviation / expected - 1;
      assert.ok(Math.abs(relative) < 4 / Math.sqrt(2 * values.length), `${name}: ${deviation}`);
    }
  }
  await assert.rejects(source.read("model/h8/ln_1/g", new Float32Array(48)), RangeError);
  await assert.rejects(source.read("model/wpe", new Float32Array(48)), RangeError);
});

test("LoRA's start is laid beside four matrices a layer", () => {
  const targets = loraTargets(HPARAMS);
  assert.equal(targets.length, 4 * 8);
  assert.deepEqual(targets.slice(4, 8), [
    "model/h1/attn/c_attn/w",
    "model/h1/attn/c_proj/w",
    "model/h1/mlp/c_fc/w",
    "model/h1/mlp/c_proj/w",
  ]);
  const a = loraStart(targets[0], 1024, 8, 5);
  assert.equal(a.length, 8192);
  const deviation = Math.sqrt(mean(a.map((x) => x * x)));
  assert.ok(Math.abs(deviation * 32 - 1) < 4 / Math.sqrt(2 * a.length), `${deviation}`);
  assert.notEqual(loraStart(targets[1], 1024, 8, 5)[0], a[0]);
});
