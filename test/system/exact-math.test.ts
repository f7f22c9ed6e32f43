import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { normal } from "../../dist/src/model/initial.js";
import { cosAndSin, exp2Float, expNegative, log, power } from "../../dist/src/system/exact-math.js";

/** Numbers spread over [0, 1), the same ones every time. */
const spread = Array.from({ length: 2000 }, (_, i) => (i * 0.6180339887498949) % 1);

test("the logarithm is exact to 1e-15", () => {
  assert.ok(Math.abs(log(2) - Math.LN2) < 1e-16);
  assert.ok(Math.abs(log(10) - Math.LN10) < 5e-16);
  assert.ok(Math.abs(log(2 ** -53) + 53 * Math.LN2) < 1e-14);
  assert.equal(log(1), 0);
  for (const u of spread) {
    for (const x of [u + 1e-9, u * 2 ** -50 + 1e-300, u * 1e300 + 1]) {
      const wanted = Math.log(x);
      assert.ok(Math.abs(log(x) - wanted) <= 1e-15 * Math.max(1, Math.abs(wanted)), `log(${x})`);
    }
  }
});

test("cosine and sine of a turn are exact to 1e-15, and at the quarters altogether", () => {
  assert.deepEqual(
    [0, 0.25, 0.5, 0.75, 1].flatMap(cosAndSin).map((x) => x + 0),
    [1, 0, 0, 1, -1, 0, 0, -1, 1, 0],
  );
  const [cos, sin] = cosAndSin(1 / 6); // 1 / 6 is not exact, nor is its cosine
  assert.ok(Math.abs(cos - 0.5) < 1e-15 && Math.abs(sin - Math.sqrt(0.75)) < 1e-15);
  for (const turn of spread) {
    const found = cosAndSin(turn);
    assert.ok(Math.abs(found[0] - Math.cos(2 * Math.PI * turn)) < 2e-15, `cos of ${turn} turns`);
    assert.ok(Math.abs(found[1] - Math.sin(2 * Math.PI * turn)) < 2e-15, `sin of ${turn} turns`);
  }
});

test("whole powers", () => {
  assert.equal(power(0.9, 0), 1);
  assert.equal(power(0.9, 1), 0.9);
  assert.equal(power(3, 20), 3486784401);
  for (const n of [2, 3, 10, 999, 1_000_000])
    assert.ok(Math.abs(power(0.999, n) - 0.999 ** n) <= 1e-13 * 0.999 ** n, `0.999^${n}`);
  assert.equal(power(0.999, 1_000_000_000), 0);
});

test("normal numbers have the same bits in every JavaScript engine", () => {
  const values = new Float32Array(10_001);
  normal(1, "model/wte", 0.02, values);
  const hash = createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex");
  assert.equal(hash, "ec03e14dc3f9f4521a87591ff7c6a3a38e20dbf5a149313f267f7e2358be46a5");
});

test("expNegative is e^x to the last place or two", () => {
  let worst = 0;
  for (let i = 0; i <= 70_000; i++) {
    const x = -i / 100;
    const exact = Math.exp(x);
    if (exact > 1e-300) worst = Math.max(worst, Math.abs(expNegative(x) - exact) / exact);
  }
  assert.ok(worst < 4.5e-16, `relative error ${worst}`);
  assert.equal(expNegative(0), 1);
  assert.equal(expNegative(-Infinity), 0);
  assert.equal(expNegative(-800), 0);
  assert.ok(Math.abs(expNegative(-744) - 1e-323) <= 5e-324);
});

test("exp2Float: within 1.6 2^-23 of 2^y, 0 below -125.5; what is not a number stays none", () => {
  for (let x = 0; x <= 125.5; x += 0.00137) {
    const y = Math.fround(-x);
    const ratio = exp2Float(y) / 2 ** y;
    assert.ok(Math.abs(ratio - 1) < 1.6 * 2 ** -23, `${y}: ${ratio}`);
  }
  assert.deepEqual([0, -1, -125.51, -1000, -Infinity].map(exp2Float), [1, 0.5, 0, 0, 0]);
  assert.ok(Number.isNaN(exp2Float(Number.NaN)));
});
