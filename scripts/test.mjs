// Runs the tests in test/ and its folders, or only the fault suite: node scripts/test.mjs [--faults] [FILE...]
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { globSync } from "tinyglobby";

const words = process.argv.slice(2);
const faults = words[0] === "--faults";
const named = words.slice(faults ? 1 : 0);
const pattern = faults ? "test/faults/*.test.ts" : ["test/**/*.test.ts", "!test/faults/**"];
const files = named.length > 0 ? named : globSync(pattern).sort();
const quick = new URL("test-assert.mjs", import.meta.url).href;
// One file per core: Node's own choice, one fewer, leaves one of two cores idle while a test waits for its program.
const concurrency = `--test-concurrency=${availableParallelism()}`;
const { status, signal } = spawnSync(
  process.execPath,
  ["--import", "tsx", "--import", quick, "--test", concurrency, ...files],
  { stdio: "inherit" },
);
if (signal) process.kill(process.pid, signal);
process.exitCode = status ?? 1;
