import { join } from "node:path";
import {
  checkOpenAiSize,
  Encoder,
  loadSpecialTokens,
  openAiVocabulary,
  VOCABULARY_BYTES,
} from "../encoder/encoder.js";
import {
  isSpecial,
  type SpecialTokens,
  specialTokensJson,
  TOKENIZER_FILE,
  TOKENS_FILE,
} from "../encoder/special-tokens.js";
import { createEngine, type EngineOptions } from "../engines/create.js";
import { restoreInterrupted } from "../formats/file-set.js";
import { hasCheckpoint, openCheckpoint } from "../formats/tensorflow/checkpoint.js";
import { hasWeights, openWeights } from "../formats/tfjs/read.js";
import type { Engine } from "../model/engine.js";
import { HPARAMS_BYTES, type Hparams, hparamsJson, parseHparams } from "../model/hparams.js";
import { checkParameters, LM_HEAD, sizeOf } from "../model/parameters.js";
import type { TensorInfo, WeightSource } from "../model/weight-source.js";
import { DOWNLOAD_AGAIN, UserError } from "../system/errors.js";
import { listFolder, readSmallFile } from "../system/files.js";
import { decodeText } from "../system/text-encoding.js";
import { HPARAMS, VOCABULARY } from "./files.js";

/** A loaded model, ready to read and write text. */
export interface LoadedModel {
  readonly hparams: Hparams;
  readonly encoder: Encoder;
  readonly engine: Engine;
}

/** Reads a model folder's hparams.json. */
export async function loadHparams(folder: string): Promise<Hparams> {
  restoreInterrupted(folder);
  const file = join(folder, HPARAMS);
  const json = await readSmallFile(file, HPARAMS_BYTES, DOWNLOAD_AGAIN);
  return parseHparams(decodeText(json), file);
}

/** A vocabulary's files. */
export interface VocabularyFiles {
  /** Bytes by name: encoder.json and vocab.bpe, or another tokenizer's tokenizer.json. */
  readonly vocabulary: ReadonlyMap<string, Buffer>;
}

/** A model folder's vocabulary. */
export interface FolderVocabulary extends VocabularyFiles {
  readonly encoder: Encoder;
  /** Whether the folder has the files; else they are OpenAI's. */
  readonly isOwn: boolean;
}

/**
 * Reads a model folder's encoder.json and vocab.bpe, else its tokenizer.json, else OpenAI's files.
 * @throws UserError when one of the two is missing
 */
export async function readVocabulary(
  folder: string,
): Promise<VocabularyFiles & { isOwn: boolean; from: string }> {
  const names = await listFolder(folder);
  const isByteLevel = VOCABULARY.some((name) => names.includes(name));
  const isOther = !isByteLevel && names.includes(TOKENIZER_FILE);
  const isOwn = isByteLevel || isOther;
  const from = isOwn ? folder : openAiVocabulary();
  const vocabulary = new Map<string, Buffer>();
  for (const name of isOther ? [TOKENIZER_FILE] : VOCABULARY) {
    vocabulary.set(name, await readSmallFile(join(from, name), VOCABULARY_BYTES, DOWNLOAD_AGAIN));
  }
  return { vocabulary, isOwn, from };
}

/**
 * Loads a model folder's vocabulary.
 * @throws UserError when a file is missing or malformed, or has more tokens than hparams.json says
 */
export async function loadVocabulary(folder: string, { n_vocab }: Hparams): Promise<FolderVocabulary> {
  const { vocabulary, isOwn, from } = await readVocabulary(folder);
  if (!isOwn) checkOpenAiSize(folder, n_vocab);
  const encoder = await Encoder.load(vocabulary, from, await loadSpecialTokens(from));
  if (encoder.n_vocab > n_vocab) {
    const [file] = vocabulary.keys();
    throw new UserError(
      `${folder}: ${file} has ${encoder.n_vocab} tokens and hparams.json ${n_vocab}: they belong to different models`,
    );
  }
  return { vocabulary, encoder, isOwn };
}

/** A model folder's weights: the converted ones, or the TensorFlow checkpoint if there are none. */
export async function openModel(folder: string): Promise<WeightSource> {
  if (await hasWeights(folder)) return openWeights(folder);
  if (await hasCheckpoint(folder)) return openCheckpoint(folder);
  throw new UserError(`${folder} has no weights (neither model.json nor a TensorFlow checkpoint)`, {
    next: "download it again",
  });
}

/** An open model folder. */
export interface OpenFolder extends FolderVocabulary {
  /** n_vocab is the vocabulary's number of tokens. */
  readonly hparams: Hparams;
  readonly source: WeightSource;
}

/**
 * Opens a model folder. Rows of the embedding beyond the vocabulary are left out.
 * @throws UserError when a file is missing, damaged or of another model
 */
export async function openFolder(folder: string): Promise<OpenFolder> {
  const stored = await loadHparams(folder);
  const vocabulary = await loadVocabulary(folder, stored);
  const source = await openModel(folder);
  return { ...vocabulary, ...(await withoutPadding(stored, source, vocabulary.encoder)) };
}

/**
 * A model without the embedding's rows beyond the vocabulary; nanoGPT pads it to a multiple of 64.
 * @throws UserError when the weights do not have these sizes; the source is then closed
 */
export async function withoutPadding(
  hparams: Hparams,
  source: WeightSource,
  { n_vocab }: Encoder,
): Promise<{ hparams: Hparams; source: WeightSource }> {
  if (n_vocab === hparams.n_vocab) return { hparams, source };
  try {
    checkParameters(hparams, source);
  } catch (error) {
    await source.close();
    throw error;
  }
  return { hparams: { ...hparams, n_vocab }, source: withRows(source, n_vocab) };
}

/** The notice when rows are left out; empty when none are. */
export function paddingNotice(rows: number, n_vocab: number): string[] {
  if (rows === n_vocab) return [];
  return [
    `the tokenizer has ${n_vocab} tokens and the embedding ${rows} rows: the last ${rows - n_vocab} are cut off`,
  ];
}

/** The source with only the first n_vocab rows of the embedding, and of a separate output matrix. */
function withRows(source: WeightSource, n_vocab: number): WeightSource {
  const whole = new Map<string, TensorInfo>(); // [more rows, n_embd]
  for (const name of ["model/wte", LM_HEAD]) {
    const tensor = source.tensors.get(name);
    if (tensor) whole.set(name, tensor);
  }
  const cut = [...whole].map(([name, tensor]): [string, TensorInfo] => [
    name,
    { ...tensor, shape: [n_vocab, tensor.shape[1]] },
  ]);
  return {
    path: source.path,
    tensors: new Map([...source.tensors, ...cut]),
    read: async (name, target) => {
      const tensor = whole.get(name);
      if (!tensor) return source.read(name, target);
      const values = new Float32Array(sizeOf(tensor.shape)); // read whole, because its checksum covers all rows
      await source.read(name, values);
      target.set(values.subarray(0, target.length));
    },
    close: () => source.close(),
  };
}

/** The small files that a model folder holds besides its weights, by name. */
export function modelFiles(
  hparams: Hparams,
  { vocabulary }: VocabularyFiles,
  special: SpecialTokens,
): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>([[HPARAMS, Buffer.from(hparamsJson(hparams))], ...vocabulary]);
  if (isSpecial(special)) files.set(TOKENS_FILE, Buffer.from(specialTokensJson(special)));
  return files;
}

/**
 * Loads a model folder.
 * @throws UserError when a file is missing, damaged or of another model
 */
export async function loadFolder(folder: string, options: EngineOptions = {}): Promise<LoadedModel> {
  const { hparams, encoder, source } = await openFolder(folder);
  try {
    return { hparams, encoder, engine: await createEngine(hparams, source, options) };
  } finally {
    await source.close();
  }
}
