/** Benchmarks and scripts are run by hand: this checks that the program exports what they import. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { globSync } from "tinyglobby";
import { ROOT } from "../support/spawn.js";

test("benchmarks and scripts import what the program exports", async () => {
  const scripts = globSync(["bench/**/*.mjs", "scripts/**/*.mjs", "native/*.mjs", "deploy/**/*.mjs"], {
    cwd: ROOT,
    ignore: "**/node_modules/**",
  });
  let imports = 0;
  for (const script of scripts) {
    const path = join(ROOT, script);
    const found = readFileSync(path, "utf8").matchAll(/^import \{([^}]+)\} from "([^"]*dist\/[^"]+)";/gm);
    for (const [, names, from] of found) {
      const module = await import(pathToFileURL(resolve(dirname(path), from)).href);
      for (const name of names.split(",").map((word) => word.trim().split(" as ")[0])) {
        assert.ok(!name || name in module, `${script}: ${from} exports no ${name}`);
        imports++;
      }
    }
  }
  assert.ok(imports > 10, `${imports} imports found`);
});
