import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Encoder, loadEncoder, openAiVocabulary } from "../../encoder/encoder.js";
import type { SpecialTokens } from "../../encoder/special-tokens.js";
import { UserError } from "../../system/errors.js";
import type { ForeignModel } from "../foreign-model.js";
import type { OwnConfig } from "../own-config.js";
import { withAdapter } from "./adapter.js";
import { type Config, parseConfig, tokenIds } from "./config.js";
import { readJson, readSmallText } from "./json.js";
import { readTokenizer, type Tokenizer } from "./tokenizer.js";
import { openFile, openFiles } from "./weight-files.js";
import { openParameters } from "./weights.js";

const CONFIG = "config.json";
const OPENAI_TOKENS = 50257;
/** Filled up to a multiple of 64, as nanoGPT does. */
const OPENAI_PADDED = 50304;

/**
 * Opens a folder with config.json, the weights as safetensors or PyTorch's files, and a tokenizer.
 * @param file the one of the folder's files that has the weights; nanoGPT's and llm.c's need no config.json
 * @throws UserError when a file is missing or damaged, or the model is no GPT-2 or computes what none here does
 */
export async function openHuggingFace(folder: string, file?: string): Promise<ForeignModel> {
  const single = file === undefined ? undefined : await openFile(join(folder, file));
  const own = single?.own;
  const { config, tokenizer } = own
    ? await describedByFile(folder, own)
    : await describedByConfig(folder, file);
  const { hparams } = config;
  const { encoder, files } = tokenizer;
  const { n_vocab } = encoder;
  if (n_vocab > hparams.n_vocab) {
    throw new UserError(
      `${folder}: the tokenizer has ${n_vocab} tokens and ${own?.place ?? CONFIG} a vocab_size of ${hparams.n_vocab}: they are not of the same model`,
    );
  }
  const opened = await openParameters(single ?? (await openFiles(folder)), hparams, n_vocab);
  const names = own ? [] : await readdir(folder);
  const merged = await withAdapter(folder, names, opened.hparams, opened.source);
  const all = [...config.notices, ...tokenizer.notices, ...opened.notices, ...merged.notices];
  if (n_vocab < hparams.n_vocab) {
    all.push(
      `the tokenizer has ${n_vocab} tokens and the embedding ${hparams.n_vocab} rows: the last ${hparams.n_vocab - n_vocab} are cut off`,
    );
  }
  const special = meantTokens(encoder, config.bos, config.eos);
  const { source } = merged;
  const origin = own?.origin ?? "Hugging Face";
  return {
    hparams: { ...opened.hparams, n_vocab },
    source,
    vocabulary: new Map([...files].map(([name, text]) => [name, Buffer.from(text)])),
    special,
    notices: all,
    origin,
  };
}

/** A model's settings and its tokenizer. */
interface Description {
  readonly config: Config;
  readonly tokenizer: Tokenizer;
}

async function describedByConfig(folder: string, file: string | undefined): Promise<Description> {
  const path = join(folder, CONFIG);
  const json = await readSmallText(path);
  if (json === undefined && file !== undefined) {
    throw new UserError(`${join(folder, file)} has no ${CONFIG} beside it, which says the model's sizes`, {
      next: "fetch it, too",
    });
  }
  if (json === undefined) throw new UserError(`cannot read ${path}: no such file or folder`);
  const config = await withGeneration(folder, parseConfig(json, path));
  return { config, tokenizer: await tokenizerOf(folder, config, json) };
}

/** Its tokenizer is OpenAI's where the sizes say so, or what lies beside it. */
async function describedByFile(
  folder: string,
  { hparams, n_tokens, notices, origin }: OwnConfig,
): Promise<Description> {
  const isOpenAi = n_tokens === OPENAI_TOKENS || n_tokens === OPENAI_PADDED;
  const tokenizer = isOpenAi ? await openAiTokenizer() : await readTokenizer(folder, n_tokens);
  if (tokenizer) return { config: { hparams, notices, bos: undefined, eos: [] }, tokenizer };
  throw new UserError(
    `${origin}'s file has a vocabulary of ${n_tokens} tokens, which is not OpenAI's, and does not bring it`,
    { next: "put its vocab.json and merges.txt, or its tokenizer.json, next to it" },
  );
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
  const openAi = await openAiTokenizer();
  if (!speaksOfOpenAi(openAi.encoder, config, json)) {
    throw new UserError(`${folder} has no tokenizer`, {
      next: "it needs vocab.json and merges.txt, or a tokenizer.json; fetch them, too",
    });
  }
  return openAi;
}

async function openAiTokenizer(): Promise<Tokenizer> {
  const openAi = openAiVocabulary();
  const files = new Map<string, string>();
  for (const name of ["encoder.json", "vocab.bpe"]) {
    files.set(name, (await readSmallText(join(openAi, name))) ?? "");
  }
  return {
    encoder: await loadEncoder(openAi),
    files,
    notices: ["it brings no tokenizer: OpenAI's vocabulary is taken"],
  };
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
    (tokenizer_class == null ||
      (typeof tokenizer_class === "string" && tokenizer_class.startsWith("GPT2Tokenizer")))
  );
}
