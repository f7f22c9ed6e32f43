import { test } from "node:test";
import { createWebgpuEngine } from "../../../dist/src/engines/webgpu/engine.js";
import { testConformance } from "../../support/conformance.js";
import { MICRO, SHAKESPEARE } from "../../support/models.js";
import { ANY_GPU, IS_SOFTWARE, NO_GPU } from "../../support/webgpu.js";

if (NO_GPU) test("webgpu: conformance", { skip: NO_GPU }, () => {});
else {
  testConformance(
    "webgpu",
    (hparams, source) => createWebgpuEngine(hparams, source, { gpu: ANY_GPU }),
    // A GPU in software takes minutes for the larger model.
    IS_SOFTWARE ? [MICRO] : [MICRO, SHAKESPEARE],
  );
}
