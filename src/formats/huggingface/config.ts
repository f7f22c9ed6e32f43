import {
  type Activation,
  ARCHITECTURE_RULES,
  type Architecture,
  architectureOf,
  type Hparams,
  isModelSize,
  unlikeOpenAi,
} from "../../model/hparams.js";
import { FETCH_AGAIN as NEXT, quote, UserError } from "../../system/errors.js";
import { isObject } from "../../system/json.js";
import { parseJson } from "./json.js";

/** What Hugging Face's config.json says of a GPT-2. */
export interface Config {
  /** n_vocab counts the embedding's rows; the tokenizer may have fewer tokens. */
  readonly hparams: Hparams;
  /** The token that a text begins from, if any is named. */
  readonly bos: number | undefined;
  /** The tokens that end a text; empty if none is named. */
  readonly eos: readonly number[];
  /** What the user should know, one line each. */
  readonly notices: readonly string[];
}

/** Activations that transformers' activations.py also knows by other names; the first three are OpenAI's. */
const OTHER_NAMES: Readonly<Record<string, Activation>> = {
  gelu_fast: "gelu_new",
  gelu_pytorch_tanh: "gelu_new",
  gelu_accurate: "gelu_new",
  gelu_python: "gelu",
  swish: "silu",
};

/** Each size: OpenAI's name, Hugging Face's for GPT-2, its general one, which takes precedence, and the default. */
const SIZES = [
  ["n_vocab", "vocab_size", undefined, 50257],
  ["n_ctx", "n_positions", "max_position_embeddings", 1024],
  ["n_embd", "n_embd", "hidden_size", 768],
  ["n_head", "n_head", "num_attention_heads", 12],
  ["n_layer", "n_layer", "num_hidden_layers", 12],
] as const;

/**
 * Reads config.json as transformers does: sizes under either name, defaults for missing fields.
 * (reorder_and_upcast_attn, ignored here, only reorders a product for float16.)
 * Source: transformers' models/gpt2/configuration_gpt2.py.
 * @param file the file's path, for messages
 * @throws UserError for another kind of model, or a GPT-2 that computes something not supported here
 */
export function parseConfig(json: string, file: string): Config {
  const values = parseJson(json, file);
  if (!isObject(values)) throw new UserError(`${file} describes no model`, { next: NEXT });
  checkKind(values, file);
  const sizes = SIZES.map(([ours, theirs, general, usual]) => {
    const name = general !== undefined && values[general] != null ? general : theirs;
    // Files from 2019 may have only n_ctx.
    const value = values[name] ?? (ours === "n_ctx" ? values.n_ctx : undefined) ?? usual;
    if (!isModelSize(value)) {
      const fault = `${file}: ${name} must be a positive whole number, not ${show(value)}`;
      throw new UserError(fault, { next: NEXT });
    }
    return [ours, value];
  });
  const hparams = { ...(Object.fromEntries(sizes) as Hparams), ...optionsOf(values, file) };
  const { n_embd, n_head } = hparams;
  if (n_embd % n_head !== 0) {
    throw new UserError(`${file}: n_embd ${n_embd} is not a multiple of n_head ${n_head}`, { next: NEXT });
  }
  // The code is not read: it may compute anything.
  const notices =
    values.auto_map == null
      ? []
      : ["config.json names custom code (auto_map), which is ignored: the model is read as a GPT-2"];
  return { hparams, bos: tokenIds(values.bos_token_id).at(0), eos: tokenIds(values.eos_token_id), notices };
}

/** @throws UserError for a model that is not a GPT-2, has unsupported parts, or has quantized weights */
function checkKind(values: Readonly<Record<string, unknown>>, file: string): void {
  const refuse = (what: string, next?: string): never => {
    throw new UserError(`${file}: ${what}`, { next: next ?? "only a GPT-2 can be imported" });
  };
  // Files from 2019 have no model_type, but GPT-2's own field names.
  const isOld = values.model_type === undefined && "n_embd" in values && "n_layer" in values;
  if (values.model_type !== "gpt2" && !isOld) refuse(`model_type is ${show(values.model_type)}`);
  for (const name of ["add_cross_attention", "is_encoder_decoder"])
    if (values[name] != null && values[name] !== false) refuse(`${name} is ${show(values[name])}`);
  const pruned = values.pruned_heads;
  if (typeof pruned === "object" && pruned !== null && Object.keys(pruned).length > 0)
    refuse(`pruned_heads is ${show(pruned)}`, "import the model from before its heads were pruned");
  const quantized = values.quantization_config;
  if (quantized != null) {
    const { quant_method } = quantized as { quant_method?: unknown };
    const how = quant_method === undefined ? "" : ` (quant_method ${show(quant_method)})`;
    refuse(`its weights are quantized${how}`, "import the original model");
  }
}

/** Options that config.json sets. */
function optionsOf(values: Readonly<Record<string, unknown>>, file: string): Partial<Architecture> {
  const options: Record<string, unknown> = {};
  for (const [name, { accepts, words }] of Object.entries(ARCHITECTURE_RULES)) {
    const stored = values[name];
    if (stored == null) continue;
    const value =
      name === "activation_function" && typeof stored === "string" && Object.hasOwn(OTHER_NAMES, stored)
        ? OTHER_NAMES[stored]
        : stored;
    if (!accepts(value)) {
      throw new UserError(`${file}: ${name} is ${show(value)}`, { next: `a GPT-2 here has ${words}` });
    }
    options[name] = value;
  }
  return options;
}

/** The ids in a field that holds one id, a list, or none. */
export const tokenIds = (value: unknown): readonly number[] => [value].flat().filter(isId);

const isId = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;

/** A value for a message: short and on one line. */
function show(value: unknown): string {
  return value === undefined ? "missing" : quote(value, 60);
}

/**
 * The config.json of a model, with only the fields that transformers needs.
 * @param tokens ids of the tokens that begin and end a text
 */
export function configJson(
  hparams: Hparams,
  tokens: { readonly bos_token_id: number | null; readonly eos_token_id: number | readonly number[] | null },
): string {
  const { n_vocab, n_ctx, n_embd, n_head, n_layer } = hparams;
  const config = {
    architectures: ["GPT2LMHeadModel"],
    model_type: "gpt2",
    vocab_size: n_vocab,
    n_positions: n_ctx,
    n_ctx,
    n_embd,
    n_head,
    n_layer,
    ...architectureOf(hparams),
    n_inner: unlikeOpenAi(hparams).n_inner ?? null,
    // Without these two, transformers uses OpenAI's 50256, which a smaller vocabulary lacks.
    ...tokens,
    torch_dtype: "float32",
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
