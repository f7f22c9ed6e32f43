import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_SEED, philox4x32, uniform } from "../dist/src/random.js";

// Known answers published with the authors' Random123 library (kat_vectors, philox4x32, 10 rounds).
const KNOWN = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
] as const;

test("philox4x32 gives the published known answers", () => {
  for (const [counter, key, expected] of KNOWN) assert.deepEqual(philox4x32(counter, key), expected);
});

test("uniform lies in [0, 1), is spread evenly, and depends on seed, sample and token", () => {
  const bins = new Array<number>(20).fill(0);
  const n = 20_000;
  for (let t = 0; t < n; t++) {
    const u = uniform(7, t % 10, Math.floor(t / 10));
    assert.ok(u >= 0 && u < 1);
    bins[Math.floor(u * 20)]++;
  }
  const chi2 = bins.reduce((sum, count) => sum + (count - n / 20) ** 2 / (n / 20), 0);
  assert.ok(chi2 < 43.8, `chi-square ${chi2} of 19 degrees of freedom is beyond the 0.1 % point`);
  const base = uniform(1, 2, 3);
  assert.equal(uniform(1, 2, 3), base);
  const others = [uniform(2, 2, 3), uniform(1, 3, 3), uniform(1, 2, 4), uniform(1 + 2 ** 32, 2, 3)];
  assert.equal(new Set([base, ...others, uniform(MAX_SEED, 2, 3), uniform(1, 2, 3 + 2 ** 32)]).size, 7);
});
