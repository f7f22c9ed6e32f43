import assert from "node:assert/strict";
import { test } from "node:test";
import { parseShard } from "../../dist/src/cli/options/numbering.js";
import { numberSamples } from "../../dist/src/sampling/sample-numbers.js";
import { UsageError } from "../../dist/src/system/errors.js";

const listed = (numbering: ReturnType<typeof numberSamples>, most = 50): number[] =>
  Array.from({ length: Math.min(most, numbering.count) }, (_, k) => numbering.numberOf(k));
const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);

test("one machine writes all samples from the first on", () => {
  assert.deepEqual(listed(numberSamples({}, 5)), [0, 1, 2, 3, 4]);
  assert.deepEqual(listed(numberSamples({ first_sample: 8 }, 3)), [7, 8, 9]);
  assert.deepEqual(listed(numberSamples({ first_sample: 8 }, Number.POSITIVE_INFINITY), 3), [7, 8, 9]);
});

test("shards part a run's samples among them: none twice, none lost, for any numbers", () => {
  for (const nsamples of [1, 2, 7, 24]) {
    for (const n of [1, 2, 3, 10]) {
      for (const first_sample of [1, 5]) {
        const all = range(1, n).flatMap((i) =>
          listed(numberSamples({ first_sample, shard: { i, n } }, nsamples)),
        );
        assert.deepEqual(
          all.sort((a, b) => a - b),
          range(first_sample - 1, nsamples),
        );
      }
    }
  }
  assert.deepEqual(
    listed(numberSamples({ shard: { i: 2, n: 3 } }, Number.POSITIVE_INFINITY), 4),
    [1, 4, 7, 10],
  );
});

test("what is there already is left out, wherever it stands", () => {
  const done = new Set([0, 2, 3, 9, 77]);
  assert.deepEqual(listed(numberSamples({}, 8, done)), [1, 4, 5, 6, 7]);
  assert.deepEqual(listed(numberSamples({ first_sample: 3 }, 8, done)), [4, 5, 6, 7, 8]);
  assert.deepEqual(listed(numberSamples({ shard: { i: 1, n: 2 } }, 10, done)), [4, 6, 8]);
  assert.deepEqual(listed(numberSamples({}, 3, new Set([0, 1, 2]))), []);
});

test("a shard is i/n with i from 1 to n", () => {
  assert.deepEqual(parseShard("2/8"), { i: 2, n: 8 });
  for (const text of ["", "2", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1.5/2", "1/ 2"]) {
    assert.throws(() => parseShard(text), UsageError, text);
  }
});

test("a million samples that are there already: the numbers of the others, found without walking over them", () => {
  // Every third is missing; a walk over what is there for each number would take hours.
  const done = new Set(range(0, 1_500_000).filter((number) => number % 3 !== 1));
  const numbering = numberSamples({}, 1_500_000, done);
  assert.equal(numbering.count, 500_000);
  for (let k = 0; k < numbering.count; k++) assert.equal(numbering.numberOf(k), 3 * k + 1);
});
