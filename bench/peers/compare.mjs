// Runs the same work on this program and on its peers, in turns, one at a time: see README.md.
//   node bench/peers/compare.mjs --rounds 5 --folder FOLDER --modules FOLDER ours-float32 onnxruntime-float32
import { execFileSync } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { bytesPerToken, PEERS, pairs } from "./catalog.mjs";
import { cpuSeconds, describeMachine, load, machineSeconds } from "./machine.mjs";
import { printJson, printText, summary } from "./report.mjs";
import { Worker } from "./worker.mjs";

const KINDS = ["decode", "batch", "prefill"];
/** Between rounds, for threads that spin a little before they sleep. */
const PAUSE_MS = 200;
/** Above this share of one core, idle peers are reported as a disturbance. */
const DISTURBANCE = 0.02;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
    prompt: { type: "string", default: "64" },
    length: { type: "string", default: "64" },
    batch: { type: "string", default: "8" },
    prefill: { type: "string", default: "512" },
    folder: { type: "string", default: "." },
    modules: { type: "string" },
    python: { type: "string", default: "python3" },
    bandwidth: { type: "string" },
    format: { type: "string", default: "text" },
  },
});
const note = (line) => process.stderr.write(`${line}\n`);

function fail(line) {
  note(`compare: ${line}`);
  process.exit(2);
}

const names = [...new Set(positionals.length > 0 ? positionals : ["ours-float32", "ours-int8"])];
for (const name of names) {
  if (!(name in PEERS)) fail(`no peer ${name}: choose from ${Object.keys(PEERS).join(", ")}`);
}
for (const name of ["rounds", "threads", "prompt", "length", "batch", "prefill"]) {
  if (!/^[1-9]\d*$/.test(values[name])) fail(`--${name} must be a whole number, at least 1`);
}
if (!["text", "jsonl"].includes(values.format)) fail("--format is text or jsonl");

const { prompt, length, batch, prefill, threads } = values;
const sizes = { threads, prompt, length, batch, batch_length: String(Math.ceil(length / 2)), prefill };
const sizeArgs = Object.entries(sizes).flatMap(([name, n]) => [`--${name}`, n]);

/** GB/s: the given number, or what the given program (bench/bandwidth.c) measures now. */
function bandwidth() {
  if (values.bandwidth === undefined || Number(values.bandwidth) > 0) return Number(values.bandwidth);
  const text = execFileSync(values.bandwidth, [threads], { encoding: "utf8" });
  const found = text.match(new RegExp(`^${threads} threads? +([\\d.]+) GB/s`, "m"));
  if (!found) fail(`${values.bandwidth} printed no line for ${threads} threads`);
  return Number(found[1]);
}

/** Loads the peers one after another; one that is not available is reported and left out. */
async function startAll() {
  const workers = [];
  for (const name of names) {
    const worker = new Worker(name, [...PEERS[name].command(values), ...sizeArgs]);
    try {
      await worker.start();
      note(`${name}: ${worker.title}, loaded and warm`);
      workers.push(worker);
    } catch (error) {
      note(`${error.message}: left out`);
    }
  }
  return workers;
}

/** One round of one peer while the others rest: its rates, and how busy the resting ones were, in cores. */
async function measure(worker, workers) {
  await setTimeout(PAUSE_MS);
  const others = workers.filter((other) => other !== worker);
  const used = () => others.reduce((sum, other) => sum + other.cpuSeconds(), 0);
  const [before, started] = [used(), performance.now()];
  const rates = await worker.round();
  const idle = (used() - before) / ((performance.now() - started) / 1000);
  worker.rounds.push(rates);
  if (idle > DISTURBANCE) note(`while ${worker.name} worked, the others used ${idle.toFixed(2)} of a core`);
  return idle;
}

/** How much of the machine everything but the peers used, in cores; undefined if that is unknown. */
function outsiders(workers) {
  const machine = machineSeconds();
  if (!machine) return () => undefined;
  const own = () => workers.reduce((sum, worker) => sum + worker.cpuSeconds(), cpuSeconds(process.pid, true));
  const [ownBefore, started] = [own(), performance.now()];
  return () => {
    const now = machineSeconds();
    const seconds = (performance.now() - started) / 1000;
    return {
      other_processes_cores: (now.busy - machine.busy - (own() - ownBefore)) / seconds,
      stolen_cores: (now.stolen - machine.stolen) / seconds,
    };
  };
}

const machine = { ...describeMachine(), load_before: load() };
const workers = await startAll();
if (workers.length === 0) fail("no peer could be started: see README.md on how to install them");
const others = outsiders(workers);
const [idle, bandwidths] = [[], []];
for (let i = 0; i < Number(values.rounds); i++) {
  if (values.bandwidth !== undefined) bandwidths.push(bandwidth());
  for (const worker of workers) idle.push(await measure(worker, workers));
  note(`round ${i + 1} of ${values.rounds}`);
}
Object.assign(machine, others(), { load_after: load(), idle_peers_cores: Math.max(0, ...idle) });
const peers = [];
for (const worker of workers) {
  const rates = Object.fromEntries(KINDS.map((kind) => [kind, summary(worker.rounds.map((r) => r[kind]))]));
  const share = summary(
    bandwidths.map((gb, i) => (worker.rounds[i].decode * bytesPerToken(worker.name)) / (gb * 1e9)),
  );
  const { name, title, rounds } = worker;
  const peak_memory_megabytes = await worker.finish();
  peers.push({
    name,
    title,
    ...rates,
    share_of_bandwidth: share,
    peak_memory_megabytes,
    tokens: rounds[0].tokens,
  });
}
const ratios = pairs(workers.map(({ name }) => name)).map(([mine, peer]) => {
  const [a, b] = [mine, peer].map((name) => workers.find((worker) => worker.name === name).rounds);
  const ratio = (kind) => summary(a.map((round, i) => round[kind] / b[i][kind]));
  return { ours: mine, peer, ...Object.fromEntries(KINDS.map((kind) => [kind, ratio(kind)])) };
});
const result = { machine, sizes, bandwidth: summary(bandwidths), peers, ratios };
(values.format === "jsonl" ? printJson : printText)(result);
