/**
 * The name of a parameter in Hugging Face's GPT-2, without the `transformer.` of the models that have a head:
 * "model/h0/attn/c_attn/w" -> "h.0.attn.c_attn.weight". The values are the same, in the same order: both keep
 * the weights of linear layers as [n_in, n_out]; OpenAI's have a leading 1.
 * Source: transformers' load_tf_weights_in_gpt2.
 */
export function huggingFaceName(name: string): string {
  return name
    .replace(/^model\//, "")
    .replace(/^h(\d+)\//, "h.$1.")
    .replace(/^(w[tp]e|lm_head)$/, "$&.weight")
    .replace(/\/[gw]$/, ".weight")
    .replace(/\/b$/, ".bias")
    .replaceAll("/", ".");
}

/** What the models with a head put before their parameters' names. */
export const PREFIX = "transformer.";

/** The output matrix, which has no prefix. */
export const HEAD = "lm_head.weight";

/** What programs put before the names, one upon another: a model with a head, its wrapper, torch.compile, DataParallel. */
export const PREFIXES = /^(?:(?:transformer|model|module|_orig_mod)\.)+/;

/** A shape as Hugging Face has it: [1, n_in, n_out] -> [n_in, n_out]. */
export function huggingFaceShape(shape: readonly number[]): readonly number[] {
  return shape.length === 3 ? shape.slice(1) : shape;
}

/** Masks that older versions stored as tensors: every model's are the same. */
export function isMask(name: string): boolean {
  return /^h\.\d+\.attn\.(bias|masked_bias)$/.test(name);
}

/** Heads beside the one that predicts the next token: for scoring, classes, answers and choices. */
export function isOtherHead(name: string): boolean {
  return /^(v_head|score|classifier|qa_outputs|multiple_choice_head)\./.test(name);
}
