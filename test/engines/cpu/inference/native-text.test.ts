/** The built program, as users run it: the same bytes from every set of kernels, and from WebAssembly. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { kernelSets } from "../../../../dist/src/engines/cpu/runtime/native.js";
import { openAddon } from "../../../../dist/src/system/addon.js";
import { PACKAGE_ROOT } from "../../../../dist/src/system/package.js";

const platform = `${process.platform}-${process.arch}`;
const prebuilds = join(PACKAGE_ROOT, "prebuilds");
const absent = existsSync(join(prebuilds, platform)) ? false : `no native kernels for ${platform}`;
const sets = absent ? [] : kernelSets(openAddon(prebuilds, platform));

/** What a sampled batch of stories gives on stdout. */
async function text(backend: string, kernels: string, ...options: string[]): Promise<string> {
  const words = ["generate", "Once upon", "--model_name", "stories", "--seed", "5", "--length", "40"];
  const batch = ["--nsamples", "3", "--batch_size", "3", "--top_k", "40", "--backend", backend];
  const running = promisify(execFile)(
    process.execPath,
    [join(PACKAGE_ROOT, "bin", "gpt2.js"), ...words, ...batch, ...options],
    { env: { ...process.env, GPT2_KERNELS: kernels } },
  );
  running.child.stdin?.end(); // it would be waited for
  const { stdout } = await running;
  assert.ok(stdout.length > 100);
  return stdout;
}

describe("a sampled text", { skip: absent }, () => {
  for (const precision of ["float32", "float16", "int8"]) {
    test(`is the same in ${precision} from all kernels, for 1 to 3 threads`, async () => {
      const wanted = await text("wasm", "", "--precision", precision, "--threads", "1");
      for (const [i, { description }] of sets.entries()) {
        const threads = String((i % 3) + 1);
        const given = await text("native", description, "--precision", precision, "--threads", threads);
        assert.equal(given, wanted, description);
      }
    });
  }

  test("kernels that are not here are named, with those that are", async () => {
    await assert.rejects(text("native", "avx1024"), { code: 1, stderr: /no kernels avx1024 here/ });
  });
});
