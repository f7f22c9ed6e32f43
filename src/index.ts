/**
 * GPT-2 as a library.
 *
 * ```js
 * import { generate, loadModel } from "gpt2";
 *
 * const model = await loadModel("stories");
 * for await (const piece of generate(model, "Once upon a time", { seed: 1, top_k: 40, length: 40 })) {
 *   process.stdout.write(piece);
 * }
 * await model.dispose();
 * ```
 *
 * The text is the command line's: same model, options and seed, same bytes. Every name here is a promise.
 */

export {
  Conversation,
  type GenerateOptions,
  generate,
  generateSamples,
  type Sample,
  type SamplesOptions,
} from "./api/generate.js";
export { type Encoder, type LoadOptions, loadModel, type Model } from "./api/model.js";
export { attention, logits, type ScoreOptions, score, type TextScore } from "./api/score.js";
export type { Hparams } from "./model/hparams.js";
export type { Attention } from "./sampling/attention.js";
export type { FinishReason } from "./sampling/continuation.js";
export type { LikelyToken, TokenLogprob } from "./sampling/logprobs.js";
export { UserError } from "./system/errors.js";
