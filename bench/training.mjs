// Tokens per second of a training step (accumulate and update) and peak resident memory: this program with its best
// kernels (gpt2) and with WebAssembly's (wasm) and, if installed, PyTorch (torch with its own LayerNorm, GELU and mask,
// torch_written_out with these operation by operation), in rounds that take turns. Each runs in its own process and works
// only when told to.
//
//   npm run build && node bench/training.mjs [--shape 124M] [--batch 1] [--tokens 1024] [--steps 2] [--rounds 2]
//     [--threads 2] [--only gpt2,wasm,torch,torch_written_out] [--python python3]
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../dist/src/cli/benchmark.js";
import { defaultThreads } from "../dist/src/engines/cpu/runtime/cpu-quota.js";
import { SHAPES } from "../dist/src/model/openai-shapes.js";
import { describeMachine, load } from "./peers/machine.mjs";

const { values: options } = parseArgs({
  options: {
    shape: { type: "string", default: "124M" },
    batch: { type: "string", default: "1" },
    tokens: { type: "string", default: "1024" },
    steps: { type: "string", default: "2" },
    rounds: { type: "string", default: "2" },
    threads: { type: "string", default: String(defaultThreads()) },
    only: { type: "string", default: "gpt2,wasm,torch,torch_written_out" },
    python: { type: "string", default: "python3" },
  },
});
const hparams = SHAPES[options.shape];
if (!hparams) throw new Error(`--shape ${Object.keys(SHAPES).join(", ")}`);

const beside = (path) => fileURLToPath(new URL(path, import.meta.url));
const sizes = [
  ...["batch", "tokens", "steps", "threads"].flatMap((name) => [`--${name}`, options[name]]),
  ...Object.entries(hparams).flatMap(([name, value]) => [`--${name}`, String(value)]),
];
const COMMANDS = {
  gpt2: [process.execPath, beside("peers/training/gpt2.mjs"), ...sizes],
  wasm: [process.execPath, beside("peers/training/gpt2.mjs"), ...sizes, "--backend", "wasm"],
  torch: [options.python, beside("peers/training/torch_training.py"), ...sizes],
  torch_written_out: [options.python, beside("peers/training/torch_training.py"), ...sizes, "--written_out"],
};

/** A process that writes one JSON object per line, the first when it is ready. */
async function start(name) {
  const [command, ...args] = COMMANDS[name];
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.on("error", () => undefined); // it then ends without a line
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${name} ended without an answer`);
    return JSON.parse(value);
  };
  const { ready } = await next();
  const ask = (line) => {
    child.stdin.write(`${line}\n`);
    return next();
  };
  const end = () => {
    child.stdin.end();
    return next();
  };
  return { name, title: ready, ask, end, rates: [] };
}

console.log(JSON.stringify({ ...describeMachine(), load: load(), ...options }));
const peers = [];
for (const name of options.only.split(",")) {
  try {
    peers.push(await start(name));
  } catch (error) {
    console.log(`${name}: ${error.message}`);
  }
}
for (let round = 0; round < Number(options.rounds); round++) {
  for (const peer of peers) {
    const { rate, loss } = await peer.ask("round");
    peer.rates.push(rate);
    console.log(
      `round ${round + 1}  ${peer.name.padEnd(8)} ${rate.toFixed(1)} tokens/s  loss ${loss.toFixed(5)}`,
    );
  }
}
const ours = (name) => !name.startsWith("torch");
for (const peer of peers) {
  const { peak_memory_megabytes } = await peer.end();
  peer.rate = median(peer.rates);
  console.log(`${peer.title}: ${peer.rate.toFixed(1)} tokens/s, peak ${peak_memory_megabytes} MB`);
}
// Round by round, because the machine's speed changes; then the median.
for (const peer of peers.filter(({ name }) => ours(name)))
  for (const other of peers.filter(({ name }) => !ours(name))) {
    const ratios = peer.rates.map((rate, i) => rate / other.rates[i]);
    const [least, most] = [Math.min(...ratios), Math.max(...ratios)];
    console.log(
      `${peer.name} / ${other.name}: ${median(ratios).toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`,
    );
  }
