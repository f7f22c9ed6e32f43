/**
 * The name of a parameter in Hugging Face's GPT-2, without the `transformer.` of models with a head:
 * "model/h0/attn/c_attn/w" -> "h.0.attn.c_attn.weight". The values have the same order: both store linear weights
 * as [n_in, n_out], OpenAI's with a leading 1.
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

/** The prefix of parameters in models with a head. */
export const PREFIX = "transformer.";

/** The output matrix, which has no prefix. */
export const HEAD = "lm_head.weight";

/** Prefixes, in any combination, of models with a head, their wrappers, torch.compile and DataParallel. */
export const PREFIXES = /^(?:(?:transformer|model|module|_orig_mod)\.)+/;

/** A parameter's shape at Hugging Face: [1, n_in, n_out] -> [n_in, n_out]. */
export function huggingFaceShape(shape: readonly number[]): readonly number[] {
  return shape.length === 3 ? shape.slice(1) : shape;
}

/** Whether a tensor is an attention mask, which older versions stored and every model shares. */
export function isMask(name: string): boolean {
  return /^h\.\d+\.attn\.(bias|masked_bias)$/.test(name);
}

/** Whether a tensor belongs to a head for something other than the next token: classes, answers, choices, rewards. */
export function isOtherHead(name: string): boolean {
  return /^(v_head|score|classifier|qa_outputs|multiple_choice_head)\./.test(name);
}
