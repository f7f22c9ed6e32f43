// The names of the files that a model folder may hold, by format, for everything that finds, counts, replaces or removes
// them.
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { TOKENIZER_FILE, TOKENS_FILE } from "../encoder/special-tokens.js";

/** OpenAI's seven files, in download order. */
export const OPENAI_FILES = [
  "checkpoint",
  "encoder.json",
  "hparams.json",
  "model.ckpt.data-00000-of-00001",
  "model.ckpt.index",
  "model.ckpt.meta",
  "vocab.bpe",
] as const;

export const HPARAMS = "hparams.json";
/** A vocabulary: the tokens' ids, and the merges. */
export const VOCABULARY = ["encoder.json", "vocab.bpe"] as const;
/** A file with a run's number of steps, as gpt-2-simple writes it. */
export const COUNTER = "counter";

/** Says which model of the Hugging Face hub a folder holds, at which commit. */
export const HUB_FILE = "hub.json";
/** Where a model folder keeps what it downloads from the hub until it is imported. */
export const STAGING = ".hub";

const FORMATS = ["tensorflow", "tfjs", "huggingface"] as const;
/** The formats that a model folder may be in. */
export type FolderFormat = (typeof FORMATS)[number];

/** Names of each format's weights. */
const WEIGHTS: Readonly<Record<FolderFormat, RegExp>> = {
  tensorflow: /^model(\.ckpt|-\d+)\.(meta|index|data-\d{5}-of-\d{5})$/,
  tfjs: /^(model\.json|group\d+-shard\d+of\d+\.bin)$/,
  huggingface: /^(model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json)$/,
};

export const CONFIG = "config.json";

/** The settings and tokenizers of Hugging Face's models. */
export const HUGGING_FACE_COMPANIONS: readonly string[] = [
  CONFIG,
  "generation_config.json",
  "tokenizer_config.json",
  "tokenizer.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "vocab.txt",
  "aitextgen.tokenizer.json",
];

const COMPANIONS: Readonly<Record<FolderFormat, readonly string[]>> = {
  tensorflow: ["checkpoint", COUNTER, HPARAMS, ...VOCABULARY, TOKENIZER_FILE, TOKENS_FILE],
  tfjs: [COUNTER, HPARAMS, ...VOCABULARY, TOKENIZER_FILE, TOKENS_FILE, HUB_FILE],
  huggingface: HUGGING_FACE_COMPANIONS,
};

/** PyTorch's own files: read if there is no safetensors. */
const PYTORCH = /^pytorch_model(-\d{5}-of-\d{5}\.bin|\.bin|\.bin\.index\.json)$/;

/** Locks: of a download or of a set of files, and a lock being replaced. */
const LOCK = /^\.(download|writing)\.lock(\.\d+-[0-9a-f]{8})?$/;
/** Files being written or moved aside: by a download (and its note), by a set of files, by a single file. */
const PART = /(\.part|\.part\.json|\.\d+-[0-9a-f]{8}(\.old)?\.part|\.[0-9a-f]{8}\.part)$/;

/** Whether a folder's file of this name belongs to a format. */
export function isFileOf(format: FolderFormat, name: string): boolean {
  return COMPANIONS[format].includes(name) || WEIGHTS[format].test(name);
}

/** Whether a folder's file of this name belongs to a format's weights. */
export function isWeightsOf(format: FolderFormat, name: string): boolean {
  return WEIGHTS[format].test(name);
}

/** Whether a download from the hub may put a file of this name into STAGING, whole or as a part. */
function isStaged(name: string): boolean {
  const whole = wholeOf(name) ?? name;
  return isFileOf("huggingface", whole) || PYTORCH.test(whole) || whole === HUB_FILE || LOCK.test(name);
}

/** Whether a file's name suggests another program's weights, which `gpt2 import` reads. */
export function isForeignWeights(name: string): boolean {
  return isWeightsOf("huggingface", name) || /^pytorch_model.*\.bin$|\.(gguf|pt|pth|h5)$/.test(name);
}

/** Whether a file belongs to writing that is under way or was cut off: a lock, or a part of a model's file. */
export function isLeftover(name: string): boolean {
  const whole = wholeOf(name);
  const isFile = (format: FolderFormat): boolean => isFileOf(format, whole as string);
  if (name === STAGING) return true;
  return LOCK.test(name) || (whole !== undefined && FORMATS.some(isFile));
}

/** The name of the file that this is a part or an old version of; undefined if it is neither. */
function wholeOf(name: string): string | undefined {
  return PART.test(name) ? name.replace(PART, "") : undefined;
}

/** Whether a file of this name, whole or a part, belongs to one of our model folders (a checkpoint or tfjs weights). */
function isModelFile(name: string): boolean {
  const whole = wholeOf(name) ?? name;
  return isFileOf("tensorflow", whole) || isFileOf("tfjs", whole) || LOCK.test(name);
}

/**
 * Whether a folder with these files is a model's, complete or not. It needs sizes or weights: a vocabulary, a counter or
 * a `checkpoint` alone could be anybody's.
 */
export function looksLikeModel(names: readonly string[]): boolean {
  const wholes = names.filter(isModelFile).map((name) => wholeOf(name) ?? name);
  const tells = (name: string): boolean =>
    name === HPARAMS || (name !== "model.json" && (WEIGHTS.tensorflow.test(name) || WEIGHTS.tfjs.test(name)));
  const begun = names.some(
    (name) => /^checkpoint\.part(\.json)?$/.test(name) || name.startsWith(`${STAGING}/`),
  );
  return wholes.some(tells) || begun || (names.includes("checkpoint") && wholes.includes("encoder.json"));
}

/** A model's own files in a folder, including links to files but no folders, with the bytes of each. */
export function modelFilesIn(folder: string): { names: string[]; bytes: number } {
  const names: string[] = [];
  let bytes = 0;
  const staged = lstatSync(join(folder, STAGING), { throwIfNoEntry: false })?.isDirectory()
    ? readdirSync(join(folder, STAGING)).filter(isStaged)
    : [];
  const own = readdirSync(folder).filter(isModelFile);
  for (const name of [...own, ...staged.map((each) => `${STAGING}/${each}`)]) {
    const found = lstatSync(join(folder, name), { throwIfNoEntry: false });
    if (!found || found.isDirectory()) continue;
    names.push(name);
    bytes += found.size;
  }
  return { names, bytes };
}
