import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertDone, gpt2, micro, ROOT, TEMPORARY } from "../support/spawn.js";

/** The files of the program and of its packages that a call loads, as V8's coverage lists them. */
async function loadedBy(args: readonly string[], stdin?: string): Promise<string[]> {
  const folder = mkdtempSync(join(TEMPORARY, "coverage-"));
  assertDone(await gpt2(args, { stdin, env: { NODE_V8_COVERAGE: folder } }));
  const files = readdirSync(folder).flatMap((name) => {
    const { result } = JSON.parse(readFileSync(join(folder, name), "utf8")) as { result: { url: string }[] };
    return result.map(({ url }) => url);
  });
  const own = files.filter((url) => url.startsWith("file:")).map((url) => fileURLToPath(url));
  return own.map((path) => path.slice(ROOT.length).replaceAll("\\", "/"));
}

describe("a command loads what it needs and nothing else", () => {
  const elsewhere = /\/src\/(finetune|download|verify)\/|\/cli\/commands\/(?!NAME\.)/;
  const packages =
    /node_modules\/(d3-|csv-parse|simple-ascii-chart|tinyglobby|undici|yaml|@tensorflow|@huggingface)/;
  const calls: Readonly<Record<string, string[]>> = {
    tokenize: ["tokenize", "hi"],
    generate: ["generate", "hi", ...micro("--length", "2", "--seed", "1")],
    unconditional: ["unconditional", ...micro("--length", "2", "--seed", "1", "--nsamples", "1")],
  };
  for (const [name, args] of Object.entries(calls)) {
    test(`${name}: neither training nor download, and none of their packages`, async () => {
      const files = await loadedBy(args);
      assert.ok(
        files.some((file) => file.endsWith(`/cli/commands/${name}.js`)),
        files.join("\n"),
      );
      const others = new RegExp(elsewhere.source.replace("NAME", name));
      assert.deepEqual(
        files.filter((file) => others.test(file) || packages.test(file)),
        [],
      );
    });
  }
});
