import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { tryNative } from "../../dist/src/engines/cpu/runtime/native-trial.js";
import { SHAKESPEARE } from "../support/models.js";
import { assertDone, assertFails, gpt2 } from "../support/spawn.js";

const native = tryNative("gpt2");
const skip = native.works ? false : native.reason;
const sample = ["generate", "ROMEO:", "--model_name", SHAKESPEARE.folder, "--seed", "3", "--length", "20"];

/** What a run says about the kernels that compute, and its text. */
async function run(args: readonly string[], env: Record<string, string> = {}): Promise<[string, string]> {
  const result = await gpt2([...sample, ...args], { env: { ...process.env, DEBUG: "gpt2", ...env } });
  assert.equal(result.code, 0, result.stderr);
  return [/computing with (\w+) kernels/.exec(result.stderr)?.[1] ?? "", result.stdout];
}

describe("which kernels compute", () => {
  test("--backend says it, else $GPT2_BACKEND, else the best that works; the text is the same", async () => {
    const [byDefault, text] = await run([]);
    assert.equal(byDefault, native.works ? "native" : "wasm");
    assert.deepEqual(await run(["--backend", "wasm"]), ["wasm", text]);
    assert.deepEqual(await run([], { GPT2_BACKEND: "wasm" }), ["wasm", text]);
    assert.deepEqual(await run(["--backend", "wasm"], { GPT2_BACKEND: "tfjs" }), ["wasm", text]);
    assert.deepEqual(await run(["--precision", "float16", "--backend", "wasm"]), ["wasm", text]);
  });

  test("native kernels, also by option", { skip }, async () => {
    const [, text] = await run(["--backend", "wasm"]);
    assert.deepEqual(await run(["--backend", "native"]), ["native", text]);
    assert.deepEqual(await run(["--backend", "native", "--precision", "float16"]), ["native", text]);
  });

  test("where native kernels cannot be had: WebAssembly's, and a line for who asks for them", async () => {
    const env = { GPT2_KERNELS: "vax" };
    assert.equal((await run([], env))[0], "wasm");
    const asked = await gpt2([...sample, "--backend", "native"], { env: { ...process.env, ...env } });
    assertFails(asked, 1, /native kernels cannot be used \(.*vax.*\): use --backend wasm/);
    const version = await gpt2(["--version"], { env: { ...process.env, ...env } });
    assertDone(version);
    assert.match(version.stdout, /WebAssembly kernels on \d+ threads?; no native kernels: .*vax/);
  });

  test("--version names the kernels", async () => {
    const { stdout } = await gpt2(["--version"]);
    if (native.works) assert.ok(stdout.includes(`native kernels (${native.description}) on `), stdout);
    else assert.match(stdout, /WebAssembly kernels on/);
    const wasm = await gpt2(["--version"], { env: { ...process.env, GPT2_BACKEND: "wasm" } });
    assert.match(wasm.stdout, /WebAssembly kernels on \d+ threads?\n$/);
  });

  test("a $GPT2_BACKEND that there is not: one line, exit code 2", async () => {
    const result = await gpt2(sample, { env: { ...process.env, GPT2_BACKEND: "cuda" } });
    assertFails(
      result,
      2,
      /\$GPT2_BACKEND: --backend must be one of auto, .*native, .*wasm, .*tfjs.*, not "cuda"/,
    );
  });
});
