/** What of a model on the Hugging Face hub is needed: the settings and the tokenizer, and the weights once. */
export interface NeededFiles {
  /** Small files, which say whether the model can be read at all: they come first. */
  readonly small: readonly string[];
  readonly weights: readonly string[];
}

export const CONFIG = "config.json";

const SMALL: readonly string[] = [
  CONFIG,
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "vocab.txt",
  "aitextgen.tokenizer.json",
];

/** The forms in which weights are stored, best first: safetensors before PyTorch's, whole before shards. */
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
 * Chooses what is needed of a repository's files.
 * @param names of the files; what lies in folders of the repository counts for nothing
 * @returns undefined where a part of the weights is missing, or nothing of them is there that can be read
 */
export function neededFiles(names: readonly string[]): NeededFiles | undefined {
  const small = SMALL.filter((name) => names.includes(name));
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
