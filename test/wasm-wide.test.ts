/// <reference path="../src/engines/wasm/webassembly.d.ts" />
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { readProgram } from "../dist/src/engines/wasm/pool.js";
import { enableRelaxedSimd } from "../dist/src/engines/wasm/support.js";
import { canWiden, compileWide, tryTiles } from "../dist/src/engines/wasm/widen.js";

const skip = canWiden() ? false : "only Node 24 on x64 joins vectors";

/** The bits of all weights after some steps, in a process of its own: a module stays as it was compiled first. */
function bitsAfterSteps(options: object): string {
  return execFileSync(
    process.execPath,
    ["--import", "tsx", "test/support/train-steps.ts", JSON.stringify(options)],
    { encoding: "utf8" },
  );
}

test("wide panels give the bits of narrow ones, whatever the sizes", () => {
  for (const fastMath of [true, false]) {
    const narrow = bitsAfterSteps({ fastMath, widen: false, wide: false });
    assert.match(narrow, /^[0-9a-f]{64} [0-9a-f]{64}\n$/);
    assert.equal(bitsAfterSteps({ fastMath, widen: false, wide: true }), narrow);
  }
});

test("vectors of eight values give the bits of vectors of four", { skip }, () => {
  const narrow = bitsAfterSteps({ fastMath: true, widen: false });
  for (const wide of [false, true])
    assert.equal(bitsAfterSteps({ fastMath: true, widen: true, wide }), narrow, `wide panels: ${wide}`);
});

test("the trial of the tiles finds them right", {
  skip: !enableRelaxedSimd() && "no relaxed SIMD",
}, async () => {
  const bytes = await readProgram("train-relaxed.wasm");
  const { right, narrow, wide } = tryTiles(canWiden() ? compileWide(bytes) : new WebAssembly.Module(bytes));
  assert.ok(right);
  assert.ok(narrow > 0 && wide > 0);
});

test("the trial finds a tile that is wrong", async () => {
  const bytes = await readProgram("train-relaxed.wasm");
  let found = 0;
  // One instruction of the module at a time is another one: relaxed_madd (0x105) becomes relaxed_nmadd (0x106).
  for (let i = 0; i + 2 < bytes.length && found < 3; i++) {
    if (bytes[i] !== 0xfd || bytes[i + 1] !== 0x85 || bytes[i + 2] !== 0x02) continue;
    const broken = bytes.slice();
    broken[i + 1] = 0x86;
    if (!tryTiles(new WebAssembly.Module(broken)).right) found++;
  }
  assert.equal(found, 3);
});
