import { join } from "node:path";
import { type Encoder, loadEncoder, openAiVocabulary } from "../../encoder/encoder.js";
import type { SpecialTokens } from "../../encoder/special-tokens.js";
import type { Hparams } from "../../model/hparams.js";
import type { WeightSource } from "../../model/weight-source.js";
import { UserError } from "../../system/errors.js";
import { parseConfig } from "./config.js";
import { readSmallText } from "./json.js";
import { readTokenizer, type Tokenizer } from "./tokenizer.js";
import { openHuggingFaceWeights } from "./weights.js";

/** A Hugging Face GPT-2 in OpenAI's terms. */
export interface HuggingFaceModel {
  readonly hparams: Hparams;
  /** Parameters under OpenAI's names; the embedding has a row for each token and no more. */
  readonly source: WeightSource;
  readonly encoderJson: string;
  readonly vocabBpe: string;
  /** How the model means its tokens. */
  readonly special: SpecialTokens;
  /** What the user should know, a line each. */
  readonly notices: readonly string[];
}

const CONFIG = "config.json";

/**
 * Opens a folder with config.json, model.safetensors (or several of them) and a tokenizer.
 * @throws UserError when a file is missing or damaged, or the model computes something else than OpenAI's GPT-2
 */
export async function openHuggingFace(folder: string): Promise<HuggingFaceModel> {
  const path = join(folder, CONFIG);
  const json = await readSmallText(path);
  if (json === undefined) throw new UserError(`cannot read ${path}: no such file or folder`);
  const { hparams, bos, eos } = parseConfig(json, path);
  const tokenizer = await tokenizerOf(folder, hparams.n_vocab);
  const { encoder, encoderJson, vocabBpe } = tokenizer;
  const { n_vocab } = encoder;
  if (n_vocab > hparams.n_vocab) {
    throw new UserError(
      `${folder}: the tokenizer has ${n_vocab} tokens and ${CONFIG} a vocab_size of ${hparams.n_vocab}: they are not of the same model`,
    );
  }
  const { source, notices } = await openHuggingFaceWeights(folder, hparams, n_vocab);
  const all = [...tokenizer.notices, ...notices];
  if (n_vocab < hparams.n_vocab) {
    all.push(
      `the tokenizer has ${n_vocab} tokens and the embedding ${hparams.n_vocab} rows: the last ${hparams.n_vocab - n_vocab} are cut off`,
    );
  }
  const special = meantTokens(encoder, bos, eos);
  return { hparams: { ...hparams, n_vocab }, source, encoderJson, vocabBpe, special, notices: all };
}

/** The tokenizer's own, with the tokens that config.json begins and ends a text with, where they are not OpenAI's. */
function meantTokens(encoder: Encoder, bos: number | undefined, eos: readonly number[]): SpecialTokens {
  const { n_vocab, special } = encoder;
  const ends = eos.filter((id) => id < n_vocab);
  const end = ends.at(0) ?? encoder.endOfText;
  const isOwnEnd = ends.length > 1 || end !== encoder.endOfText;
  const isOwnStart = bos !== undefined && bos < n_vocab && bos !== end;
  const added = new Map(special.added);
  // Wherever a prompt has them, they are meant.
  for (const id of [...(isOwnEnd ? ends : []), ...(isOwnStart ? [bos] : [])])
    added.set(encoder.decode([id]), id);
  return { ...special, ...(isOwnStart && { bos }), eos: isOwnEnd ? ends : [], added };
}

/** The folder's tokenizer; a model of OpenAI's vocabulary need not bring one. */
async function tokenizerOf(folder: string, n_vocab: number): Promise<Tokenizer> {
  const own = await readTokenizer(folder, n_vocab);
  if (own) return own;
  const openAi = openAiVocabulary();
  const encoder = await loadEncoder(openAi);
  if (encoder.n_vocab !== n_vocab) {
    throw new UserError(`${folder} has no tokenizer`, {
      next: "it needs vocab.json and merges.txt, or a tokenizer.json; fetch them, too",
    });
  }
  return {
    encoder,
    encoderJson: (await readSmallText(join(openAi, "encoder.json"))) ?? "",
    vocabBpe: (await readSmallText(join(openAi, "vocab.bpe"))) ?? "",
    notices: ["it brings no tokenizer: OpenAI's vocabulary is taken"],
  };
}
