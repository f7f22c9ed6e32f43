// The ckpt.pt of karpathy/nanoGPT. Source: its train.py (what is saved) and model.py (what is computed).
import { type Hparams, isModelSize } from "../../model/hparams.js";
import { quote, UserError } from "../../system/errors.js";
import type { OwnConfig } from "../own-config.js";
import type { TorchFile } from "./torch-file.js";

export const NANOGPT = "nanoGPT";

/** nanoGPT's names for the sizes, and ours. */
const SIZES = {
  vocab_size: "n_vocab",
  block_size: "n_ctx",
  n_embd: "n_embd",
  n_head: "n_head",
  n_layer: "n_layer",
};
const KNOWN: readonly unknown[] = [...Object.keys(SIZES), "bias", "dropout"];

/**
 * What nanoGPT's file says of its model; undefined for another program's file.
 * @throws UserError when a setting is missing or unknown: a modified nanoGPT may compute anything
 */
export function nanoGptConfig({ path, extra }: TorchFile): OwnConfig | undefined {
  const settings = extra.get("model_args");
  if (!(settings instanceof Map)) return undefined;
  const refuse = (what: string): never => {
    throw new UserError(`${path}: its model_args ${what}: this model cannot be imported`);
  };
  for (const name of settings.keys()) {
    if (!KNOWN.includes(name)) {
      refuse(`have ${quote(name)}, which nanoGPT's own GPT-2 does not have`);
    }
  }
  const sizes: Record<string, number> = {};
  for (const [theirs, ours] of Object.entries(SIZES)) {
    const n: unknown = settings.get(theirs);
    if (!isModelSize(n)) return refuse(`have no valid ${theirs} (${quote(n, 40)})`);
    sizes[ours] = n;
  }
  const hparams = sizes as unknown as Hparams;
  if (hparams.n_embd % hparams.n_head !== 0) refuse("have an n_embd that is not a multiple of n_head");
  const config = extra.get("config");
  return {
    hparams: { ...hparams, activation_function: "gelu" },
    dataset: config instanceof Map ? config.get("dataset") : undefined,
    n_tokens: hparams.n_vocab,
    hasBiases: settings.get("bias") !== false,
    origin: NANOGPT,
    place: "its model_args",
    notices: [
      "its GELU is assumed to be nanoGPT's since 2023 (exact, with erf); the file does not say which it was trained with",
    ],
  };
}
