// Ours, as built in dist/: --precision float32, float16 or int8; --backend wasm or tfjs-wasm. Random weights made in memory.
import { benchRound, randomWeights } from "../../dist/src/cli/benchmark.js";
import { createEngine } from "../../dist/src/engines/create.js";
import { SHAPES } from "../../dist/src/model/openai-shapes.js";
import { readOptions, serve } from "./peer.mjs";

const options = readOptions(["precision", "backend"]);
const { threads, prompt, length, batch, batch_length, prefill, precision, backend } = options;
const hparams = SHAPES["124M"];
const engine = await createEngine(hparams, randomWeights(hparams), {
  threads,
  precision: precision ?? "float32",
  backend: backend ?? "auto",
});
const sizes = { prompt, decode: length, batch, batchDecode: batch_length, prefill };
await serve(`gpt2 ${engine.name} ${engine.precision}`, () => benchRound(engine, sizes));
await engine.dispose();
