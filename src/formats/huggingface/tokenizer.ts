import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Encoder } from "../../encoder/encoder.js";
import { BYTE_CHARACTERS, inByteCharacters, MERGES_VERSION } from "../../encoder/vocabulary.js";
import { FETCH_AGAIN, UserError } from "../../system/errors.js";
import { isObject, type Json } from "../../system/json.js";
import { parseJson, readSmallText } from "./json.js";
import { meaning, placeAdded, show, type Tokenizer, withMarks } from "./meaning.js";
import { readOtherTokenizer, readWordPiece } from "./other-tokenizer.js";
import { readTokenizerFiles, type SingleFile, type TokenizerFiles } from "./tokenizer-files.js";

/** Tokens and merges of byte-level BPE, and their files. */
interface Base {
  /** Spelt in the characters that stand for bytes. */
  readonly ids: Map<string, number>;
  /** The text of the file, if it holds these ids and nothing else. */
  readonly file?: string;
  readonly merges: string;
  readonly names: { readonly encoder: string; readonly merges: string };
}

/**
 * Reads the tokenizer of a Hugging Face GPT-2: tokenizer.json, else vocab.json and merges.txt, else vocab.txt; and
 * what the files beside it say of its tokens.
 * @param n_vocab rows of the embedding; added tokens beyond them are left out
 * @returns undefined if the folder has none of these files
 * @throws UserError that names the file and what is wrong in it
 */
export async function readTokenizer(folder: string, n_vocab: number): Promise<Tokenizer | undefined> {
  const files = await readTokenizerFiles(folder);
  const { single } = files;
  if (single && !isByteLevel(single.json)) return readOtherTokenizer(files, single, n_vocab);
  const notices: string[] = [];
  const base = await readBase(files, notices);
  if (!base) {
    const wordPiece = await readWordPiece(files);
    return wordPiece && readOtherTokenizer(wordPiece, wordPiece.single, n_vocab);
  }
  const { ids, file, merges, names } = base;
  const placed = placeAdded(files, ids, n_vocab, names.encoder, inByteCharacters);
  const added = withMarks(placed.added, files, (text) => ids.get(inByteCharacters(text)));
  const isSame = file !== undefined && !placed.isChanged;
  const encoderJson = isSame ? file : JSON.stringify(Object.fromEntries(ids));
  const vocabBpe = merges.startsWith("#version") ? merges : MERGES_VERSION + merges;
  return {
    vocabulary: new Map([
      ["encoder.json", Buffer.from(encoderJson)],
      ["vocab.bpe", Buffer.from(vocabBpe)],
    ]),
    encoder: Encoder.fromFiles(encoderJson, vocabBpe, folder, meaning(files, added), names),
    notices: [...notices, ...placed.notices],
  };
}

/** Whether a tokenizer.json describes GPT-2's byte-level BPE, which needs no library. */
function isByteLevel({ normalizer, pre_tokenizer, model }: Json): boolean {
  // Older files have no type; merges then identify a BPE.
  if (!isObject(model) || (model.type ?? "BPE") !== "BPE" || !Array.isArray(model.merges)) return false;
  const { vocab } = model;
  const isWhole = isObject(vocab) && BYTE_CHARACTERS.every((character) => Object.hasOwn(vocab, character));
  const isPlain = OPTIONS.every((option) => !model[option]);
  const split = isObject(pre_tokenizer) ? pre_tokenizer : {};
  return isWhole && isPlain && normalizer == null && split.type === "ByteLevel" && split.use_regex !== false;
}

/** Options of BPE that GPT-2's leaves off. */
const OPTIONS = ["continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"];

/** The vocabulary and merges from tokenizer.json, else from vocab.json and merges.txt. */
async function readBase({ folder, single }: TokenizerFiles, notices: string[]): Promise<Base | undefined> {
  if (!single) return readPair(folder);
  const base = readSingle(single);
  const pair = await readPair(folder).catch(() => undefined); // only compared
  if (!pair) return base;
  if (isDeepStrictEqual(pair.ids, base.ids) && isSameMerges(pair.merges, base.merges)) return pair;
  const isLarger = [...base.ids].every(([token, id]) => pair.ids.get(token) === id);
  if (!isLarger || !isSameMerges(pair.merges, base.merges)) {
    notices.push(`${single.name} and vocab.json differ: using ${single.name}`);
  }
  return base;
}

const isSameMerges = (a: string, b: string): boolean => {
  const lines = (text: string): string =>
    text
      .replace(/^#version.*\r?\n/, "")
      .replaceAll("\r\n", "\n")
      .trimEnd();
  return lines(a) === lines(b);
};

/** vocab.json and merges.txt; undefined if both are missing. */
async function readPair(folder: string): Promise<Base | undefined> {
  const names = { encoder: "vocab.json", merges: "merges.txt" };
  const path = join(folder, names.encoder);
  const text = await readSmallText(path);
  const merges = await readSmallText(join(folder, names.merges));
  if (text === undefined && merges === undefined) return undefined;
  if (text === undefined || merges === undefined) {
    const [missing, there] =
      text === undefined ? [names.encoder, names.merges] : [names.merges, names.encoder];
    throw new UserError(`${join(folder, missing)} is missing next to ${there}`, {
      next: "fetch that file of the model, too",
    });
  }
  return { ids: idsOf(parseJson(text, path), path), file: text, merges, names };
}

/** tokenizer.json, which holds both. Source: github.com/huggingface/tokenizers. */
function readSingle({ name, path, json }: SingleFile): Base {
  const { vocab, merges } = json.model as { readonly vocab: unknown; readonly merges: readonly unknown[] };
  const lines = merges.map((merge) => {
    const isPair = Array.isArray(merge) && merge.every((token) => typeof token === "string");
    const pair: unknown = isPair ? merge.join(" ") : merge;
    if (typeof pair !== "string" || !/^[^ \n]+ [^ \n]+$/.test(pair)) {
      throw new UserError(`${path}: the merge ${show(merge)} is not two tokens`, { next: FETCH_AGAIN });
    }
    return `${pair}\n`;
  });
  return {
    ids: idsOf(vocab, path),
    merges: MERGES_VERSION + lines.join(""),
    names: { encoder: name, merges: name },
  };
}

/** A table of tokens and ids. The encoder checks that the ids are 0, 1, 2, ... */
function idsOf(value: unknown, path: string): Map<string, number> {
  if (!isObject(value))
    throw new UserError(`${path} has no table of tokens and their ids`, { next: FETCH_AGAIN });
  const ids = new Map(Object.entries(value as Readonly<Record<string, number>>));
  for (const [token, id] of ids) {
    if (typeof id === "number") continue;
    throw new UserError(`${path}: the id of ${show(token)} is ${show(id)}`, { next: FETCH_AGAIN });
  }
  return ids;
}
