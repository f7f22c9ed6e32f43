import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Encoder, loadEncoder, openAiVocabulary, VOCABULARY_BYTES } from "../../encoder/encoder.js";
import { type Hparams, parseHparams, type WeightSource } from "../../model/hparams.js";
import { initialWeights } from "../../model/initial.js";
import { loadHparams, openModel } from "../../models/load.js";
import { UserError } from "../../system/errors.js";
import { fileError, readSmallFileIfThere } from "../../system/files.js";

/** What a training begins from. */
export interface Base {
  /** As the user knows it. */
  readonly name: string;
  readonly hparams: Hparams;
  readonly encoder: Encoder;
  /** hparams.json, encoder.json and vocab.bpe, which a saved model is made of beside its weights. */
  readonly modelFiles: ReadonlyMap<string, Uint8Array>;
  /** Opens the weights; the caller closes them. */
  open(seed: number): Promise<WeightSource>;
}

const VOCABULARY = ["encoder.json", "vocab.bpe"] as const;

/** The two files of a model folder's vocabulary; OpenAI's where it has neither. */
export async function readVocabulary(folder: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  for (const name of VOCABULARY) {
    const path = join(folder, name);
    const bytes = await readSmallFileIfThere(path, VOCABULARY_BYTES, "download the model again");
    if (bytes) found.set(name, bytes);
  }
  return found.size > 0 ? found : readVocabulary(openAiVocabulary());
}

/**
 * A model folder to begin from.
 * @throws UserError when it is incomplete
 */
export async function folderBase(folder: string, name: string): Promise<Base> {
  const hparams = await loadHparams(folder);
  const encoder = await loadEncoder(folder);
  if (encoder.n_vocab !== hparams.n_vocab) {
    throw new UserError(
      `${folder}: encoder.json has ${encoder.n_vocab} tokens and hparams.json ${hparams.n_vocab}: they are not of the same model`,
    );
  }
  const path = join(folder, "hparams.json");
  const json = await readFile(path).catch((error) => {
    throw fileError("read", path, error);
  });
  const modelFiles = new Map([["hparams.json", json], ...(await readVocabulary(folder))]);
  return { name, hparams, encoder, modelFiles, open: () => openModel(folder) };
}

/**
 * A model that has learned nothing yet.
 * @param sizes n_vocab comes from the vocabulary
 * @param vocabulary encoder.json and vocab.bpe
 * @throws UserError when the sizes do not fit together
 */
export function scratchBase(
  sizes: Omit<Hparams, "n_vocab">,
  vocabulary: ReadonlyMap<string, Uint8Array>,
): Base {
  const [encoderJson, vocabBpe] = VOCABULARY.map((name) =>
    Buffer.from(vocabulary.get(name) ?? []).toString(),
  );
  const encoder = Encoder.fromFiles(encoderJson, vocabBpe, "the vocabulary");
  const { n_ctx, n_embd, n_head, n_layer } = sizes;
  const json = `${JSON.stringify({ n_vocab: encoder.n_vocab, n_ctx, n_embd, n_head, n_layer }, null, 2)}\n`;
  const hparams = parseHparams(json, "the new model");
  return {
    name: "a random start",
    hparams,
    encoder,
    modelFiles: new Map([["hparams.json", Buffer.from(json)], ...vocabulary]),
    open: async (seed) => initialWeights(hparams, seed),
  };
}
