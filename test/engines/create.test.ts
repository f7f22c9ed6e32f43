import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createEngine } from "../../dist/src/engines/create.js";
import { MICRO, withSource } from "../support/models.js";

/** Loading a large model takes many seconds: it must be possible to abort it. */
describe("loading is given up when its signal says so", () => {
  for (const backend of ["wasm", "tfjs-cpu"] as const) {
    for (const precision of backend === "wasm" ? (["float32", "int8"] as const) : (["float32"] as const)) {
      test(`${backend}, ${precision}: with the signal's reason, after the tensor that is being read`, async () => {
        await withSource(MICRO, async (hparams, source) => {
          const controller = new AbortController();
          const reason = new Error("enough");
          let reads = 0;
          const watched = {
            path: source.path,
            tensors: source.tensors,
            close: () => source.close(),
            read: async (name: string, target: Float32Array) => {
              if (++reads === 3) controller.abort(reason);
              await source.read(name, target);
            },
          };
          await assert.rejects(
            createEngine(hparams, watched, { backend, precision, signal: controller.signal }),
            (error) => error === reason,
          );
          assert.ok(reads <= 4, `${reads} of ${source.tensors.size} tensors were read`);
        });
      });
    }
  }
});
