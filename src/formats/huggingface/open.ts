import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Encoder, loadEncoder, openAiVocabulary } from "../../encoder/encoder.js";
import type { SpecialTokens } from "../../encoder/special-tokens.js";
import type { Hparams } from "../../model/hparams.js";
import type { WeightSource } from "../../model/weight-source.js";
import { UserError } from "../../system/errors.js";
import { withAdapter } from "./adapter.js";
import { type Config, parseConfig, tokenIds } from "./config.js";
import { readJson, readSmallText } from "./json.js";
import { readTokenizer, type Tokenizer } from "./tokenizer.js";
import { openHuggingFaceWeights } from "./weights.js";

/** A Hugging Face GPT-2 in OpenAI's terms. */
export interface HuggingFaceModel {
  readonly hparams: Hparams;
  /** Parameters under OpenAI's names; the embedding has a row for each token and no more. */
  readonly source: WeightSource;
  /** The texts of the vocabulary's files, by the names that a model folder of ours has for them. */
  readonly vocabulary: ReadonlyMap<string, string>;
  /** How the model means its tokens. */
  readonly special: SpecialTokens;
  /** What the user should know, a line each. */
  readonly notices: readonly string[];
}

const CONFIG = "config.json";

/**
 * Opens a folder with config.json, model.safetensors (or several of them) and a tokenizer.
 * @throws UserError when a file is missing or damaged, or the model is no GPT-2 or computes what none here does
 */
export async function openHuggingFace(folder: string): Promise<HuggingFaceModel> {
  const path = join(folder, CONFIG);
  const json = await readSmallText(path);
  if (json === undefined) throw new UserError(`cannot read ${path}: no such file or folder`);
  const config = await withGeneration(folder, parseConfig(json, path));
  const { hparams } = config;
  const tokenizer = await tokenizerOf(folder, config, json);
  const { encoder, files } = tokenizer;
  const { n_vocab } = encoder;
  if (n_vocab > hparams.n_vocab) {
    throw new UserError(
      `${folder}: the tokenizer has ${n_vocab} tokens and ${CONFIG} a vocab_size of ${hparams.n_vocab}: they are not of the same model`,
    );
  }
  const opened = await openHuggingFaceWeights(folder, hparams, n_vocab);
  const merged = await withAdapter(folder, await readdir(folder), opened.hparams, opened.source);
  const all = [...config.notices, ...tokenizer.notices, ...opened.notices, ...merged.notices];
  if (n_vocab < hparams.n_vocab) {
    all.push(
      `the tokenizer has ${n_vocab} tokens and the embedding ${hparams.n_vocab} rows: the last ${hparams.n_vocab - n_vocab} are cut off`,
    );
  }
  const special = meantTokens(encoder, config.bos, config.eos);
  const { source } = merged;
  return { hparams: { ...opened.hparams, n_vocab }, source, vocabulary: files, special, notices: all };
}

/** The config with the tokens that generation_config.json names, which decides where texts begin and end. */
async function withGeneration(folder: string, config: Config): Promise<Config> {
  const json = await readJson(join(folder, "generation_config.json"));
  if (typeof json !== "object" || json === null) return config;
  const { bos_token_id, eos_token_id } = json as Readonly<Record<string, unknown>>;
  const [bos] = tokenIds(bos_token_id);
  const eos = tokenIds(eos_token_id);
  return { ...config, bos: bos ?? config.bos, eos: eos.length > 0 ? eos : config.eos };
}

/** The tokenizer's own, but with the tokens that config.json begins and ends a text with, where it has them. */
function meantTokens(encoder: Encoder, bos: number | undefined, eos: readonly number[]): SpecialTokens {
  const { n_vocab, special, endOfText } = encoder;
  const isToken = (id: number | undefined): id is number => id !== undefined && id < n_vocab;
  const { bos: itsStart, eos: itsEnds, added, ...rest } = special;
  const own = eos.filter(isToken);
  const ends = own.length > 0 ? own : itsEnds;
  const start = isToken(bos) ? bos : itsStart;
  const end = ends.at(0) ?? endOfText;
  const isMark = (id: number): boolean => ends.includes(id) || id === start;
  return {
    ...rest,
    ...(start !== undefined && start !== end && { bos: start }),
    eos: ends,
    added: new Map(
      [...added].map(([text, token]) => [text, isMark(token.id) ? { ...token, special: true } : token]),
    ),
  };
}

/** The folder's tokenizer; a model that says it has OpenAI's vocabulary need not bring one. */
async function tokenizerOf(folder: string, config: Config, json: string): Promise<Tokenizer> {
  const own = await readTokenizer(folder, config.hparams.n_vocab);
  if (own) return own;
  const openAi = openAiVocabulary();
  const encoder = await loadEncoder(openAi);
  if (!speaksOfOpenAi(encoder, config, json)) {
    throw new UserError(`${folder} has no tokenizer`, {
      next: "it needs vocab.json and merges.txt, or a tokenizer.json; fetch them, too",
    });
  }
  const files = new Map<string, string>();
  for (const name of ["encoder.json", "vocab.bpe"]) {
    files.set(name, (await readSmallText(join(openAi, name))) ?? "");
  }
  return { encoder, files, notices: ["it brings no tokenizer: OpenAI's vocabulary is taken"] };
}

/** Whether sizes and special tokens are those of OpenAI's vocabulary, and no other tokenizer is named. */
function speaksOfOpenAi(
  { n_vocab, endOfText }: Encoder,
  { hparams, bos, eos }: Config,
  json: string,
): boolean {
  const { tokenizer_class } = JSON.parse(json) as { readonly tokenizer_class?: unknown };
  return (
    hparams.n_vocab === n_vocab &&
    [bos ?? endOfText, ...eos].every((id) => id === endOfText) &&
    (tokenizer_class == null || /^GPT2Tokenizer/.test(String(tokenizer_class)))
  );
}
