// What the JavaScript peers share: their options, the made-up ids, and the loop that obeys compare.mjs.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

export const N_VOCAB = 50257;
const SIZES = ["threads", "prompt", "length", "batch", "batch_length", "prefill"];
const MADE_UP_STEP = 7919; // as in src/cli/benchmark.ts

/** The command line: numbers for SIZES, text for the names in `more`. */
export function readOptions(more = []) {
  const names = [...SIZES, ...more];
  const { values } = parseArgs({
    options: Object.fromEntries(names.map((name) => [name, { type: "string" }])),
  });
  for (const name of SIZES) {
    values[name] = Number(values[name]);
    if (!Number.isInteger(values[name]) || values[name] < 1) throw new Error(`--${name} N is needed`);
  }
  return values;
}

/** Imports a package from the folder given with --modules, else from NODE_PATH. Returns it with its version. */
export async function importFrom(modules, name) {
  const path = createRequire(resolve(modules ?? ".", "peer.cjs")).resolve(name);
  const folder = path.slice(0, path.lastIndexOf(name) + name.length);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return { module: await import(pathToFileURL(path).href), version };
}

export function madeUpIds(n) {
  return Array.from({ length: n }, (_, i) => (i * MADE_UP_STEP) % N_VOCAB);
}

/** The likeliest id of row `row` of logits [rows, N_VOCAB]. */
export function argmax(logits, row = 0) {
  const from = row * N_VOCAB;
  let best = 0;
  for (let id = 1; id < N_VOCAB; id++) if (logits[from + id] > logits[from + best]) best = id;
  return best;
}

/** Runs `work` and returns its rate for n tokens, in tokens per second. */
export async function rateOf(n, work) {
  const started = performance.now();
  await work();
  return (n * 1000) / (performance.now() - started);
}

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

/**
 * Reports that it is ready, runs a round for every line "round", and reports the peak memory at the end of input.
 * @param title name and version
 * @param round returns { decode, batch, prefill } in tokens per second, and may add `tokens`, the first ones decoded
 */
export async function serve(title, round) {
  say({ ready: title });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "round") say(await round());
  }
  say({ peak_memory_megabytes: Math.round(process.resourceUsage().maxRSS / 1024) });
}
