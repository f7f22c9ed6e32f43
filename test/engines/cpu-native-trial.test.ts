/// <reference path="../../src/engines/cpu/runtime/webassembly.d.ts" />
import assert from "node:assert/strict";
import { test } from "node:test";
import { CONTROL_AT } from "../../dist/assembly/abi.js";
import { loadNative } from "../../dist/src/engines/cpu/runtime/native.js";
import { hashOfTrial, TRIAL_HASH, tryNative } from "../../dist/src/engines/cpu/runtime/native-trial.js";
import {
  isFused,
  type Kernels,
  loadProgram,
  wasmKernels,
} from "../../dist/src/engines/cpu/runtime/program.js";

const programs = await Promise.all((["gpt2", "train"] as const).map((name) => loadProgram(name, false)));

/** WebAssembly's kernels of both programs. */
const allKernels = (memory: WebAssembly.Memory): Kernels =>
  Object.assign({}, ...programs.map(({ kernels }) => wasmKernels(kernels!, memory, 0)));

test("WebAssembly's kernels give the trial's bits", async () => {
  assert.ok(await isFused(), "this machine has no fused multiply-add: its bits are other ones");
  assert.equal(hashOfTrial(allKernels), TRIAL_HASH);
});

/** Kernels with one that makes a mistake in the last bit of something. */
const KERNELS = ["prepare", "linear_float32", "linear_int8", "matmul_block"];
for (const name of [...KERNELS, "layernorm_backward_rows", "layernorm_backward_columns"]) {
  test(`the trial finds a wrong ${name}`, () => {
    const hash = hashOfTrial((memory) => {
      const kernels = allKernels(memory);
      const words = new Uint32Array(memory.buffer);
      const wrong = (...args: number[]): number => {
        const before = words.slice();
        const result = kernels[name](...args);
        // The first word that it wrote, but for the counters of units.
        const written = words.findIndex((word, i) => i >= CONTROL_AT / 4 + 32 && word !== before[i]);
        words[written] ^= 1;
        return result;
      };
      return { ...kernels, [name]: wrong };
    });
    assert.notEqual(hash, TRIAL_HASH);
  });
}

test("native kernels are used where they load and give the trial's bits, else there is a reason", () => {
  const native = loadNative();
  const trial = tryNative();
  if (typeof native === "string") assert.deepEqual(trial, { works: false, reason: native });
  else assert.deepEqual(trial, { works: true, description: native.description });
});
