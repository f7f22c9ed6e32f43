import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { hasCheckpoint, openCheckpoint } from "./checkpoint/checkpoint.js";
import { type Encoder, loadEncoder } from "./encoder.js";
import { createEngine, type EngineOptions } from "./engines/create.js";
import { UserError } from "./errors.js";
import { fileError } from "./files.js";
import { type Engine, type Hparams, parseHparams, type WeightSource } from "./model.js";
import { hasWeights, openWeights } from "./weights/read.js";

/** A model that is ready to read and write. */
export interface Model {
  readonly hparams: Hparams;
  readonly encoder: Encoder;
  readonly engine: Engine;
}

/** Reads a model folder's hparams.json. */
export async function loadHparams(folder: string): Promise<Hparams> {
  const file = join(folder, "hparams.json");
  const json = await readFile(file, "utf8").catch((error) => {
    throw fileError("read", file, error);
  });
  return parseHparams(json, file);
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
