// llama.cpp through node-llama-cpp on a file of make_gguf.py: --modules FOLDER --file FOLDER/gpt2_f32.gguf
import { importFrom, madeUpIds, rateOf, readOptions, serve } from "./peer.mjs";

const { modules, file, ...sizes } = readOptions(["modules", "file"]);
const { module, version } = await importFrom(modules, "node-llama-cpp");
const { getLlama, LlamaLogLevel } = module;
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  maxThreads: sizes.threads,
  logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: 1024,
  batchSize: 512,
  sequences: sizes.batch,
  threads: sizes.threads,
  flashAttention: false,
});
const sequences = Array.from({ length: sizes.batch }, () => context.getSequence());

async function decode(batch, n) {
  const texts = [];
  for (const sequence of sequences.slice(0, batch)) {
    await sequence.clearHistory();
    const ids = sequence.evaluate(madeUpIds(sizes.prompt), { temperature: 0, yieldEogToken: true });
    texts.push({ ids, tokens: [(await ids.next()).value] }); // reads the prompt and chooses the first token
  }
  const rate = await rateOf(batch * n, () =>
    Promise.all(
      texts.map(async ({ ids, tokens }) => {
        for (let i = 0; i < n; i++) {
          const { value, done } = await ids.next();
          if (done) throw new Error(`llama.cpp stopped after ${i} of ${n} tokens`);
          tokens.push(value);
        }
      }),
    ),
  );
  for (const { ids } of texts) await ids.return();
  return { rate, tokens: texts[0].tokens };
}

async function prefill(n) {
  await sequences[0].clearHistory();
  return rateOf(n, () => sequences[0].evaluateWithoutGeneratingNewTokens(madeUpIds(n)));
}

await serve(`llama.cpp, node-llama-cpp ${version}`, async () => {
  const alone = await decode(1, sizes.length);
  return {
    decode: alone.rate,
    batch: (await decode(sizes.batch, sizes.batch_length)).rate,
    prefill: await prefill(sizes.prefill),
    tokens: alone.tokens.slice(0, 8),
  };
});
await llama.dispose();
