import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findGpu } from "../../dist/src/engines/webgpu/adapter.js";
import { messageOf } from "../../dist/src/system/errors.js";

/** SwiftShader, the GPU in software that Debian's chromium brings. */
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";
if (process.env["VK_DRIVER_FILES"] === undefined && existsSync(SWIFTSHADER))
  process.env["VK_DRIVER_FILES"] = SWIFTSHADER;
process.env["XDG_RUNTIME_DIR"] ??= mkdtempSync(join(tmpdir(), "xdg-")); // Dawn would miss it aloud

/** What --gpu takes for any adapter, software included: every name contains it. */
export const ANY_GPU = "";

/** Why nothing can be computed by WebGPU here; undefined where it can. */
export const NO_GPU: string | undefined = await findGpu(ANY_GPU).then(
  () => undefined,
  (error: unknown) => `WebGPU cannot be tested here: ${messageOf(error)}`,
);

/** Whether the GPU is software on the processor. */
export const IS_SOFTWARE = NO_GPU === undefined && (await findGpu(ANY_GPU)).isSoftware;
