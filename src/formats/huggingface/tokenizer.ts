import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Encoder } from "../../encoder/encoder.js";
import { BYTE_CHARACTERS } from "../../encoder/vocabulary.js";
import { quote, UserError } from "../../system/errors.js";
import { parseJson, readJson, readSmallText } from "./json.js";

/** A vocabulary as OpenAI's two files have it. */
export interface Tokenizer {
  /** Text of encoder.json. */
  readonly encoderJson: string;
  /** Text of vocab.bpe. */
  readonly vocabBpe: string;
  readonly encoder: Encoder;
  readonly notices: readonly string[];
}

const VERSION = "#version: 0.2\n";

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
 * Reads the tokenizer of a Hugging Face GPT-2: vocab.json and merges.txt, or tokenizer.json alone, and the tokens
 * that were added to it.
 * @param n_vocab rows of the embedding: an added token beyond them, which the model cannot read, is left out
 * @returns undefined where the folder has none of these files
 * @throws UserError that names the file and what is wrong in it, or what is no byte-level BPE
 */
export async function readTokenizer(folder: string, n_vocab: number): Promise<Tokenizer | undefined> {
  const base = (await readPair(folder)) ?? (await readSingle(folder));
  if (!base) return undefined;
  const { ids, file, merges, names } = base;
  const unknown: string[] = [];
  const known: string[] = [];
  const special = new Map<string, number>();
  const added = [...(await readAdded(folder))].sort(([a], [b]) => a - b);
  const taken = new Set(ids.values());
  for (const [id, text] of added) {
    const token = inByteCharacters(text);
    if (ids.get(token) === id) {
      if (token.length > 1 && !/^[<[]/.test(token)) special.set(text, id); // no merge makes it
      continue;
    }
    if (id >= n_vocab) {
      unknown.push(text);
      continue;
    }
    if (taken.has(id) || ids.has(token)) {
      throw new UserError(
        `${folder}: the added token ${show(text)} (${id}) is another one in ${names.encoder}`,
      );
    }
    ids.set(token, id);
    taken.add(id);
    known.push(text);
    special.set(text, id);
  }
  const isSame = file !== undefined && known.length === 0;
  const encoderJson = isSame ? file : JSON.stringify(Object.fromEntries(ids));
  const vocabBpe = merges.startsWith("#version") ? merges : VERSION + merges;
  const tokens = { eos: [], added: special, add_prefix_space: await addsPrefixSpace(folder) };
  const encoder = Encoder.fromFiles(encoderJson, vocabBpe, folder, tokens, names);
  const notices: string[] = [];
  if (known.length > 0) {
    notices.push(`added to the vocabulary: ${list(known)}; each is one token wherever a prompt has it`);
  }
  if (unknown.length > 0) notices.push(`left out, as the model has no embedding for them: ${list(unknown)}`);
  return { encoderJson, vocabBpe, encoder, notices };
}

/** vocab.json and merges.txt; undefined where neither is there. */
async function readPair(folder: string): Promise<Base | undefined> {
  const names = { encoder: "vocab.json", merges: "merges.txt" };
  const path = join(folder, names.encoder);
  const text = await readSmallText(path);
  const merges = await readSmallText(join(folder, names.merges));
  if (text === undefined && merges === undefined) return undefined;
  if (text === undefined || merges === undefined) {
    const all = await readdir(folder);
    if (all.includes("tokenizer.json")) return undefined;
    const [missing, there] =
      text === undefined ? [names.encoder, names.merges] : [names.merges, names.encoder];
    throw new UserError(`${join(folder, missing)} is missing beside ${there}`, {
      next: "fetch that file of the model, too",
    });
  }
  return { ids: idsOf(parseJson(text, path), path), file: text, merges, names };
}

/** tokenizer.json, which holds both. Source: github.com/huggingface/tokenizers. */
async function readSingle(folder: string): Promise<Base | undefined> {
  const name = "tokenizer.json";
  const path = join(folder, name);
  const json = (await readJson(path)) as Tree | undefined | null;
  if (json === undefined) return undefined;
  const { normalizer, pre_tokenizer, model: bpe } = json ?? {};
  const model = bpe as Tree | undefined | null;
  const wrong = (what: string): UserError =>
    new UserError(`${path}: ${what}, and GPT-2's is a byte-level BPE`, {
      next: "this model cannot be imported",
    });
  // Files of older versions have no type; then the merges tell a BPE.
  if (!model || (model.type ?? "BPE") !== "BPE" || !Array.isArray(model.merges)) {
    throw wrong(`its tokenizer is ${model?.type === undefined ? "none" : quote(model.type, 60)}`);
  }
  for (const option of [
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
  ]) {
    if (model[option]) throw wrong(`its tokenizer has ${option} = ${quote(model[option], 60)}`);
  }
  if (normalizer != null) throw wrong("its tokenizer changes the text (normalizer)");
  const split = pre_tokenizer as Tree | undefined | null;
  if (split?.type !== "ByteLevel" || split.use_regex === false)
    throw wrong("its pre_tokenizer is not ByteLevel");
  const merges = (model.merges as unknown[]).map((merge) => {
    const isPair = Array.isArray(merge) && merge.every((token) => typeof token === "string");
    const pair: unknown = isPair ? merge.join(" ") : merge;
    if (typeof pair !== "string" || !/^[^ \n]+ [^ \n]+$/.test(pair)) {
      throw wrong(`the merge ${quote(merge, 60)} is not two tokens`);
    }
    return `${pair}\n`;
  });
  return {
    ids: idsOf(model.vocab, path),
    merges: VERSION + merges.join(""),
    names: { encoder: name, merges: name },
  };
}

type Tree = Readonly<Record<string, unknown>>;

/** A table of tokens and ids. That the ids are 0, 1, 2, ... is the encoder's to check. */
function idsOf(value: unknown, path: string): Map<string, number> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UserError(`${path} has no table of tokens and their ids`, { next: "fetch the model again" });
  }
  const ids = new Map(Object.entries(value as Record<string, number>));
  for (const [token, id] of ids) {
    if (typeof id === "number") continue;
    throw new UserError(`${path}: the id of ${show(token)} is ${quote(id, 60)}`, {
      next: "fetch the model again",
    });
  }
  return ids;
}

/** Whether a text is read as if a space stood before it: tokenizer_config.json says so, or else tokenizer.json. */
async function addsPrefixSpace(folder: string): Promise<boolean> {
  const config = (await readJson(join(folder, "tokenizer_config.json"))) as Tree | undefined | null;
  const single = (await readJson(join(folder, "tokenizer.json"))) as Tree | undefined | null;
  const split = single?.pre_tokenizer as Tree | undefined | null;
  return (config?.add_prefix_space ?? split?.add_prefix_space) === true;
}

/** Tokens that were added to the vocabulary, by id; three files may tell of them. */
async function readAdded(folder: string): Promise<Map<number, string>> {
  const added = new Map<number, string>();
  const add = (id: unknown, text: unknown, path: string): void => {
    if (
      typeof id !== "number" ||
      !Number.isInteger(id) ||
      id < 0 ||
      typeof text !== "string" ||
      text === ""
    ) {
      throw new UserError(`${path}: an added token has no text or no id`, { next: "fetch the model again" });
    }
    if ((added.get(id) ?? text) !== text) {
      throw new UserError(
        `${path}: the added token ${id} is ${show(text)} here and ${show(added.get(id) ?? "")} in another file`,
      );
    }
    added.set(id, text);
  };
  const entries = (value: unknown): [string, unknown][] =>
    typeof value === "object" && value !== null ? Object.entries(value) : [];
  const table = join(folder, "added_tokens.json");
  for (const [text, id] of entries(await readJson(table))) add(id, text, table);
  const config = join(folder, "tokenizer_config.json");
  const decoder = ((await readJson(config)) as Tree | undefined | null)?.added_tokens_decoder;
  for (const [id, token] of entries(decoder)) add(Number(id), (token as Tree | null)?.content, config);
  const single = join(folder, "tokenizer.json");
  const tokens = ((await readJson(single)) as Tree | undefined | null)?.added_tokens;
  for (const [, token] of entries(tokens))
    add((token as Tree | null)?.id, (token as Tree | null)?.content, single);
  return added;
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

/** A text of the file in a message: short and on one line. */
function show(text: string): string {
  return quote(text, 60);
}
