// What each sampling option costs a token: node bench/samplers.mjs [--rounds 200] [--precision float32] [--threads 2]
// Draws from made-up logits of 50,257 tokens, the options in turns: the median of each less that of the draw without
// it, also as a share of the time in which the engine decodes a token of the 124M shape (random weights).
import { parseArgs } from "node:util";
import { benchRound, median, randomWeights, warmUp } from "../dist/src/cli/benchmark.js";
import { loadEncoder, openAiVocabulary } from "../dist/src/encoder/encoder.js";
import { createEngine } from "../dist/src/engines/create.js";
import { SHAPES } from "../dist/src/model/openai-shapes.js";
import { makeDraw } from "../dist/src/sampling/draw.js";
import { logProbability, tokenLogprob } from "../dist/src/sampling/logprobs.js";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "200" },
    precision: { type: "string", default: "float32" },
    threads: { type: "string", default: "2" },
  },
});
const hparams = SHAPES["124M"];
const options = { precision: values.precision, threads: Number(values.threads) };
const engine = await createEngine(hparams, randomWeights(hparams), options);
await warmUp(engine);
const rates = [];
for (let i = 0; i < 5; i++)
  rates.push(
    (await benchRound(engine, { prompt: 64, decode: 64, batch: 1, batchDecode: 1, prefill: 1 })).decode,
  );
await engine.dispose();
const token = 1000 / median(rates);
console.log(`a token of 124M, ${values.precision}, ${values.threads} threads: ${token.toFixed(2)} ms`);

/** Spread as a trained GPT-2's: a few likely tokens, the others some 25 below. */
const gauss = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const logits = Array.from({ length: 16 }, () =>
  Float32Array.from({ length: hparams.n_vocab }, () => -35 + 4 * gauss()),
);
const encoder = await loadEncoder(openAiVocabulary());
const context = Array.from({ length: 1024 }, (_, i) => (i * i) % 300);
const OFF = { temperature: 1, top_k: 40, top_p: 1 };
const draws = {
  "--top_k 40": {},
  "--repetition_penalty 1.2": { repetition_penalty: 1.2 },
  "--frequency_penalty 0.5": { frequency_penalty: 0.5 },
  "--dry_multiplier 0.8": { dry_multiplier: 0.8 },
  "--no_repeat_ngram_size 3": { no_repeat_ngram_size: 3 },
  "--bad_words (3)": { bad_words: ["abc", "hello", " king"] },
  "--typical_p 0.95": { typical_p: 0.95 },
  "--mirostat_tau 5": { mirostat_tau: 5 },
  "--top_k 0": { top_k: 0 },
  "--top_k 0 --top_p 0.9": { top_k: 0, top_p: 0.9 },
  "--top_k 0 --typical_p 0.95": { top_k: 0, typical_p: 0.95 },
  "--top_k 0 --mirostat_tau 5": { top_k: 0, mirostat_tau: 5 },
};
const measured = Object.fromEntries(
  Object.entries(draws).map(([name, shape]) => {
    const draw = makeDraw(hparams.n_vocab, { ...OFF, ...shape }, { ends: new Set(), texts: encoder });
    return [name, (row) => draw(row, 0.5, { context, drawn: 900, state: {} })];
  }),
);
const drawn = new Map(logits.map((row) => [row, measured["--top_k 40"](row)])); // likely ones, as in a text
measured["--logprobs 5"] = (row) => tokenLogprob(encoder, row, drawn.get(row), 5);
measured["--color"] = (row) => logProbability(row, drawn.get(row));
const times = new Map(Object.keys(measured).map((name) => [name, []]));
for (let i = 0; i < Number(values.rounds); i++)
  for (const [name, run] of Object.entries(measured)) {
    const started = performance.now();
    run(logits[i % logits.length]);
    times.get(name).push(performance.now() - started);
  }
const milliseconds = (name) => median(times.get(name));
for (const name of times.keys()) {
  const without = name.startsWith("--top_k 0 ") ? "--top_k 0" : "--top_k 40";
  const isAdded = name !== without && name !== "--top_k 0";
  const base = isAdded && name in draws ? milliseconds(without) : 0;
  const cost = milliseconds(name) - base;
  const what = isAdded ? "adds" : "takes";
  console.log(
    `${name.padEnd(30)} ${what.padEnd(5)} ${cost.toFixed(3)} ms, ${((100 * cost) / token).toFixed(1)} %`,
  );
}
