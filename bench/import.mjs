// Time and peak memory of `gpt2 import`, for several folders or files in turns, each run in its own process:
//   node bench/import.mjs FOLDER_WITH_SAFETENSORS FOLDER_WITH_BIN [...]
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const RUNS = 3;
const CHILD = `
  const { importModel } = await import(${JSON.stringify(new URL("../dist/src/models/import.js", import.meta.url).href)});
  const start = performance.now();
  await importModel(process.argv[1], process.argv[2], { dtype: "float32" });
  console.log(performance.now() - start, process.resourceUsage().maxRSS / 1024);
`;
const paths = process.argv.slice(2);
const results = paths.map(() => []);
for (let run = 0; run < RUNS; run++) {
  for (const [i, path] of paths.entries()) {
    const out = mkdtempSync(join(tmpdir(), "gpt2-bench-import-"));
    const args = ["--input-type=module", "-e", CHILD, path, join(out, "model")];
    const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8" });
    rmSync(out, { recursive: true });
    if (status !== 0) throw new Error(stderr);
    results[i].push(stdout.split(" ").map(Number));
  }
}
for (const [i, path] of paths.entries()) {
  const times = results[i].map(([ms]) => ms).sort((a, b) => a - b);
  const memory = Math.max(...results[i].map(([, mib]) => mib));
  console.log(
    `${path}: ${(times[RUNS >> 1] / 1000).toFixed(2)} s (median of ${RUNS}), peak ${memory.toFixed(0)} MiB`,
  );
}
