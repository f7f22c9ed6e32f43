// Training steps of this program for ../../training.mjs.
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { randomWeights } from "../../../dist/src/cli/benchmark.js";
import { createTrainer } from "../../../dist/src/engines/create.js";

const NUMBERS = [
  ...["batch", "tokens", "steps", "threads", "lora_rank"],
  ...["n_vocab", "n_ctx", "n_embd", "n_head", "n_layer"],
];
const FLAGS = ["recompute", "only_train_transformer_layers"];
const { values } = parseArgs({
  options: {
    ...Object.fromEntries(NUMBERS.map((name) => [name, { type: "string" }])),
    ...Object.fromEntries(FLAGS.map((name) => [name, { type: "boolean" }])),
    optimizer: { type: "string" },
    backend: { type: "string" },
  },
});
for (const name of NUMBERS) if (values[name] !== undefined) values[name] = Number(values[name]);
const { batch, tokens, steps, threads, ...rest } = values;
const { n_vocab, n_ctx, n_embd, n_head, n_layer, ...options } = rest;
const hparams = { n_vocab, n_ctx, n_embd, n_head, n_layer };
const MADE_UP_STEP = 7919; // as in src/cli/benchmark.ts

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const trainer = await createTrainer(hparams, randomWeights(hparams), {
  ...options,
  threads,
});
const rows = Array.from({ length: batch }, (_, b) =>
  Array.from({ length: tokens + 1 }, (_, i) => (b + i * MADE_UP_STEP) % n_vocab),
);
// Code is compiled before it is timed.
await trainer.accumulate([rows[0].slice(0, Math.min(65, tokens + 1))]);
await trainer.update(0);
say({ ready: `gpt2 (${trainer.name} kernels, ${threads} threads)` });
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== "round") continue;
  const started = performance.now();
  let loss = 0;
  for (let i = 0; i < steps; i++) {
    loss = await trainer.accumulate(rows);
    await trainer.update(1e-4);
  }
  say({ rate: (batch * tokens * steps * 1000) / (performance.now() - started), loss });
}
say({ peak_memory_megabytes: Math.round(process.resourceUsage().maxRSS / 1024) });
await trainer.dispose();
