import type { Hparams } from "../../model/hparams.js";
import { quote, UserError } from "../../system/errors.js";
import { parseJson } from "./json.js";

/** What a config.json of Hugging Face's GPT-2 says. */
export interface Config {
  /** n_vocab is the number of rows of the embedding, which may be more than the tokenizer has tokens. */
  readonly hparams: Hparams;
  /** The token that a text begins from, where one is named. */
  readonly bos: number | undefined;
  /** The tokens that end a text; none where none is named. */
  readonly eos: readonly number[];
}

/** Other names of the tanh approximation of GELU that GPT-2 was trained with. */
const ACTIVATIONS = ["gelu_new", "gelu_fast", "gelu_pytorch_tanh"];
/** As parseHparams has it: far above any GPT-2. */
const SIZE_LIMIT = 10_000_000;

/**
 * Options of Hugging Face's GPT-2 that change its numbers, with the value that leaves them as OpenAI's network
 * has them; that is also what a missing one means. (reorder_and_upcast_attn changes the order of a product's
 * factors alone, for float16.)
 */
const FIXED: readonly (readonly [name: string, value: unknown])[] = [
  ["layer_norm_epsilon", 1e-5],
  ["scale_attn_weights", true],
  ["scale_attn_by_inverse_layer_idx", false],
  ["add_cross_attention", false],
  ["is_encoder_decoder", false],
];

/**
 * Reads config.json.
 * Source: transformers' models/gpt2/configuration_gpt2.py.
 * @param file the file's path, for messages
 * @throws UserError when it is of another kind of model, or of a GPT-2 that computes something else
 */
export function parseConfig(json: string, file: string): Config {
  const config = parseJson(json, file);
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new UserError(`${file} describes no model`, { next: "fetch the model again" });
  }
  const values = config as Readonly<Record<string, unknown>>;
  const refuse = (what: string): never => {
    throw new UserError(`${file}: ${what}, and only OpenAI's GPT-2 can be imported`);
  };
  // Files of 2019 have no model_type; what their fields are called says it.
  const isOld = values.model_type === undefined && "n_embd" in values && "n_layer" in values;
  if (values.model_type !== "gpt2" && !isOld) refuse(`model_type is ${show(values.model_type)}`);
  for (const [name, wanted] of FIXED) {
    const value = values[name] ?? wanted;
    if (value !== wanted) refuse(`${name} is ${show(value)}, not ${show(wanted)}`);
  }
  const activation = values.activation_function ?? "gelu_new";
  if (!ACTIVATIONS.includes(activation as string)) {
    refuse(`activation_function is ${show(activation)}, not "gelu_new"`);
  }
  if (values.quantization_config != null) refuse("its weights are quantized");
  const hparams: Hparams = {
    n_vocab: size(values, ["vocab_size"], file),
    n_ctx: size(values, ["n_positions", "n_ctx"], file),
    n_embd: size(values, ["n_embd"], file),
    n_head: size(values, ["n_head"], file),
    n_layer: size(values, ["n_layer"], file),
  };
  const { n_embd, n_head } = hparams;
  if (n_embd % n_head !== 0) {
    throw new UserError(`${file}: n_embd ${n_embd} is not a multiple of n_head ${n_head}`, {
      next: "fetch the model again",
    });
  }
  const n_inner = values.n_inner ?? 4 * n_embd;
  if (n_inner !== 4 * n_embd) refuse(`n_inner is ${show(n_inner)}, not 4 n_embd`);
  return { hparams, bos: tokenIds(values.bos_token_id).at(0), eos: tokenIds(values.eos_token_id) };
}

/** The ids in a field that has one, a list of them, or none. */
export const tokenIds = (value: unknown): readonly number[] => [value].flat().filter(isId);

const isId = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;

/** The first of several names that has a value: a positive whole number. */
function size(values: Readonly<Record<string, unknown>>, names: readonly string[], file: string): number {
  const name = names.find((each) => values[each] != null) ?? names[0];
  const n = values[name];
  if (typeof n === "number" && Number.isInteger(n) && n >= 1 && n <= SIZE_LIMIT) return n;
  throw new UserError(`${file}: ${name} must be a positive whole number, not ${show(n)}`, {
    next: "fetch the model again",
  });
}

/** Any value of the file in a message: short and on one line. */
function show(value: unknown): string {
  return value === undefined ? "missing" : quote(value, 60);
}

/**
 * The config.json of a model: the fields that transformers asks for, and no more.
 * @param tokens the ids of the tokens that a text begins from and ends with
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
    n_inner: null,
    activation_function: "gelu_new",
    layer_norm_epsilon: 1e-5,
    tie_word_embeddings: true,
    // Without these two, transformers takes OpenAI's 50256, an id that a smaller vocabulary does not have.
    ...tokens,
    torch_dtype: "float32",
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
