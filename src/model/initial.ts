import { fraction, philox4x32 } from "../random.js";
import { cosAndSin, log } from "../system/exact-math.js";
import type { Hparams } from "./hparams.js";
import { parameterShapes, sizeOf } from "./parameters.js";
import type { WeightSource } from "./weight-source.js";

/** The counter's last word: no sample's number is this large, so no text and no start share random numbers. */
const START = 0x73746172;

/** 64 bits derived from a name: Philox over its characters. */
function streamOf(name: string): [number, number] {
  let low = 0;
  let high = 0;
  for (let i = 0; i < name.length; i++)
    [low, high] = philox4x32([low, high, name.charCodeAt(i), START], [0, 0]);
  return [low, high];
}

/** 53 bits in (0, 1]: the logarithm of every value is finite. */
const uniform = (a: number, b: number): number => fraction(a, b) + 2 ** -53; // exact

/**
 * Fills memory with normally distributed numbers of mean 0: value i is a pure function of seed, name and i.
 * Philox 4x32-10 with key = seed ^ name and counter = (i / 2, name), two values per block by the transformation of
 * Box and Muller ("A note on the generation of random normal deviates", 1958) in float64, rounded once. The
 * logarithm, cosine and sine are our own: a seed gives the same bits in every JavaScript engine.
 * @param seed 0 to 2^53 - 1
 * @param name of the tensor: different names get unrelated numbers
 * @param deviation standard deviation
 * @param target any length below 2^33
 */
export function normal(seed: number, name: string, deviation: number, target: Float32Array): void {
  const [low, high] = streamOf(name);
  const key = [(seed ^ low) >>> 0, (Math.floor(seed / 2 ** 32) ^ high) >>> 0] as const;
  for (let i = 0; i < target.length; i += 2) {
    const [a, b, c, d] = philox4x32([i / 2, low, high, START], key);
    const radius = deviation * Math.sqrt(-2 * log(uniform(a, b)));
    const [cos, sin] = cosAndSin(uniform(c, d));
    target[i] = radius * cos;
    if (i + 1 < target.length) target[i + 1] = radius * sin;
  }
}

/**
 * The weights of an untrained model: w and wte normal with deviation 0.02, wpe 0.01, biases 0, gains 1; the two matrices
 * of each layer that write to the residual stream (attn/c_proj and mlp/c_proj) smaller by sqrt(2 n_layer). Every tensor
 * is computed when it is read.
 * Source: openai/gpt-2 src/model.py; Radford et al. 2019, section 2.3, for the scaling by depth.
 * @param seed 0 to 2^53 - 1
 */
export function initialWeights(hparams: Hparams, seed: number): WeightSource {
  const shapes = parameterShapes(hparams);
  const residual = 0.02 / Math.sqrt(2 * hparams.n_layer);
  return {
    path: `the random start of seed ${seed}`,
    tensors: new Map([...shapes].map(([name, shape]) => [name, { shape, dtype: "float32" }])),
    read: async (name, target) => {
      const shape = shapes.get(name);
      if (!shape) throw new RangeError(`${name} is not a parameter of this model`);
      if (target.length !== sizeOf(shape))
        throw new RangeError(`${name} has ${sizeOf(shape)} values, not ${target.length}`);
      if (name.endsWith("/b")) target.fill(0);
      else if (name.endsWith("/g")) target.fill(1);
      else if (name === "model/wpe") normal(seed, name, 0.01, target);
      else normal(seed, name, name.endsWith("/c_proj/w") ? residual : 0.02, target);
    },
    close: async () => undefined,
  };
}

/** The matrices that LoRA adapts, e.g. "model/h0/attn/c_attn/w": the four linear ones of each layer. */
export function loraTargets(hparams: Hparams): string[] {
  return [...parameterShapes(hparams).keys()].filter((name) => name.endsWith("/w"));
}

/**
 * LoRA's a for a matrix, at the start: normal with deviation 1 / sqrt(n_in). Its b starts at zero.
 * Source: Hu et al. 2021, arXiv 2106.09685, section 4.1.
 * @param name of the matrix, e.g. "model/h0/attn/c_attn/w"
 * @param seed 0 to 2^53 - 1
 * @returns [n_in, rank]
 */
export function loraStart(name: string, n_in: number, rank: number, seed: number): Float32Array {
  const a = new Float32Array(n_in * rank);
  normal(seed, `lora/a/${name}`, 1 / Math.sqrt(n_in), a);
  return a;
}
