import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { uniform } from "../../dist/src/random.js";
import { kernelsFor } from "../../dist/src/sampling/kernels/create.js";
import { ADJUSTED, BINS, KEPT, type Kernels, LOGITS } from "../../dist/src/sampling/kernels/kernels.js";
import { PlainKernels } from "../../dist/src/sampling/kernels/plain.js";
import { vectorKernels } from "../../dist/src/sampling/kernels/vector.js";
import { expNegative } from "../../dist/src/system/exact-math.js";

const SIZES = [...Array.from({ length: 37 }, (_, i) => i + 1), 1024, 50257];

/** Logits of many kinds: spread, equal, with ties, some -Infinity, some so low that their weight is no normal number. */
const KINDS: Record<string, (u: number, v: number) => number> = {
  spread: (u) => 40 * u - 20,
  "with ties": (u) => Math.floor(6 * u),
  equal: () => 1.25,
  "some -Infinity": (u, v) => (v < 0.3 ? -Infinity : 12 * u),
  "very low": (u) => -800 * u,
  "around 0, of both signs": (u, v) => (v < 0.2 ? (u < 0.5 ? 0 : -0) : u - 0.5),
};

function logitsOf(kind: string, n: number): Float32Array {
  const values = Float32Array.from({ length: n }, (_, i) =>
    KINDS[kind](uniform(3, n, 2 * i), uniform(3, n, 2 * i + 1)),
  );
  values[Math.floor(n / 2)] = 3; // never all -Infinity
  return values;
}

/** All that a call leaves behind, in exact bits: -0 is not 0 here. */
function state(kernels: Kernels, count: number, result?: number): unknown {
  return {
    result,
    numbers: [kernels.total, kernels.moment, kernels.lowest],
    ids: kernels.ids.slice(0, count),
    weights: kernels.weights.slice(0, count),
  };
}

/** Does the same with both, and compares what comes of it; then goes on with the result. */
function same(
  both: readonly Kernels[],
  call: (kernels: Kernels) => number,
  look: (kernels: Kernels, result: number) => unknown,
): number {
  const [vector, plain] = both.map((kernels) => {
    const result = call(kernels);
    return { result, seen: look(kernels, result) };
  });
  assert.deepEqual(vector, plain);
  return vector.result;
}

describe("the kernels in vectors have the plain ones' bits", () => {
  for (const kind of Object.keys(KINDS)) {
    test(kind, () => {
      for (const n of SIZES) {
        const both = [vectorKernels(n), new PlainKernels(n)];
        const logits = logitsOf(kind, n);
        for (const kernels of both) kernels.logits.set(logits);
        const best = same(
          both,
          (kernels) => kernels.argmax(LOGITS, n),
          () => 0,
        );
        const max = logits[best];
        for (const id of [0, best, n - 1])
          same(
            both,
            (kernels) => kernels.rankOf(n, id),
            () => 0,
          );
        for (const kernels of both) kernels.widen(n);
        same(
          both,
          (kernels) => kernels.sumOfExp(n, max),
          () => 0,
        );
        for (const source of [LOGITS, ADJUSTED] as const) {
          same(
            both,
            (kernels) => kernels.keepAbove(source, n, max - 0.7),
            (kernels, found) => [kernels.ids.slice(0, found), kernels.kept.slice(0, found)],
          );
        }
        for (const k of [1, Math.min(2, n), Math.ceil(n / 3), n]) {
          for (const source of [LOGITS, ADJUSTED] as const) {
            for (const kernels of both) kernels.widen(n);
            const count = same(
              both,
              (kernels) => kernels.keepLargest(source, n, k),
              (kernels, found) => [kernels.ids.slice(0, found), kernels.kept.slice(0, found)],
            );
            same(
              both,
              (kernels) => {
                kernels.weigh(KEPT, count, max, 0.8, false);
                return kernels.walk(count, kernels.total / 2);
              },
              (kernels) => state(kernels, count),
            );
          }
        }
        for (const [source, temperature] of [
          [LOGITS, 1],
          [ADJUSTED, 1],
          [LOGITS, 0.7],
          [ADJUSTED, 1.3],
        ] as const) {
          const weighed = (kernels: Kernels): void => {
            kernels.widen(n);
            kernels.keepAll(n);
            kernels.weigh(source, n, max, temperature, true);
          };
          same(
            both,
            (kernels) => {
              weighed(kernels);
              return kernels.walk(n, 0.9 * kernels.total);
            },
            (kernels) => [state(kernels, n), kernels.exponents.slice(0, n)],
          );
          assert.deepEqual(
            both[0].weights.slice(0, n),
            Float64Array.from(logits, (logit) => expNegative((logit - max) / temperature)),
          );
          same(
            both,
            (kernels) => {
              const found = kernels.findHeavy(n, 0.1);
              kernels.keepPlaces(found);
              return found;
            },
            state,
          );
          for (const kernels of both) weighed(kernels);
          const { moment, total, lowest } = both[0];
          const scale = lowest < 0 ? (BINS - 1) / -lowest : 0;
          same(
            both,
            (kernels) => {
              kernels.measure(n, moment / total, scale, BINS);
              return kernels.findBin(n, 7, scale);
            },
            (kernels, found) => [kernels.bins.slice(), kernels.places.slice(0, found)],
          );
          const limit = both[1].exponents[Math.floor(n / 3)];
          same(both, (kernels) => kernels.keepNear(n, limit), state);
        }
      }
    });
  }

  test("a value that is not a number, wherever it stands", () => {
    for (const kernels of [vectorKernels(50), new PlainKernels(50)]) {
      for (let n = 1; n <= 50; n++) {
        for (const value of [Number.NaN, Infinity]) {
          for (let place = 0; place < n; place++) {
            kernels.logits.fill(-1, 0, n);
            kernels.logits[place] = value;
            kernels.widen(n);
            assert.equal(kernels.argmax(LOGITS, n), -1);
            assert.equal(kernels.argmax(ADJUSTED, n), -1);
            if (Number.isNaN(value)) assert.ok(Number.isNaN(kernels.sumOfExp(n, -1)));
          }
        }
        kernels.logits.fill(-Infinity, 0, n);
        assert.equal(kernels.argmax(LOGITS, n), -1);
      }
    }
  });
});

test("the sum of e^x is within 1e-7 of float64's", () => {
  for (const kind of Object.keys(KINDS)) {
    const logits = logitsOf(kind, 50257);
    const max = logits.reduce((a, b) => Math.max(a, b));
    const wanted = logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0);
    const kernels = vectorKernels(50257);
    kernels.logits.set(logits);
    assert.ok(Math.abs(kernels.sumOfExp(50257, max) / wanted - 1) < 1e-7, kind);
  }
});

test("there is room for the largest vocabulary that was asked for, and no less", () => {
  const small = kernelsFor(10);
  assert.equal(kernelsFor(100), small);
  assert.ok(kernelsFor(60_000).logits.length >= 60_000);
  assert.ok(kernelsFor(10).logits.length >= 60_000);
});
