// From the start of the process to its end, for one token, with the files in the page cache. npm run build, then
//   node bench/first_token.mjs --model_name FOLDER [--precision int8] [--threads 2] [--rounds 5] [--format jsonl]
// bench/make_model.mjs makes a folder of the 124M shape.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../dist/src/cli/benchmark.js";

const { values } = parseArgs({
  options: {
    model_name: { type: "string" },
    precision: { type: "string", default: "float32" },
    threads: { type: "string" },
    rounds: { type: "string", default: "5" },
    format: { type: "string", default: "text" },
  },
});
const rounds = Number(values.rounds);
if (values.model_name === undefined || !(rounds >= 1)) {
  console.error(
    "usage: node bench/first_token.mjs --model_name FOLDER [--precision int8] [--threads N] [--rounds N]",
  );
  process.exit(2);
}
const program = fileURLToPath(new URL("../bin/gpt2.js", import.meta.url));
const args = ["generate", "x", "--length", "1", "--seed", "1"];
args.push("--model_name", values.model_name, "--precision", values.precision);
if (values.threads !== undefined) args.push("--threads", values.threads);

/**
 * Loaded into the process whose memory is measured: writes its peak, in kilobytes, to a fourth stream.
 * (Worker threads load it too, but only the main thread writes.)
 */
const TELL_MEMORY = `
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
if (isMainThread) process.on("exit", () => writeSync(3, String(process.resourceUsage().maxRSS)));`;

/** One run of the program. @returns seconds, and what it wrote to the fourth stream */
function run(nodeArgs = []) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(process.execPath, [...nodeArgs, program, ...args], {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    const texts = ["", "", ""];
    for (const [i, stream] of child.stdio.slice(1).entries()) {
      stream.on("data", (chunk) => {
        texts[i] += chunk;
      });
    }
    let seconds;
    child.on("exit", () => {
      seconds = (performance.now() - started) / 1000;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code !== 0) reject(new Error(`gpt2 ended with ${signal ?? code}: ${texts[1]}`));
      else if (texts[0].length === 0) reject(new Error("gpt2 wrote no token"));
      else resolve({ seconds, told: texts[2] });
    });
  });
}

// The first run brings the files into the page cache, so it is not timed.
const { told } = await run(["--import", `data:text/javascript,${encodeURIComponent(TELL_MEMORY)}`]);
const seconds = [];
for (let i = 0; i < rounds; i++) seconds.push((await run()).seconds);
const result = {
  model: values.model_name,
  precision: values.precision,
  median_seconds: Number(median(seconds).toFixed(3)),
  min_seconds: Number(Math.min(...seconds).toFixed(3)),
  max_seconds: Number(Math.max(...seconds).toFixed(3)),
  rounds,
  peak_memory_megabytes: Math.round(Number(told) / 1024),
  node: process.version,
};
if (values.format === "jsonl") console.log(JSON.stringify(result));
else {
  for (const [name, value] of Object.entries(result)) {
    console.log(`${name.replaceAll("_", " ").padEnd(22)}  ${value}`);
  }
}
