import { join } from "node:path";
import { Encoder } from "../../encoder/encoder.js";
import { parseTokenizerJson, vocabularyOf } from "../../encoder/library-tokenizer.js";
import { type AddedToken, TOKENIZER_FILE } from "../../encoder/special-tokens.js";
import { quote, UserError } from "../../system/errors.js";
import { isObject, type Json } from "../../system/json.js";
import { readJson, readSmallText } from "./json.js";
import { meaning, placeAdded, type Tokenizer, withMarks } from "./meaning.js";
import { readAdded, type SingleFile, type TokenizerFiles } from "./tokenizer-files.js";

/** BertTokenizer's special tokens, unless a file names others. */
const BERT_MARKS = [
  ["pad_token", "[PAD]"],
  ["unk_token", "[UNK]"],
  ["cls_token", "[CLS]"],
  ["sep_token", "[SEP]"],
  ["mask_token", "[MASK]"],
] as const;

/**
 * Reads a tokenizer other than GPT-2's: WordPiece, Unigram or BPE of characters, with its normalizer.
 * @param single the tokenizer.json
 * @param n_vocab rows of the embedding; added tokens beyond them are left out
 * @throws UserError when the file is damaged or has an unknown part
 */
export async function readOtherTokenizer(
  files: TokenizerFiles,
  single: SingleFile,
  n_vocab: number,
): Promise<Tokenizer> {
  const { folder } = files;
  const json = parseTokenizerJson(single.text, single.path);
  const { model, normalizer } = json as { readonly model: Json; readonly normalizer: unknown };
  if (model.continuing_subword_prefix && (model.type ?? "BPE") === "BPE") {
    throw new UserError(`${single.path}: its BPE has continuing_subword_prefix`, {
      next: "this model cannot be imported",
    });
  }
  const ids = vocabularyOf({ model });
  const { added, notices, isChanged } = placeAdded(files, ids, n_vocab, single.name);
  const described = vocabularyOf(json);
  const isWhole = !isChanged && [...added].every(([text, { id }]) => described.get(text) === id);
  const text = isWhole ? single.text : JSON.stringify({ ...single.json, added_tokens: listed(added) });
  if (JSON.stringify(normalizer).includes('"Precompiled"')) {
    notices.push("its normalizer is a SentencePiece table, assumed to be the usual one, nmt_nfkc");
  }
  const marked = withMarks(added, files, (token) => ids.get(token));
  const special = { ...meaning({ ...files, single }, marked), add_prefix_space: false };
  const vocabulary = new Map([[TOKENIZER_FILE, Buffer.from(text)]]);
  return { vocabulary, encoder: await Encoder.load(vocabulary, folder, special), notices };
}

/** Added tokens in the form of tokenizer.json. */
function listed(added: ReadonlyMap<string, AddedToken>): Json[] {
  return [...added].map(([content, { id, ...flags }]) => ({ id, content, ...flags }));
}

/**
 * The tokenizer of a vocab.txt: BERT's WordPiece, which many Chinese GPT-2s use. Source: transformers'
 * models/bert/tokenization_bert.py and BertConverter in convert_slow_tokenizer.py.
 * @returns undefined if the folder has no such file
 * @throws UserError when another tokenizer is named
 */
export async function readWordPiece(
  files: TokenizerFiles,
): Promise<(TokenizerFiles & { readonly single: SingleFile }) | undefined> {
  const { folder, config, roles } = files;
  const path = join(folder, "vocab.txt");
  const lines = (await readSmallText(path))?.split(/\r\n|\r|\n/);
  if (!lines) return undefined;
  if (lines.at(-1) === "") lines.pop();
  const described = await readJson(join(folder, "config.json"));
  const type = config.tokenizer_class ?? (isObject(described) ? described.tokenizer_class : undefined);
  if (type != null && type !== "BertTokenizer" && type !== "BertTokenizerFast") {
    throw new UserError(`${path}: its tokenizer is ${quote(type, 60)}, and only BertTokenizer can be read`, {
      next: "put its tokenizer.json there",
    });
  }
  if (config.do_basic_tokenize === false) {
    throw new UserError(`${path}: its tokenizer has do_basic_tokenize = false`, {
      next: "put its tokenizer.json there",
    });
  }
  const ids = new Map(lines.map((token, id) => [token, id]));
  const marks = new Map<string, string>();
  for (const [role, usual] of BERT_MARKS) {
    const text = [roles.get(role), usual].find((each) => each !== undefined && ids.has(each));
    if (text !== undefined) marks.set(role, text);
  }
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const json = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [...marks.values()].map((content) => ({ id: ids.get(content), content, ...flags })),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars !== false,
      strip_accents: config.strip_accents ?? null,
      lowercase: config.do_lower_case !== false,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: template(marks.get("cls_token"), marks.get("sep_token"), ids),
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: marks.get("unk_token") ?? "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(ids),
    },
  };
  const single = { name: "vocab.txt", path, text: JSON.stringify(json), json };
  return { ...files, single, added: await readAdded(folder, config, single) };
}

/** The tokens that BERT puts around a text, if the vocabulary has both. */
function template(
  cls: string | undefined,
  sep: string | undefined,
  ids: ReadonlyMap<string, number>,
): Json | null {
  if (cls === undefined || sep === undefined) return null;
  const token = (id: string): Json => ({ SpecialToken: { id, type_id: 0 } });
  return {
    type: "TemplateProcessing",
    single: [token(cls), { Sequence: { id: "A", type_id: 0 } }, token(sep)],
    pair: [
      token(cls),
      { Sequence: { id: "A", type_id: 0 } },
      token(sep),
      { Sequence: { id: "B", type_id: 1 } },
      { SpecialToken: { id: sep, type_id: 1 } },
    ],
    special_tokens: Object.fromEntries(
      [cls, sep].map((id) => [id, { id, ids: [ids.get(id)], tokens: [id] }]),
    ),
  };
}
