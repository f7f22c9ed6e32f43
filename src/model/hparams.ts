import { DOWNLOAD_OR_RENAME, quote, UserError } from "../system/errors.js";
import { isObject, parseJson } from "../system/json.js";

/**
 * The activation between an MLP's two matrices, by Hugging Face's names: OpenAI's tanh approximation of GELU, GELU
 * itself, and three others. Other names for OpenAI's are in formats/huggingface/config.ts.
 */
export const ACTIVATIONS = ["gelu_new", "gelu", "relu", "silu", "quick_gelu"] as const;
export type Activation = (typeof ACTIVATIONS)[number];

/** What a GPT-2 computes, besides its sizes: the options of Hugging Face's config.json, by its names. */
export interface Architecture {
  /** Features between an MLP's two matrices. */
  readonly n_inner: number;
  readonly activation_function: Activation;
  /** Added to the variance in LayerNorm. */
  readonly layer_norm_epsilon: number;
  /** Whether attention scores are divided by sqrt(n_embd / n_head). */
  readonly scale_attn_weights: boolean;
  /** Whether the scores of layer i (from 0) are also divided by i + 1. */
  readonly scale_attn_by_inverse_layer_idx: boolean;
  /** Whether model/wte is also the output matrix; if not, that is model/lm_head [n_vocab, n_embd]. */
  readonly tie_word_embeddings: boolean;
}

/** A model's sizes, named as in OpenAI's hparams.json; options left out are as in OpenAI's models. */
export interface Hparams extends Partial<Architecture> {
  /** Tokens in the vocabulary. */
  readonly n_vocab: number;
  /** The most tokens that it can read at once. */
  readonly n_ctx: number;
  /** Features of a token between layers; n_head divides it. */
  readonly n_embd: number;
  /** Attention heads per layer. */
  readonly n_head: number;
  readonly n_layer: number;
}

/** What a model computes. Source of OpenAI's values: openai/gpt-2 src/model.py. */
export function architectureOf(hparams: Hparams): Architecture {
  return {
    n_inner: hparams.n_inner ?? 4 * hparams.n_embd,
    activation_function: hparams.activation_function ?? "gelu_new",
    layer_norm_epsilon: hparams.layer_norm_epsilon ?? 1e-5,
    scale_attn_weights: hparams.scale_attn_weights ?? true,
    scale_attn_by_inverse_layer_idx: hparams.scale_attn_by_inverse_layer_idx ?? false,
    tie_word_embeddings: hparams.tie_word_embeddings ?? true,
  };
}

/** The options in which a model differs from OpenAI's. */
export function unlikeOpenAi(hparams: Hparams): Partial<Architecture> {
  const { n_vocab, n_ctx, n_embd, n_head, n_layer } = hparams;
  const openAi = architectureOf({ n_vocab, n_ctx, n_embd, n_head, n_layer });
  const own = Object.entries(architectureOf(hparams));
  return Object.fromEntries(own.filter(([name, value]) => openAi[name as keyof Architecture] !== value));
}

/** What the attention scores are multiplied by in a layer. @param layer from 0 */
export function attentionScale(hparams: Hparams, layer: number): number {
  const { scale_attn_weights, scale_attn_by_inverse_layer_idx } = architectureOf(hparams);
  const scale = scale_attn_weights ? 1 / Math.sqrt(hparams.n_embd / hparams.n_head) : 1;
  return scale_attn_by_inverse_layer_idx ? scale / (layer + 1) : scale;
}

/** Each size by OpenAI's name, and by Hugging Face's where it differs. */
const SIZES = [
  ["n_vocab", "vocab_size"],
  ["n_ctx", "n_positions"],
  ["n_embd", "n_embd"],
  ["n_head", "n_head"],
  ["n_layer", "n_layer"],
] as const;
/** Far above any GPT-2, and low enough that products of sizes are exact in a double. */
const SIZE_LIMIT = 10_000_000;
/** An hparams.json has a hundred bytes or so. */
export const HPARAMS_BYTES = 1 << 20;

/** Whether it can be one of a model's sizes. */
export const isModelSize = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= SIZE_LIMIT;
const isFlag = (value: unknown): boolean => typeof value === "boolean";

/** What each option must be: a test, and how a message puts it. */
export const ARCHITECTURE_RULES: Readonly<
  Record<keyof Architecture, { readonly accepts: (value: unknown) => boolean; readonly words: string }>
> = {
  n_inner: { accepts: isModelSize, words: "a positive whole number" },
  activation_function: {
    accepts: (value) => ACTIVATIONS.includes(value as Activation),
    words: `one of ${ACTIVATIONS.join(", ")}`,
  },
  layer_norm_epsilon: {
    accepts: (value) => typeof value === "number" && value >= 1e-30 && value <= 1,
    words: "a number from 1e-30 to 1",
  },
  scale_attn_weights: { accepts: isFlag, words: "true or false" },
  scale_attn_by_inverse_layer_idx: { accepts: isFlag, words: "true or false" },
  tie_word_embeddings: { accepts: isFlag, words: "true or false" },
};

/**
 * Reads hparams.json: OpenAI's, or that of a model that differs from OpenAI's (see hparamsJson).
 * @param json the file's text
 * @param file the file's path, for messages
 * @throws UserError when a value is missing or of the wrong kind, or n_head does not divide n_embd
 */
export function parseHparams(json: string, file: string): Hparams {
  const next = DOWNLOAD_OR_RENAME;
  const fail = (what: string): never => {
    throw new UserError(`${file}${what}`, { next });
  };
  const values = parseJson(json, file, next);
  if (!isObject(values)) return fail(" holds no hparams");
  const form = "vocab_size" in values && !("n_vocab" in values) ? 1 : 0;
  const hparams: Record<string, unknown> = {};
  for (const names of SIZES) {
    const n = values[names[form]];
    if (n === undefined) fail(` has no ${names[form]}`);
    if (!isModelSize(n)) fail(`: ${names[form]} must be a positive whole number, not ${quote(n)}`);
    hparams[names[0]] = n;
  }
  if (form === 1) Object.assign(hparams, parseOptions(values, fail));
  const { n_embd, n_head } = hparams as unknown as Hparams;
  if (n_embd % n_head !== 0) fail(`: n_embd ${n_embd} is not a multiple of n_head ${n_head}`);
  return hparams as unknown as Hparams;
}

/** The options of an hparams.json, by Hugging Face's names: an unknown one would change the model. */
function parseOptions(
  values: Readonly<Record<string, unknown>>,
  fail: (what: string) => never,
): Partial<Architecture> {
  const options: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    if (SIZES.some(([, theirs]) => theirs === name)) continue;
    if (!Object.hasOwn(ARCHITECTURE_RULES, name))
      fail(` has an option that is not known here, ${quote(name)}`);
    const { accepts, words } = ARCHITECTURE_RULES[name as keyof Architecture];
    if (!accepts(value)) fail(`: ${name} must be ${words}, not ${quote(value)}`);
    options[name] = value;
  }
  return options;
}

/**
 * The text of an hparams.json. A model that computes what OpenAI's do has their five numbers, in their order. Any other
 * has Hugging Face's names for all of them, and the options in which it differs: a program that only knows OpenAI's file
 * finds no n_vocab there, and refuses the model instead of computing it wrongly.
 */
export function hparamsJson(hparams: Hparams): string {
  const options = unlikeOpenAi(hparams);
  const form = Object.keys(options).length > 0 ? 1 : 0;
  const sizes = Object.fromEntries(SIZES.map((names) => [names[form], hparams[names[0]]]));
  return `${JSON.stringify({ ...sizes, ...options }, undefined, 2)}\n`;
}
