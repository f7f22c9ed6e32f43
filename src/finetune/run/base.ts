import { Encoder } from "../../encoder/encoder.js";
import { NO_SPECIAL_TOKENS } from "../../encoder/special-tokens.js";
import { type Hparams, hparamsJson, parseHparams } from "../../model/hparams.js";
import { initialWeights } from "../../model/initial.js";
import type { WeightSource } from "../../model/weight-source.js";
import { modelFiles, openFolder, type VocabularyFiles } from "../../models/folder.js";

/** What a training starts from. */
export interface BaseModel {
  /** As the user knows it. */
  readonly name: string;
  readonly hparams: Hparams;
  readonly encoder: Encoder;
  /** hparams.json and the vocabulary: the files that a saved model has besides its weights. */
  readonly modelFiles: ReadonlyMap<string, Uint8Array>;
  /** Opens the weights; the caller closes them. */
  open(seed: number): Promise<WeightSource>;
}

/**
 * A model folder to start from.
 * @throws UserError when it is incomplete
 */
export async function folderBase(folder: string, name: string): Promise<BaseModel> {
  const model = await openFolder(folder);
  await model.source.close(); // it is opened again when the training starts
  const { hparams, encoder } = model;
  return {
    name,
    hparams,
    encoder,
    modelFiles: modelFiles(hparams, model, encoder.special),
    open: async () => (await openFolder(folder)).source,
  };
}

/**
 * An untrained model.
 * @param sizes n_vocab comes from the vocabulary
 * @param files its vocabulary
 * @throws UserError when the sizes do not fit together
 */
export async function scratchBase(
  sizes: Omit<Hparams, "n_vocab">,
  files: VocabularyFiles,
): Promise<BaseModel> {
  const encoder = await Encoder.load(files.vocabulary, "the vocabulary");
  const { n_ctx, n_embd, n_head, n_layer } = sizes;
  const json = hparamsJson({ n_vocab: encoder.n_vocab, n_ctx, n_embd, n_head, n_layer });
  const hparams = parseHparams(json, "the new model");
  return {
    name: "a random start",
    hparams,
    encoder,
    modelFiles: modelFiles(hparams, files, NO_SPECIAL_TOKENS),
    open: async (seed) => initialWeights(hparams, seed),
  };
}
