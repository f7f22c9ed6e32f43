import { architectureOf, type Hparams } from "../../dist/src/model/hparams.js";
import { parameterShapes, sizeOf } from "../../dist/src/model/parameters.js";

import { ACTIVATION } from "./wasm-reference.js";

/** Parameters in float64, by name. */
export type Parameters = ReadonlyMap<string, Float64Array>;

/** The same values in float64. */
export function widen(parameters: ReadonlyMap<string, Float32Array>): Map<string, Float64Array> {
  return new Map([...parameters].map(([name, values]) => [name, Float64Array.from(values)]));
}

/**
 * GPT-2's mean cross-entropy in float64, from the formulas and nothing else.
 * @param rows sequences of T + 1 ids
 */
export function referenceLoss(
  hparams: Hparams,
  parameters: Parameters,
  rows: readonly (readonly number[])[],
): number {
  let sum = 0;
  let count = 0;
  for (const row of rows) {
    const hidden = lastHidden(hparams, parameters, row.slice(0, -1));
    for (let t = 0; t + 1 < row.length; t++) sum += crossEntropy(hparams, parameters, hidden, t, row[t + 1]);
    count += row.length - 1;
  }
  return sum / count;
}

function crossEntropy(
  hparams: Hparams,
  parameters: Parameters,
  hidden: Float64Array,
  t: number,
  target: number,
): number {
  const { n_embd, n_vocab } = hparams;
  const output = architectureOf(hparams).tie_word_embeddings ? "model/wte" : "model/lm_head";
  const wte = parameters.get(output)!;
  const logits = new Float64Array(n_vocab);
  for (let id = 0; id < n_vocab; id++) {
    let logit = 0;
    for (let i = 0; i < n_embd; i++) logit += hidden[t * n_embd + i] * wte[id * n_embd + i];
    logits[id] = logit;
  }
  const most = logits.reduce((a, b) => Math.max(a, b));
  return Math.log(logits.reduce((a, b) => a + Math.exp(b - most), 0)) + most - logits[target];
}

/** What ln_f gives: [T, n_embd] */
function lastHidden(hparams: Hparams, parameters: Parameters, ids: readonly number[]): Float64Array {
  const { n_embd, n_head, n_layer } = hparams;
  const options = architectureOf(hparams);
  const n_time = ids.length;
  const p = (name: string): Float64Array => parameters.get(`model/${name}`)!;
  const norm = (x: Float64Array, name: string): Float64Array => {
    const y = new Float64Array(x.length);
    const [g, b] = [p(`${name}/g`), p(`${name}/b`)];
    for (let t = 0; t < n_time; t++) {
      const row = x.subarray(t * n_embd, (t + 1) * n_embd);
      const mean = row.reduce((a, v) => a + v, 0) / n_embd;
      const variance = row.reduce((a, v) => a + (v - mean) ** 2, 0) / n_embd;
      for (let i = 0; i < n_embd; i++)
        y[t * n_embd + i] =
          ((row[i] - mean) / Math.sqrt(variance + options.layer_norm_epsilon)) * g[i] + b[i];
    }
    return y;
  };
  const linear = (x: Float64Array, name: string): Float64Array => {
    const [w, b] = [p(`${name}/w`), p(`${name}/b`)];
    const n_out = b.length;
    const n_in = w.length / n_out;
    const y = new Float64Array(n_time * n_out);
    for (let t = 0; t < n_time; t++) {
      y.set(b, t * n_out);
      for (let i = 0; i < n_in; i++) {
        const v = x[t * n_in + i];
        for (let j = 0; j < n_out; j++) y[t * n_out + j] += v * w[i * n_out + j];
      }
    }
    return y;
  };
  const attention = (qkv: Float64Array, layer: number): Float64Array => {
    const n_state = n_embd / n_head;
    const root = options.scale_attn_weights ? Math.sqrt(n_state) : 1;
    const divisor = root * (options.scale_attn_by_inverse_layer_idx ? layer + 1 : 1);
    const y = new Float64Array(n_time * n_embd);
    for (let head = 0; head < n_head; head++) {
      for (let t = 0; t < n_time; t++) {
        const at = (s: number, which: number): number => s * 3 * n_embd + which * n_embd + head * n_state;
        const scores = Array.from({ length: t + 1 }, (_, s) => {
          let score = 0;
          for (let i = 0; i < n_state; i++) score += qkv[at(t, 0) + i] * qkv[at(s, 1) + i];
          return score / divisor;
        });
        const most = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - most));
        const total = weights.reduce((a, b) => a + b, 0);
        for (let i = 0; i < n_state; i++) {
          let v = 0;
          for (let s = 0; s <= t; s++) v += weights[s] * qkv[at(s, 2) + i];
          y[t * n_embd + head * n_state + i] = v / total;
        }
      }
    }
    return y;
  };
  const activation = ACTIVATION[options.activation_function];
  const add = (x: Float64Array, y: Float64Array): Float64Array => x.map((v, i) => v + y[i]);
  let x: Float64Array = new Float64Array(n_time * n_embd);
  for (let t = 0; t < n_time; t++)
    for (let i = 0; i < n_embd; i++)
      x[t * n_embd + i] = p("wte")[ids[t] * n_embd + i] + p("wpe")[t * n_embd + i];
  for (let layer = 0; layer < n_layer; layer++) {
    const h = `h${layer}`;
    const qkv = linear(norm(x, `${h}/ln_1`), `${h}/attn/c_attn`);
    x = add(x, linear(attention(qkv, layer), `${h}/attn/c_proj`));
    x = add(x, linear(linear(norm(x, `${h}/ln_2`), `${h}/mlp/c_fc`).map(activation), `${h}/mlp/c_proj`));
  }
  return norm(x, "ln_f");
}

/** How the loss changes with one value, by a central difference. */
export function slope(values: Float64Array, index: number, loss: () => number): number {
  const step = 1e-4;
  const before = values[index];
  values[index] = before + step;
  const above = loss();
  values[index] = before - step;
  const below = loss();
  values[index] = before;
  return (above - below) / (2 * step);
}

/** Places of a tensor to look at: those of the largest and smallest gradient, and some more. */
export function places(gradient: Float32Array, count: number): number[] {
  const found = new Set([gradient.indexOf(gradient.reduce((a, b) => Math.max(a, b)))]);
  found.add(gradient.indexOf(gradient.reduce((a, b) => Math.min(a, b))));
  for (let i = 0; found.size < Math.min(count, gradient.length); i++) found.add((i * 7919) % gradient.length);
  return [...found];
}

/** LoRA's model: w + 2 a b in float64, all else as it is. */
export function mergeLora(
  hparams: Hparams,
  parameters: Parameters,
  lora: Parameters,
): Map<string, Float64Array> {
  const merged = new Map(parameters);
  for (const [name, shape] of parameterShapes(hparams)) {
    const a = lora.get(`lora/a/${name}`);
    const b = lora.get(`lora/b/${name}`);
    if (!a || !b) continue;
    const [, n_in, n_out] = shape;
    const rank = a.length / n_in;
    const w = Float64Array.from(parameters.get(name)!);
    for (let i = 0; i < n_in; i++)
      for (let r = 0; r < rank; r++)
        for (let j = 0; j < n_out; j++) w[i * n_out + j] += 2 * a[i * rank + r] * b[r * n_out + j];
    merged.set(name, w);
  }
  return merged;
}

/** All tensors of a source, read one by one. */
export async function readAll(source: {
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  read(name: string, target: Float32Array): Promise<void>;
}): Promise<Map<string, Float32Array>> {
  const all = new Map<string, Float32Array>();
  for (const [name, { shape }] of source.tensors) {
    const values = new Float32Array(sizeOf(shape));
    await source.read(name, values);
    all.set(name, values);
  }
  return all;
}
