import { CONFIG, HUGGING_FACE_COMPANIONS } from "../models/files.js";

/** The files needed of a model on the Hugging Face hub: settings, tokenizer, and the weights in one format. */
export interface NeededFiles {
  /** Small files, fetched first because they show whether the model can be read. */
  readonly small: readonly string[];
  readonly weights: readonly string[];
}

/** The formats of weights, best first: safetensors before PyTorch's, single files before shards. */
const FORMS: readonly { readonly index: string; readonly single: string; readonly shard: RegExp }[] = [
  {
    single: "model.safetensors",
    index: "model.safetensors.index.json",
    shard: /^model-\d{5}-of-(\d{5})\.safetensors$/,
  },
  {
    single: "pytorch_model.bin",
    index: "pytorch_model.bin.index.json",
    shard: /^pytorch_model-\d{5}-of-(\d{5})\.bin$/,
  },
];

/**
 * Chooses the files that are needed from a repository.
 * @param names the repository's files; those in folders are ignored
 * @returns undefined if weights are missing, or none can be read
 */
export function neededFiles(names: readonly string[]): NeededFiles | undefined {
  const small = HUGGING_FACE_COMPANIONS.filter((name) => names.includes(name));
  if (!small.includes(CONFIG)) return undefined;
  for (const { single, index, shard } of FORMS) {
    if (names.includes(single)) return { small, weights: [single] };
    const shards = names.filter((name) => shard.test(name)).sort();
    const [, total] = shard.exec(shards[0] ?? "") ?? [];
    if (total === undefined || shards.length !== Number(total)) continue;
    return { small, weights: [...(names.includes(index) ? [index] : []), ...shards] };
  }
  return undefined;
}
