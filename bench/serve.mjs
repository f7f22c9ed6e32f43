// How much of the engine's speed a server's clients get: node bench/serve.mjs [--shape 124M] [--rounds 3] [OPTIONS]
// In turns, and the median of the rounds: the engine alone at batch 1 and 8, then a server over the same engine with one
// client and with eight that stream, and the time to the first token of a 32-token prompt beside seven that do.
// The other options are gpt2's: --precision, --threads.
import { request } from "node:http";
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

/** `length` token ids that no other prompt begins with. */
let asked = 0;
const prompt = (length) => {
  asked++;
  return Array.from({ length }, (_, i) => (asked * 7919 + i * 104729) % 50000);
};

/** Asks for a text; the answer's usage. @param signal leaves it */
async function ask(prompt_tokens, max_tokens, signal) {
  const body = {
    ...{ prompt: prompt(prompt_tokens), max_tokens, temperature: 0, ignore_eos: true },
    ...{ stream: true, stream_options: { include_usage: true } },
  };
  // A connection each: one that is kept would time out while the engine is measured alone.
  const text = await new Promise((resolve, reject) => {
    const call = request(
      `${server.url}/v1/completions`,
      { method: "POST", agent: false, signal },
      (response) => {
        let all = "";
        response.setEncoding("utf8").on("data", (piece) => {
          all += piece;
        });
        response.once("end", () => resolve(all)).once("error", reject);
      },
    );
    call.once("error", reject).end(JSON.stringify(body));
  });
  const [, tokens] = /"completion_tokens":(\d+)/.exec(text);
  return Number(tokens);
}

/** Tokens per second of some clients at once, from their requests to their ends. */
async function rate(clients) {
  const started = performance.now();
  const tokens = await Promise.all(Array.from({ length: clients }, () => ask(PROMPT, LENGTH)));
  return (tokens.reduce((sum, n) => sum + n, 0) * 1000) / (performance.now() - started);
}

/** Milliseconds from requests of 32 tokens to their first new one, one after another, beside seven texts. */
async function firstTokens(count, tokenMilliseconds) {
  const leaving = new AbortController();
  const streams = Array.from({ length: 7 }, () => ask(PROMPT, 16_000, leaving.signal).catch(() => 0));
  const times = [];
  for (let i = 0; i <= count; i++) {
    // At any moment of a pass; the first of them waits until all seven are written.
    await new Promise((resolve) =>
      setTimeout(resolve, (i === 0 ? 20 : 1 + Math.random()) * tokenMilliseconds),
    );
    const started = performance.now();
    await ask(32, 1);
    if (i > 0) times.push(performance.now() - started);
  }
  leaving.abort();
  await Promise.all(streams);
  return times;
}

const PROMPT = 4;
const LENGTH = 96;
const sizes = { prompt: PROMPT, decode: LENGTH, batch: 8, batchDecode: LENGTH, prefill: 8 };
await warmUp(engine);
await Promise.all([ask(PROMPT, 8), ask(PROMPT, 8)]);
const rounds = [];
for (let i = 0; i < Number(values.rounds); i++) {
  const bench = await benchRound(engine, sizes);
  const token = 8000 / bench.batch;
  rounds.push({
    ...bench,
    one: await rate(1),
    eight: await rate(8),
    first: await firstTokens(10, token),
    token,
  });
  console.error(`round ${i + 1} of ${values.rounds}`);
}
const of = (pick) => median(rounds.map(pick));
const show = (name, value) => console.log(`${name.padEnd(44)} ${value}`);
const first = (round) => median(round.first);
show("engine, tokens per second: alone", of((round) => round.decode).toFixed(1));
show("engine, tokens per second: batch of 8", of((round) => round.batch).toFixed(1));
show("server, one client", of((round) => round.one).toFixed(1));
show("server, eight clients", of((round) => round.eight).toFixed(1));
show("one client : engine alone", of((round) => round.one / round.decode).toFixed(3));
show("eight clients : engine's batch of 8", of((round) => round.eight / round.batch).toFixed(3));
show("first token beside 7 texts, ms, median", of(first).toFixed(1));
show("first token, worst", Math.max(...rounds.flatMap((round) => round.first)).toFixed(1));
show("first token in token times of that batch", of((round) => first(round) / round.token).toFixed(2));
await server.close();
await engine.dispose();
