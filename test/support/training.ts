import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Hparams } from "../../dist/src/model/hparams.js";
import { parameterShapes, sizeOf } from "../../dist/src/model/parameters.js";
import type { Trainer } from "../../dist/src/model/trainer.js";
import type { WeightSource } from "../../dist/src/model/weight-source.js";
import { inProject } from "./models.js";
import { referenceLogits } from "./wasm-reference.js";

export type Rows = readonly (readonly number[])[];

/** What is known of a gradient: its norm, its sum and every 61st value. */
export interface Digest {
  readonly norm: number;
  readonly sum: number;
  readonly values: readonly number[];
}

/** What PyTorch computed in float64: test/fixtures/training/make.py. */
export const EXPECTED = JSON.parse(
  readFileSync(inProject("test/fixtures/training/expected.json"), "utf8"),
) as {
  readonly micro: { readonly rows: Rows; readonly loss: number };
  readonly adam: {
    readonly learning_rate: number;
    readonly text: readonly number[];
    readonly n_time: number;
    /** Of each step: where in the text its rows begin. */
    readonly starts: readonly (readonly number[])[];
    readonly losses: readonly number[];
  };
  readonly odd: {
    readonly hparams: Hparams;
    readonly seed: number;
    readonly batches: readonly {
      readonly rows: Rows;
      readonly loss: number;
      readonly gradients: Readonly<Record<string, Digest>>;
    }[];
  };
};

/** The gradients of EXPECTED.micro. */
export function microGradients(hparams: Hparams): Map<string, Float32Array> {
  const bytes = readFileSync(inProject("test/fixtures/training/micro-gradients.bin"));
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const gradients = new Map<string, Float32Array>();
  let first = 0;
  for (const [name, shape] of parameterShapes(hparams)) {
    gradients.set(name, values.subarray(first, first + sizeOf(shape)));
    first += sizeOf(shape);
  }
  assert.equal(first, values.length);
  return gradients;
}

/** Trains micro for some steps, and holds every loss to PyTorch's. */
export async function followAdam(trainer: Trainer, n_steps: number): Promise<void> {
  const { learning_rate, text, n_time, starts, losses } = EXPECTED.adam;
  assert.ok(n_steps <= losses.length);
  for (const [step, known] of losses.slice(0, n_steps).entries()) {
    const rows = starts[step].map((start) => text.slice(start, start + n_time + 1));
    const loss = await trainer.accumulate(rows);
    assert.ok(Math.abs(loss - known) < 1e-3, `step ${step + 1}: ${loss}, expected ${known}`);
    await trainer.update(learning_rate);
    assert.equal(trainer.updates, step + 1);
  }
}

/** A source's tensors, copied. */
export async function readAll(source: WeightSource): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const [name, { shape }] of source.tensors) {
    const target = new Float32Array(sizeOf(shape));
    await source.read(name, target);
    values.set(name, target);
  }
  return values;
}

/** A copy of a source that stays as it is: what a save does. */
export async function saved(source: WeightSource): Promise<WeightSource> {
  const values = await readAll(source);
  return {
    path: "a save",
    tensors: new Map(source.tensors),
    read: async (name, target) => target.set(values.get(name)!),
    close: async () => undefined,
  };
}

/** The accumulated gradient of one tensor. */
export async function gradientOf(trainer: Trainer, name: string): Promise<Float32Array> {
  const { shape } = (trainer.weights.tensors.get(name) ?? trainer.state.tensors.get(name))!;
  const target = new Float32Array(sizeOf(shape));
  await trainer.gradient(name, target);
  return target;
}

/** The accumulated gradients of all parameters. */
export async function gradientsOf(trainer: Trainer): Promise<Map<string, Float32Array>> {
  const gradients = new Map<string, Float32Array>();
  for (const name of trainer.weights.tensors.keys()) gradients.set(name, await gradientOf(trainer, name));
  return gradients;
}

export const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((max, x) => Math.max(max, Math.abs(x)), 0);

/** Holds every value within `tolerance`, which is relative to the largest of those expected. */
export function close(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
  scale = largest(expected),
): void {
  assert.equal(actual.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) {
    const isClose = Math.abs(actual[i] - expected[i]) <= tolerance * scale; // false for NaN
    assert.ok(isClose, `${what}: value ${i} is ${actual[i]}, expected ${expected[i]} of at most ${scale}`);
  }
}

/** Asserts that two sets of tensors are equal to the bit or, where that is not possible, close. */
export function same(
  actual: ReadonlyMap<string, Float32Array>,
  expected: ReadonlyMap<string, Float32Array>,
  isExact = true,
): void {
  assert.deepEqual([...actual.keys()], [...expected.keys()]);
  for (const [name, values] of expected) {
    if (isExact) assert.ok(Buffer.from(actual.get(name)!.buffer).equals(Buffer.from(values.buffer)), name);
    else close(actual.get(name)!, values, 1e-4, name);
  }
}

/** The mean cross-entropy of rows of tokens, in float64 from the formulas. */
export function referenceLoss(
  hparams: Hparams,
  parameters: ReadonlyMap<string, Float32Array | Float64Array>,
  rows: Rows,
): number {
  let total = 0;
  let n = 0;
  for (const row of rows) {
    for (const [t, logits] of referenceLogits(hparams, parameters, row.slice(0, -1)).entries()) {
      const max = logits.reduce((a, b) => Math.max(a, b));
      const sum = logits.reduce((all, x) => all + Math.exp(x - max), 0);
      total += max + Math.log(sum) - logits[row[t + 1]];
      n++;
    }
  }
  return total / n;
}
