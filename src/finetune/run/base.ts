import { join } from "node:path";
import { Encoder, openAiVocabulary, VOCABULARY_BYTES } from "../../encoder/encoder.js";
import { isSpecial, specialTokensJson, TOKENS_FILE } from "../../encoder/special-tokens.js";
import { type Hparams, hparamsJson, parseHparams } from "../../model/hparams.js";
import { initialWeights } from "../../model/initial.js";
import type { WeightSource } from "../../model/weight-source.js";
import { HPARAMS, VOCABULARY } from "../../models/files.js";
import { openFolder } from "../../models/load.js";
import { readSmallFileIfThere } from "../../system/files.js";

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
  const { hparams, encoder, encoderJson, vocabBpe, source } = await openFolder(folder);
  await source.close(); // it is opened when the training begins
  const modelFiles = new Map([
    [HPARAMS, Buffer.from(hparamsJson(hparams))],
    ["encoder.json", encoderJson],
    ["vocab.bpe", vocabBpe],
  ]);
  if (isSpecial(encoder.special))
    modelFiles.set(TOKENS_FILE, Buffer.from(specialTokensJson(encoder.special)));
  return { name, hparams, encoder, modelFiles, open: async () => (await openFolder(folder)).source };
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
  const json = hparamsJson({ n_vocab: encoder.n_vocab, n_ctx, n_embd, n_head, n_layer });
  const hparams = parseHparams(json, "the new model");
  return {
    name: "a random start",
    hparams,
    encoder,
    modelFiles: new Map([[HPARAMS, Buffer.from(json)], ...vocabulary]),
    open: async (seed) => initialWeights(hparams, seed),
  };
}
