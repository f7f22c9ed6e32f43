import type { Target } from "../target.js";
import { indexTarget, snappyTarget, stateTarget } from "./checkpoint.js";
import { ggufTarget } from "./gguf.js";
import { configTarget, hparamsTarget } from "./sizes.js";
import { torchLegacyTarget, torchZipTarget } from "./torch.js";
import { encoderTarget, tokenizerTarget } from "./vocabulary.js";
import { manifestTarget, safetensorsTarget } from "./weights.js";

/** By name; each is made with the folder that its files will be in. */
export const TARGETS: Readonly<Record<string, (folder: string) => Target | Promise<Target>>> = {
  index: indexTarget,
  snappy: snappyTarget,
  state: stateTarget,
  manifest: manifestTarget,
  safetensors: safetensorsTarget,
  torch: torchZipTarget,
  "torch-legacy": torchLegacyTarget,
  gguf: ggufTarget,
  encoder: encoderTarget,
  tokenizer: tokenizerTarget,
  hparams: hparamsTarget,
  config: configTarget,
};
