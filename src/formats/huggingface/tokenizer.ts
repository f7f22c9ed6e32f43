import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Encoder } from "../../encoder/encoder.js";
import { type AddedToken, addedToken, type SpecialTokens } from "../../encoder/special-tokens.js";
import { BYTE_CHARACTERS } from "../../encoder/vocabulary.js";
import { quote, UserError } from "../../system/errors.js";
import { isObject } from "../../system/json.js";
import { parseJson, readSmallText } from "./json.js";
import { readTokenizerFiles, type TokenizerFiles, templateOf } from "./tokenizer-files.js";

/** A vocabulary as a model folder of ours has it. */
export interface Tokenizer {
  /** The texts of its files, by their names: encoder.json and vocab.bpe. */
  readonly files: ReadonlyMap<string, string>;
  readonly encoder: Encoder;
  readonly notices: readonly string[];
}

const VERSION = "#version: 0.2\n";
const FETCH = "fetch the model again";

/** Tokens and merges of byte-level BPE, and where they stand. */
interface Base {
  /** In the characters that stand for bytes. */
  readonly ids: Map<string, number>;
  /** The text of the file that has these ids and nothing else. */
  readonly file?: string;
  readonly merges: string;
  readonly names: { readonly encoder: string; readonly merges: string };
}

/**
 * Reads the tokenizer of a Hugging Face GPT-2: tokenizer.json, which decides, or vocab.json and merges.txt, and what
 * the files beside them say of its tokens.
 * @param n_vocab rows of the embedding: an added token beyond them, which the model cannot read, is left out
 * @returns undefined where the folder has none of these files
 * @throws UserError that names the file and what is wrong in it, or what is no byte-level BPE
 */
export async function readTokenizer(folder: string, n_vocab: number): Promise<Tokenizer | undefined> {
  const files = await readTokenizerFiles(folder);
  const notices: string[] = [];
  const base = await readBase(files, notices);
  if (!base) return undefined;
  const { ids, file, merges, names } = base;
  const special = new Map<string, AddedToken>();
  const [known, unknown]: [string[], string[]] = [[], []];
  const taken = new Set(ids.values());
  for (const [text, token] of [...files.added].sort(([, a], [, b]) => a.id - b.id)) {
    const inBytes = inByteCharacters(text);
    if (ids.get(inBytes) !== token.id) {
      if (token.id >= n_vocab) {
        unknown.push(text);
        continue;
      }
      if (taken.has(token.id) || ids.has(inBytes)) {
        throw new UserError(
          `${folder}: the added token ${show(text)} (${token.id}) is another one in ${names.encoder}`,
          { next: FETCH },
        );
      }
      ids.set(inBytes, token.id);
      taken.add(token.id);
      known.push(text);
    }
    special.set(text, token);
  }
  const added = withMarks(special, files, (text) => ids.get(inByteCharacters(text)));
  const isSame = file !== undefined && known.length === 0;
  const encoderJson = isSame ? file : JSON.stringify(Object.fromEntries(ids));
  const vocabBpe = merges.startsWith("#version") ? merges : VERSION + merges;
  const encoder = Encoder.fromFiles(encoderJson, vocabBpe, folder, meaning(files, added), names);
  if (known.length > 0) {
    notices.push(`added to the vocabulary: ${list(known)}; each is one token wherever a prompt has it`);
  }
  if (unknown.length > 0) notices.push(`left out, as the model has no embedding for them: ${list(unknown)}`);
  return {
    files: new Map([
      ["encoder.json", encoderJson],
      ["vocab.bpe", vocabBpe],
    ]),
    encoder,
    notices,
  };
}

/** Added tokens, and those of the vocabulary that have a part: a prompt's text that spells them means them. */
function withMarks(
  added: ReadonlyMap<string, AddedToken>,
  { special }: TokenizerFiles,
  idOf: (text: string) => number | undefined,
): Map<string, AddedToken> {
  const all = new Map(added);
  for (const text of special) {
    const known = all.get(text);
    const id = known?.id ?? idOf(text);
    if (known) all.set(text, { ...known, special: true });
    else if (id !== undefined) all.set(text, addedToken(id, { special: true }));
  }
  return new Map([...all].sort(([, a], [, b]) => a.id - b.id));
}

/** What the tokens are for, as far as the tokenizer's own files say. */
function meaning(
  { config, single, roles }: TokenizerFiles,
  added: ReadonlyMap<string, AddedToken>,
): SpecialTokens {
  const idOf = (role: string): number | undefined => added.get(roles.get(role) ?? "")?.id;
  const template = templateOf(single?.json.post_processor);
  const bos = idOf("bos_token");
  const eos = idOf("eos_token") ?? template.end.at(-1);
  const isAdded = config.add_bos_token === true && bos !== undefined && template.begin.length === 0;
  const split = single?.json.pre_tokenizer;
  const addsSpace = config.add_prefix_space ?? (isObject(split) && split.add_prefix_space);
  return {
    ...(bos !== undefined && { bos }),
    eos: eos === undefined ? [] : [eos],
    begin: isAdded ? [bos] : template.begin,
    added,
    add_prefix_space: addsSpace === true,
  };
}

/** The vocabulary and merges of tokenizer.json or, where there is none, of vocab.json and merges.txt. */
async function readBase({ folder, single }: TokenizerFiles, notices: string[]): Promise<Base | undefined> {
  if (!single) return readPair(folder);
  const base = readSingle(single);
  const pair = await readPair(folder).catch(() => undefined); // it decides nothing
  if (!pair) return base;
  if (isDeepStrictEqual(pair.ids, base.ids) && isSameMerges(pair.merges, base.merges)) return pair;
  const isLarger = [...base.ids].every(([token, id]) => pair.ids.get(token) === id);
  if (!isLarger || !isSameMerges(pair.merges, base.merges)) {
    notices.push(`${single.name} and vocab.json differ: ${single.name} decides`);
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

/** vocab.json and merges.txt; undefined where neither is there. */
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
function readSingle({ name, path, json }: NonNullable<TokenizerFiles["single"]>): Base {
  const { normalizer, pre_tokenizer, model } = json;
  const wrong = (what: string): UserError =>
    new UserError(`${path}: ${what}, and GPT-2's is a byte-level BPE`, {
      next: "this model cannot be imported",
    });
  // Files of older versions have no type; then the merges tell a BPE.
  if (!isObject(model) || (model.type ?? "BPE") !== "BPE" || !Array.isArray(model.merges)) {
    throw wrong(
      `its tokenizer is ${isObject(model) && model.type !== undefined ? show(model.type) : "none"}`,
    );
  }
  for (const option of [
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
  ]) {
    if (model[option]) throw wrong(`its tokenizer has ${option} = ${show(model[option])}`);
  }
  if (normalizer != null) throw wrong("its tokenizer changes the text (normalizer)");
  const split = isObject(pre_tokenizer) ? pre_tokenizer : {};
  if (split.type !== "ByteLevel" || split.use_regex === false)
    throw wrong("its pre_tokenizer is not ByteLevel");
  const merges = (model.merges as unknown[]).map((merge) => {
    const isPair = Array.isArray(merge) && merge.every((token) => typeof token === "string");
    const pair: unknown = isPair ? merge.join(" ") : merge;
    if (typeof pair !== "string" || !/^[^ \n]+ [^ \n]+$/.test(pair)) {
      throw wrong(`the merge ${show(merge)} is not two tokens`);
    }
    return `${pair}\n`;
  });
  return {
    ids: idsOf(model.vocab, path),
    merges: VERSION + merges.join(""),
    names: { encoder: name, merges: name },
  };
}

/** A table of tokens and ids. That the ids are 0, 1, 2, ... is the encoder's to check. */
function idsOf(value: unknown, path: string): Map<string, number> {
  if (!isObject(value)) throw new UserError(`${path} has no table of tokens and their ids`, { next: FETCH });
  const ids = new Map(Object.entries(value as Readonly<Record<string, number>>));
  for (const [token, id] of ids) {
    if (typeof id === "number") continue;
    throw new UserError(`${path}: the id of ${show(token)} is ${show(id)}`, { next: FETCH });
  }
  return ids;
}

/** A few of several texts. */
function list(texts: readonly string[]): string {
  const more = texts.length > 8 ? `, and ${texts.length - 8} more` : "";
  return texts.slice(0, 8).map(show).join(", ") + more;
}

/** A text as the vocabulary writes its bytes. */
function inByteCharacters(text: string): string {
  let characters = "";
  for (const byte of Buffer.from(text)) characters += BYTE_CHARACTERS[byte];
  return characters;
}

/** Any value of a file in a message: short and on one line. */
function show(value: unknown): string {
  return quote(value, 60);
}
