// onnxruntime-node on a graph of build_onnx.py: --modules FOLDER --file FOLDER/gpt2_float32.onnx
import { argmax, importFrom, madeUpIds, rateOf, readOptions, serve } from "./peer.mjs";

const { modules, file, ...sizes } = readOptions(["modules", "file"]);
const { module, version } = await importFrom(modules, "onnxruntime-node");
const ort = module.default;
const [N_LAYER, N_HEAD, HEAD] = [12, 12, 64];
const CACHE = Array.from({ length: N_LAYER }, (_, layer) => [`k${layer}`, `v${layer}`]).flat();

const session = await ort.InferenceSession.create(file, {
  intraOpNumThreads: sizes.threads,
  interOpNumThreads: 1,
  graphOptimizationLevel: "all",
});

/** Reads ids [batch][n] after the cache `past`: logits of the last position [batch, n_vocab], and the cache. */
async function forward(ids, past) {
  const shape = [ids.length, ids[0].length];
  const begin = past ? past.k0.dims[2] : 0;
  const whole = (values) => new ort.Tensor("int64", BigInt64Array.from(values.flat(), BigInt), shape);
  const feeds = { ids: whole(ids), positions: whole(ids.map((row) => row.map((_, i) => begin + i))) };
  for (const name of CACHE) {
    feeds[`past_${name}`] = past
      ? past[name]
      : new ort.Tensor("float32", new Float32Array(0), [ids.length, N_HEAD, 0, HEAD]);
  }
  return session.run(feeds);
}

async function decode(batch, n) {
  let past = await forward(Array(batch).fill(madeUpIds(sizes.prompt)));
  const pick = () => Array.from({ length: batch }, (_, row) => [argmax(past.logits.data, row)]);
  const tokens = [];
  let next = pick();
  const rate = await rateOf(batch * n, async () => {
    for (let i = 0; i < n; i++) {
      tokens.push(next[0][0]);
      past = await forward(next, past);
      next = pick();
    }
  });
  return { rate, tokens };
}

await serve(`onnxruntime-node ${version}`, async () => {
  const alone = await decode(1, sizes.length);
  return {
    decode: alone.rate,
    batch: (await decode(sizes.batch, sizes.batch_length)).rate,
    prefill: await rateOf(sizes.prefill, () => forward([madeUpIds(sizes.prefill)])),
    tokens: alone.tokens.slice(0, 8),
  };
});
await session.release();
