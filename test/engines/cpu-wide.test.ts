/// <reference path="../../src/engines/cpu/runtime/webassembly.d.ts" />
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { readProgram } from "../../dist/src/engines/cpu/runtime/pool.js";
import { chooseProgram } from "../../dist/src/engines/cpu/runtime/program.js";
import { enableRelaxedSimd } from "../../dist/src/engines/cpu/runtime/support.js";
import { isWideFaster, type Trial, tryRows, tryTiles } from "../../dist/src/engines/cpu/runtime/trial.js";
import { canWiden, compileWide } from "../../dist/src/engines/cpu/runtime/widen.js";

const skip = canWiden() ? false : "only Node 24 to 26 on x64 join vectors";

/** What a helper prints, in a process of its own: a module stays as it was compiled first. */
function printed(helper: string, options: object): string {
  const args = ["--import", "tsx", `test/support/${helper}.ts`, JSON.stringify(options)];
  return execFileSync(process.execPath, args, { encoding: "utf8" });
}

for (const [helper, builds] of [
  ["train-steps", [true]], // the trainer's wide panels are in a build of their own, with relaxed SIMD
  ["engine-steps", [true, false]],
] as const) {
  test(`wide panels give the bits of narrow ones, whatever the sizes: ${helper}`, () => {
    for (const fastMath of builds) {
      const narrow = printed(helper, { fastMath, widen: false, wide: false });
      assert.match(narrow, /^[0-9a-f]{64}( [0-9a-f]{64})+\n$/);
      assert.equal(printed(helper, { fastMath, widen: false, wide: true }), narrow);
    }
  });

  test(`vectors of eight values give the bits of vectors of four: ${helper}`, { skip }, () => {
    const narrow = printed(helper, { fastMath: true, widen: false });
    for (const wide of [false, true])
      assert.equal(printed(helper, { fastMath: true, widen: true, wide }), narrow, `wide panels: ${wide}`);
  });
}

const PROGRAMS = [
  ["train-wide.wasm", tryTiles],
  ["gpt2-relaxed.wasm", tryRows],
] as const;
for (const [program, trial] of PROGRAMS) {
  test(`the trial finds the kernels right: ${program}`, async () => {
    assert.ok(enableRelaxedSimd());
    const bytes = await readProgram(program);
    const { right, narrow, wide } = trial(canWiden() ? compileWide(bytes) : new WebAssembly.Module(bytes));
    assert.ok(right);
    assert.ok(narrow > 0 && wide > 0);
  });

  test(`the trial finds a kernel that is wrong: ${program}`, async () => {
    const bytes = await readProgram(program);
    let found = 0;
    // One instruction at a time is another one: relaxed_madd (0x105) becomes relaxed_nmadd (0x106).
    for (let i = 0; i + 2 < bytes.length && found < 3; i++) {
      if (bytes[i] !== 0xfd || bytes[i + 1] !== 0x85 || bytes[i + 2] !== 0x02) continue;
      const broken = bytes.slice();
      broken[i + 1] = 0x86;
      if (!trial(new WebAssembly.Module(broken)).right) found++;
    }
    assert.equal(found, 3);
  });
}

test("the wide kernel is chosen where vectors were joined, and only there", () => {
  assert.ok(isWideFaster({ right: true, narrow: 18, wide: 12 }));
  assert.ok(!isWideFaster({ right: true, narrow: 18, wide: 36 }));
});

test("a wide build is used where its trial says that it is right and faster, and only there", {
  skip,
}, async () => {
  const builds = { plain: "train.wasm", relaxed: "train-relaxed.wasm", wide: "train-wide.wasm" };
  const chosen = async (trial: Trial, options = {}): Promise<string> => {
    const { program } = await chooseProgram(
      { ...builds, tryKernels: () => trial },
      { fastMath: true, ...options },
    );
    return typeof program === "string" ? program : "joined";
  };
  const faster = { right: true, narrow: 18, wide: 12 };
  assert.equal(await chosen(faster), "joined");
  assert.equal(await chosen({ ...faster, right: false }), builds.relaxed);
  assert.equal(await chosen({ ...faster, wide: 36 }), builds.relaxed);
  assert.equal(await chosen(faster, { fastMath: false }), builds.plain);
});
