import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Encoder, OPENAI_ROWS, openAiVocabulary } from "../../encoder/encoder.js";
import { type SpecialTokens, TOKENIZER_FILE } from "../../encoder/special-tokens.js";
import { UserError } from "../../system/errors.js";
import type { ForeignModel } from "../foreign-model.js";
import type { OwnConfig } from "../own-config.js";
import { NANOGPT } from "../pytorch/nanogpt.js";
import { readCharacters } from "../pytorch/nanogpt-characters.js";
import { withAdapter } from "./adapter.js";
import { type Config, parseConfig, tokenIds } from "./config.js";
import { readJson, readSmallText } from "./json.js";
import type { Tokenizer } from "./meaning.js";
import { readTokenizer } from "./tokenizer.js";
import { openFile, openFiles } from "./weight-files.js";
import { openParameters } from "./weights.js";

const CONFIG = "config.json";
/** OpenAI's 50,257 tokens padded to multiples of 8, 16 ... 1024, which GPUs compute faster. */
const PADDED: readonly number[] = [50264, 50272, 50304, 50432, 50688, 51200];

/**
 * Opens a folder with config.json, weights as safetensors or PyTorch's files, and a tokenizer.
 * @param file the folder's file with the weights, if one was named; nanoGPT's and llm.c's need no config.json
 * @throws UserError when a file is missing or damaged, or the model is not a GPT-2 or not supported here
 */
export async function openHuggingFace(folder: string, file?: string): Promise<ForeignModel> {
  const single = file === undefined ? undefined : await openFile(join(folder, file));
  const own = single?.own;
  const { config, tokenizer } = own
    ? await describedByFile(folder, own)
    : await describedByConfig(folder, file);
  const { hparams } = config;
  const { encoder, vocabulary } = tokenizer;
  const { n_vocab } = encoder;
  if (n_vocab > hparams.n_vocab) {
    throw new UserError(
      `${folder}: the tokenizer has ${n_vocab} tokens and ${own?.place ?? CONFIG} a vocab_size of ${hparams.n_vocab}: they belong to different models`,
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
    vocabulary,
    special,
    notices: all,
    origin,
  };
}

/** A model's config and tokenizer. */
interface Description {
  readonly config: Config;
  readonly tokenizer: Tokenizer;
}

async function describedByConfig(folder: string, file: string | undefined): Promise<Description> {
  const path = join(folder, CONFIG);
  const json = await readSmallText(path);
  if (json === undefined && file !== undefined) {
    throw new UserError(`${join(folder, file)} has no ${CONFIG} beside it to give the model's sizes`, {
      next: "fetch it, too",
    });
  }
  if (json === undefined) throw new UserError(`cannot read ${path}: no such file or folder`);
  const config = await withGeneration(folder, parseConfig(json, path));
  return { config, tokenizer: await tokenizerOf(folder, config, json) };
}

/** A file that states its own config. Its tokenizer lies beside it, is nanoGPT's list of characters, or is OpenAI's. */
async function describedByFile(folder: string, own: OwnConfig): Promise<Description> {
  const { hparams, n_tokens, notices, origin } = own;
  const tokenizer =
    (await characterTokenizer(folder, own)) ??
    (OPENAI_ROWS.includes(n_tokens) ? await openAiTokenizer() : await readTokenizer(folder, n_tokens));
  if (tokenizer) return { config: { hparams, notices, bos: undefined, eos: [] }, tokenizer };
  const orCharacters = origin === NANOGPT ? ", or the meta.pkl of its dataset" : "";
  throw new UserError(
    `${origin}'s file has ${n_tokens} tokens but no vocabulary, and OpenAI's has another size`,
    { next: `put its vocab.json and merges.txt, or its tokenizer.json${orCharacters}, next to it` },
  );
}

/** @returns undefined if nanoGPT's meta.pkl is missing or another model's */
async function characterTokenizer(
  folder: string,
  { n_tokens, origin, dataset }: OwnConfig,
): Promise<Tokenizer | undefined> {
  const characters = origin === NANOGPT ? await readCharacters(folder, dataset) : undefined;
  if (characters?.n_tokens !== n_tokens) return undefined;
  const vocabulary = new Map([[TOKENIZER_FILE, Buffer.from(characters.tokenizer)]]);
  return {
    vocabulary,
    encoder: await Encoder.load(vocabulary, folder, characters.special),
    notices: [`its tokens are the ${n_tokens} characters of ${characters.path}`],
  };
}

/** The config, with the beginning and end of a text as generation_config.json, which takes precedence, names them. */
async function withGeneration(folder: string, config: Config): Promise<Config> {
  const json = await readJson(join(folder, "generation_config.json"));
  if (typeof json !== "object" || json === null) return config;
  const { bos_token_id, eos_token_id } = json as Readonly<Record<string, unknown>>;
  const [bos] = tokenIds(bos_token_id);
  const eos = tokenIds(eos_token_id);
  return { ...config, bos: bos ?? config.bos, eos: eos.length > 0 ? eos : config.eos };
}

/** The tokenizer's special tokens, with the beginning and end of a text from config.json where it names them. */
function meantTokens(encoder: Encoder, bos: number | undefined, eos: readonly number[]): SpecialTokens {
  const { n_vocab, special, endOfText } = encoder;
  const isToken = (id: number | undefined): id is number => id !== undefined && id < n_vocab;
  const { bos: itsStart, eos: itsEnds, added, ...rest } = special;
  const own = eos.filter(isToken);
  const ends = own.length > 0 ? own : itsEnds;
  const start = isToken(bos) ? bos : itsStart;
  // The default beginning of a text.
  const usual = rest.begin.at(-1) ?? ends.at(0) ?? endOfText;
  const isMark = (id: number): boolean => ends.includes(id) || id === start;
  return {
    ...rest,
    ...(start !== undefined && start !== usual && { bos: start }),
    eos: ends,
    added: new Map(
      [...added].map(([text, token]) => [text, isMark(token.id) ? { ...token, special: true } : token]),
    ),
  };
}

/** The folder's tokenizer; OpenAI's if it has none and the config matches. */
async function tokenizerOf(folder: string, config: Config, json: string): Promise<Tokenizer> {
  const own = await readTokenizer(folder, config.hparams.n_vocab);
  if (own) return own;
  const openAi = await openAiTokenizer();
  if (speaksOfOpenAi(openAi.encoder, config, json)) return openAi;
  throw noTokenizer(folder, await readdir(folder));
}

/** Files that hold a tokenizer we can read. */
const TOKENIZERS = ["tokenizer.json", "aitextgen.tokenizer.json", "vocab.json", "vocab.txt"];

/**
 * The error for a model without a tokenizer that can be read.
 * @param place the folder or repository
 * @param names of the files there
 */
function noTokenizer(place: string, names: readonly string[]): UserError {
  const pieces = sentencePieceAlone(names);
  if (pieces === undefined) {
    return new UserError(`${place} has no tokenizer`, {
      next: "it needs vocab.json and merges.txt, a tokenizer.json or a vocab.txt; fetch them, too",
    });
  }
  return new UserError(`${place} has no tokenizer but SentencePiece's ${pieces}, which cannot be read here`, {
    next: "put a tokenizer.json beside it; in Python, transformers' AutoTokenizer writes one: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
  });
}

/** SentencePiece's file, if it is the only tokenizer. */
function sentencePieceAlone(names: readonly string[]): string | undefined {
  if (names.some((name) => TOKENIZERS.includes(name))) return undefined;
  return names.find((name) => /^(spiece|spm|tokenizer|sentencepiece[\w.-]*)\.model$/.test(name));
}

/** @throws UserError when a repository has no tokenizer we can read; called before anything is fetched */
export function checkTokenizerFiles(repository: string, names: readonly string[]): void {
  if (sentencePieceAlone(names) !== undefined) throw noTokenizer(repository, names);
}

async function openAiTokenizer(): Promise<Tokenizer> {
  const openAi = openAiVocabulary();
  const vocabulary = new Map<string, Buffer>();
  for (const name of ["encoder.json", "vocab.bpe"]) vocabulary.set(name, await readFile(join(openAi, name)));
  return {
    encoder: await Encoder.load(vocabulary, openAi),
    vocabulary,
    notices: ["it has no tokenizer: using OpenAI's vocabulary"],
  };
}

/** Whether sizes and special tokens match OpenAI's vocabulary, and no other tokenizer is named. */
function speaksOfOpenAi(
  { n_vocab, endOfText }: Encoder,
  { hparams, bos, eos }: Config,
  json: string,
): boolean {
  const { tokenizer_class } = JSON.parse(json) as { readonly tokenizer_class?: unknown };
  const isPadded = PADDED.includes(hparams.n_vocab) && bos === endOfText && eos.length > 0;
  return (
    (hparams.n_vocab === n_vocab || isPadded) &&
    [bos ?? endOfText, ...eos].every((id) => id === endOfText) &&
    (tokenizer_class == null ||
      (typeof tokenizer_class === "string" && tokenizer_class.startsWith("GPT2Tokenizer")))
  );
}
