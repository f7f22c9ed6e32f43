import { join } from "node:path";
import { Encoder, loadEncoder, openAiVocabulary, VOCABULARY_BYTES } from "../encoder/encoder.js";
import { createEngine, type EngineOptions } from "../engines/create.js";
import { hasCheckpoint, openCheckpoint } from "../formats/tensorflow/checkpoint.js";
import { hasWeights, openWeights } from "../formats/tfjs/read.js";
import {
  type Engine,
  HPARAMS_BYTES,
  type Hparams,
  parseHparams,
  type WeightSource,
} from "../model/hparams.js";
import { UserError } from "../system/errors.js";
import { listFolder, readSmallFile } from "../system/files.js";
import { HPARAMS, VOCABULARY } from "./files.js";

/** A model that is ready to read and write. */
export interface Model {
  readonly hparams: Hparams;
  readonly encoder: Encoder;
  readonly engine: Engine;
}

/** Reads a model folder's hparams.json. */
export async function loadHparams(folder: string): Promise<Hparams> {
  const file = join(folder, HPARAMS);
  const json = await readSmallFile(file, HPARAMS_BYTES, "download the model again");
  return parseHparams(json.toString("utf8"), file);
}

/** A model folder's vocabulary as it stands in its files. */
export interface VocabularyFiles {
  readonly encoderJson: Buffer;
  readonly vocabBpe: Buffer;
  readonly encoder: Encoder;
  /** The folder has them; else they are OpenAI's. */
  readonly isOwn: boolean;
}

/**
 * Reads a model folder's encoder.json and vocab.bpe or, where it has neither, OpenAI's.
 * @throws UserError when one is missing or malformed, or they are of another size than hparams.json says
 */
export async function loadVocabulary(folder: string, { n_vocab }: Hparams): Promise<VocabularyFiles> {
  const names = await listFolder(folder);
  const isOwn = VOCABULARY.some((name) => names.includes(name));
  const from = isOwn ? folder : openAiVocabulary();
  const read = (name: string): Promise<Buffer> =>
    readSmallFile(join(from, name), VOCABULARY_BYTES, "download the model again");
  const [encoderJson, vocabBpe] = await Promise.all(VOCABULARY.map(read));
  const encoder = Encoder.fromFiles(encoderJson, vocabBpe, from);
  if (encoder.n_vocab !== n_vocab) {
    throw new UserError(
      `${folder}: ${isOwn ? "encoder.json" : "OpenAI's encoder.json"} has ${encoder.n_vocab} tokens and hparams.json ${n_vocab}: they are not of the same model`,
    );
  }
  return { encoderJson, vocabBpe, encoder, isOwn };
}

/** A model folder's weights: the converted ones, or the TensorFlow checkpoint where there are none. */
export async function openModel(folder: string): Promise<WeightSource> {
  if (await hasWeights(folder)) return openWeights(folder);
  if (await hasCheckpoint(folder)) return openCheckpoint(folder);
  throw new UserError(
    `${folder} has no weights: neither model.json nor a TensorFlow checkpoint; download it again`,
  );
}

/**
 * Loads a model folder.
 * @throws UserError when a file is missing, damaged or of another model
 */
export async function loadModel(folder: string, options: EngineOptions = {}): Promise<Model> {
  const hparams = await loadHparams(folder);
  const encoder = await loadEncoder(folder);
  if (encoder.n_vocab !== hparams.n_vocab) {
    throw new UserError(
      `${folder}: encoder.json has ${encoder.n_vocab} tokens and hparams.json ${hparams.n_vocab}: they are not of the same model`,
    );
  }
  const source = await openModel(folder);
  try {
    return { hparams, encoder, engine: await createEngine(hparams, source, options) };
  } finally {
    await source.close();
  }
}
