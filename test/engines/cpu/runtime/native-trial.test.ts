/// <reference path="../../../../src/engines/cpu/runtime/webassembly.d.ts" />
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadNative } from "../../../../dist/src/engines/cpu/runtime/native.js";
import {
  hashOfTrial,
  TRIAL_HASHES,
  tryNative,
} from "../../../../dist/src/engines/cpu/runtime/native-trial.js";
import {
  isFused,
  type Kernels,
  loadProgram,
  wasmKernels,
} from "../../../../dist/src/engines/cpu/runtime/program.js";

const PROGRAMS = {
  gpt2: ["prepare", "linear_float32", "linear_int8"],
  train: ["matmul_block", "layernorm_backward_rows", "layernorm_backward_columns", "activation_backward"],
} as const;

for (const program of ["gpt2", "train"] as const) {
  const { kernels: module } = await loadProgram(program, false);
  const make = (memory: WebAssembly.Memory): Kernels => wasmKernels(module!, memory, 0);

  test(`WebAssembly's kernels give the trial's bits: ${program}`, async () => {
    assert.ok(await isFused(), "this machine has no fused multiply-add: its bits are other ones");
    assert.equal(hashOfTrial(program, make), TRIAL_HASHES[program]);
  });

  for (const name of PROGRAMS[program]) {
    test(`the trial finds a wrong ${name}`, () => {
      const hash = hashOfTrial(program, (memory) => {
        const kernels = make(memory);
        const words = new Uint32Array(memory.buffer);
        // In the last word that the kernel writes, the last bit is another one.
        const wrong = (...args: number[]): number => {
          const before = words.slice();
          const result = kernels[name](...args);
          words[words.findLastIndex((word, i) => word !== before[i])] ^= 1;
          return result;
        };
        return { ...kernels, [name]: wrong };
      });
      assert.notEqual(hash, TRIAL_HASHES[program]);
    });
  }

  test(`native kernels are used where they load and give the trial's bits, else there is a reason: ${program}`, () => {
    const native = loadNative();
    const trial = tryNative(program);
    if (typeof native === "string") assert.deepEqual(trial, { works: false, reason: native });
    else assert.deepEqual(trial, { works: true, description: native.description });
  });
}
