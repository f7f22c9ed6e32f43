import { type Activation, architectureOf, type Hparams } from "../../dist/src/model/hparams.js";
import { parameterShapes, sizeOf } from "../../dist/src/model/parameters.js";
import type { WeightSource } from "../../dist/src/model/weight-source.js";

/** A small generator of numbers in [-1, 1), the same ones every time. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return ((state >>> 8) / 2 ** 24) * 2 - 1;
  };
}

/** Random parameters of a model: weights as large as trained ones, gains around 1. */
export function randomParameters(hparams: Hparams, seed: number): Map<string, Float32Array> {
  const random = generator(seed);
  const parameters = new Map<string, Float32Array>();
  for (const [name, shape] of parameterShapes(hparams)) {
    const size = name.endsWith("/w") ? 1.5 / Math.sqrt(shape[1]) : 0.3;
    parameters.set(
      name,
      Float32Array.from({ length: sizeOf(shape) }, () => (name.endsWith("/g") ? 1 : 0) + size * random()),
    );
  }
  return parameters;
}

/** A source that reads from memory. */
export function sourceOf(hparams: Hparams, parameters: Map<string, Float32Array>): WeightSource {
  return {
    path: "memory",
    tensors: new Map(
      [...parameterShapes(hparams)].map(([name, shape]) => [name, { shape, dtype: "float32" }]),
    ),
    read: async (name, target) => target.set(parameters.get(name)!),
    close: async () => undefined,
  };
}

const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);

/** erf(x) by its series, or of its complement by a continued fraction: both to float64's precision. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 3) {
    let f = 0;
    for (let k = 80; k > 0; k--) f = k / 2 / (a + f);
    return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + f));
  }
  let [term, total] = [x, x];
  for (let n = 1; n < 100; n++) {
    term *= (-x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
}

/** The activations as Hugging Face's transformers has them: activations.py. */
export const ACTIVATION: Readonly<Record<Activation, (v: number) => number>> = {
  gelu_new: (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))),
  gelu: (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)),
  relu: (v) => Math.max(v, 0),
  silu: (v) => v / (1 + Math.exp(-v)),
  quick_gelu: (v) => v / (1 + Math.exp(-1.702 * v)),
};

/**
 * GPT-2 in float64, from the formulas and nothing else: no cache, no vectors, every row by itself.
 * @returns logits [ids.length, n_vocab]
 */
export function referenceLogits(
  hparams: Hparams,
  parameters: ReadonlyMap<string, Float32Array | Float64Array>,
  ids: readonly number[],
): number[][] {
  const { n_embd, n_head, n_layer, n_vocab } = hparams;
  const options = architectureOf(hparams);
  const p = (name: string): Float32Array | Float64Array => parameters.get(`model/${name}`)!;
  const norm = (x: number[], name: string): number[] => {
    const mean = sum(x) / n_embd;
    const variance = sum(x.map((v) => (v - mean) ** 2)) / n_embd;
    return x.map(
      (v, i) =>
        ((v - mean) / Math.sqrt(variance + options.layer_norm_epsilon)) * p(`${name}/g`)[i] +
        p(`${name}/b`)[i],
    );
  };
  const linear = (x: number[], name: string): number[] => {
    const w = p(`${name}/w`);
    const b = p(`${name}/b`);
    return Array.from(b, (bias, j) => bias + sum(x.map((v, i) => v * w[i * b.length + j])));
  };
  const activation = ACTIVATION[options.activation_function];
  const n_state = n_embd / n_head;
  let xs = ids.map((id, t) =>
    Array.from({ length: n_embd }, (_, i) => p("wte")[id * n_embd + i] + p("wpe")[t * n_embd + i]),
  );
  for (let layer = 0; layer < n_layer; layer++) {
    const h = `h${layer}`;
    const root = options.scale_attn_weights ? Math.sqrt(n_state) : 1;
    const divisor = root * (options.scale_attn_by_inverse_layer_idx ? layer + 1 : 1);
    const qkv = xs.map((x) => linear(norm(x, `${h}/ln_1`), `${h}/attn/c_attn`)); // [T, 3 n_embd]
    xs = xs.map((x, t) => {
      const merged: number[] = [];
      for (let head = 0; head < n_head; head++) {
        const part = (row: number[], which: number): number[] =>
          row.slice(which * n_embd + head * n_state, which * n_embd + (head + 1) * n_state);
        const q = part(qkv[t], 0);
        const scores = qkv.slice(0, t + 1).map((row) => sum(part(row, 1).map((k, i) => k * q[i])) / divisor);
        const weights = scores.map((s) => Math.exp(s - Math.max(...scores)));
        for (let i = 0; i < n_state; i++)
          merged.push(sum(weights.map((w, s) => w * part(qkv[s], 2)[i])) / sum(weights));
      }
      const y = linear(merged, `${h}/attn/c_proj`).map((v, i) => v + x[i]);
      const m = linear(linear(norm(y, `${h}/ln_2`), `${h}/mlp/c_fc`).map(activation), `${h}/mlp/c_proj`);
      return y.map((v, i) => v + m[i]);
    });
  }
  const output = options.tie_word_embeddings ? "wte" : "lm_head";
  return xs.map((x) => {
    const y = norm(x, "ln_f");
    return Array.from({ length: n_vocab }, (_, id) => sum(y.map((v, i) => v * p(output)[id * n_embd + i])));
  });
}
