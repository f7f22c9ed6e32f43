// How much of the engine's speed a server's clients get: node bench/serve.mjs [--shape 124M] [--rounds 3] [OPTIONS]
// In turns, and the median of the rounds: the engine alone at batch 1 and 8, then a server over the same engine with one
// client and with eight that stream (serve_clients.mjs, in a process of their own), and the time to the first token of a
// 32-token prompt beside seven that do. The engine at batch 1 runs before and after the one client, and the mean of both
// counts, because a machine's speed drifts.
// The other options are gpt2's: --precision, --threads.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { benchRound, median, randomWeights, warmUp } from "../dist/src/cli/benchmark.js";
import { loadEncoder, openAiVocabulary } from "../dist/src/encoder/encoder.js";
import { createEngine } from "../dist/src/engines/create.js";
import { SHAPES } from "../dist/src/model/openai-shapes.js";
import { ModelServer } from "../dist/src/serve/server.js";

const { values } = parseArgs({
  options: {
    shape: { type: "string", default: "124M" },
    rounds: { type: "string", default: "3" },
    precision: { type: "string", default: "auto" },
    threads: { type: "string", default: "2" },
  },
});
const hparams = SHAPES[values.shape];
const { precision } = values;
const source = randomWeights(hparams);
const engine = await createEngine(hparams, source, { precision, threads: Number(values.threads) });
const encoder = await loadEncoder(openAiVocabulary());
const server = await ModelServer.start(
  { hparams, encoder, engine },
  { name: "bench", host: "127.0.0.1", port: 0, max_batch: 16, queue: 16, cache_megabytes: 0, grace: 0 },
);

const clients = fork(fileURLToPath(new URL("serve_clients.mjs", import.meta.url)), [server.url]);
/** What the clients' process answers to `wish`. */
async function measured(wish) {
  clients.send(wish);
  const [answer] = await once(clients, "message");
  return answer;
}

const sizes = { prompt: 4, decode: 96, batch: 8, batchDecode: 96, prefill: 8 };
await warmUp(engine);
await measured({ clients: 2 });
const rounds = [];
for (let i = 0; i < Number(values.rounds); i++) {
  const bench = await benchRound(engine, sizes);
  const token = 8000 / bench.batch;
  const one = await measured({ clients: 1 });
  const after = await benchRound(engine, { ...sizes, batch: 1, batchDecode: 1, prefill: 1 });
  rounds.push({
    ...bench,
    decode: (bench.decode + after.decode) / 2,
    one,
    eight: await measured({ clients: 8 }),
    first: await measured({ first: 10, token }),
    token,
  });
  console.error(`round ${i + 1} of ${values.rounds}`);
}
const of = (pick) => median(rounds.map(pick));
const show = (name, value) => console.log(`${name.padEnd(44)} ${value}`);
const first = (round) => median(round.first);
show("engine, tokens per second: alone", of((round) => round.decode).toFixed(1));
show("engine, tokens per second: batch of 8", of((round) => round.batch).toFixed(1));
for (const [name, pick, alone] of [
  ["one client", (round) => round.one, (round) => round.decode],
  ["eight clients", (round) => round.eight, (round) => round.batch],
]) {
  const ratio = (rate) => of((round) => rate(round) / alone(round)).toFixed(3);
  show(`server, ${name}: from request to end`, of((round) => pick(round).whole).toFixed(1));
  show(`server, ${name}: from the first token`, of((round) => pick(round).decode).toFixed(1));
  show(
    `${name} : engine, from request to end`,
    ratio((round) => pick(round).whole),
  );
  show(
    `${name} : engine, from the first token`,
    ratio((round) => pick(round).decode),
  );
}
show("first token beside 7 texts, ms, median", of(first).toFixed(1));
show("first token, worst", Math.max(...rounds.flatMap((round) => round.first)).toFixed(1));
show("first token in token times of that batch", of((round) => first(round) / round.token).toFixed(2));
clients.disconnect();
await server.close();
await engine.dispose();
