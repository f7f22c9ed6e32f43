import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Encoder, openAiVocabulary } from "../../encoder/encoder.js";
import {
  type AddedToken,
  addedToken,
  NO_SPECIAL_TOKENS,
  type SpecialTokens,
} from "../../encoder/special-tokens.js";
import { END_OF_TEXT, inByteCharacters, MERGES_VERSION } from "../../encoder/vocabulary.js";
import { quote, UserError } from "../../system/errors.js";
import { FETCH_AGAIN } from "./gguf-file.js";
import type { Metadata } from "./metadata.js";

/** The types of tokens. Source: llama.cpp's gguf-py/gguf/constants.py, TokenType. */
export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5 } as const;

const PLAIN: ReadonlySet<number> = new Set([TOKEN_TYPE.unknown, TOKEN_TYPE.control, TOKEN_TYPE.userDefined]);

/** The tokens that end a text: llama.cpp stops at any of them. */
export const ENDS = [
  "tokenizer.ggml.eos_token_id",
  "tokenizer.ggml.eot_token_id",
  "tokenizer.ggml.eom_token_id",
] as const;

/** A vocabulary in the form of OpenAI's two files. */
export interface GgufTokenizer {
  /** Text of encoder.json. */
  readonly encoderJson: Buffer;
  /** Text of vocab.bpe. */
  readonly vocabBpe: Buffer;
  readonly encoder: Encoder;
  /** Unused tokens at the end of the file's list, which are left out of the vocabulary. */
  readonly n_unused: number;
}

/**
 * Reads the tokenizer of a GGUF file: byte-level BPE that splits a text as GPT-2 does.
 * Source: llama.cpp's src/llama-vocab.cpp.
 * @param path the file's path, for messages
 * @throws UserError that names the value when it is wrong or belongs to another tokenizer
 */
export async function readGgufTokenizer(metadata: Metadata, path: string): Promise<GgufTokenizer> {
  const refuse = (name: string, value: string, wanted: string): never => {
    throw new UserError(
      `${path}: ${name} is ${quote(value, 60)}, and GPT-2's is ${quote(wanted)}: this model cannot be imported`,
    );
  };
  const model = metadata.text("tokenizer.ggml.model") ?? "";
  if (model !== "gpt2") refuse("tokenizer.ggml.model", model, "gpt2");
  // Files from before 2024-05 do not say how a text is split.
  const pre = metadata.text("tokenizer.ggml.pre") ?? "gpt-2";
  if (pre !== "gpt-2") refuse("tokenizer.ggml.pre", pre, "gpt-2");
  const listed = metadata.neededTexts("tokenizer.ggml.tokens");
  const types = metadata.numbers("tokenizer.ggml.token_type") ?? listed.map(() => TOKEN_TYPE.normal);
  if (types.length !== listed.length) {
    throw new UserError(`${path}: it has ${listed.length} tokens and ${types.length} token types`, {
      next: FETCH_AGAIN,
    });
  }
  let n_vocab = listed.length;
  while (n_vocab > 0 && types[n_vocab - 1] === TOKEN_TYPE.unused) n_vocab -= 1;
  const added = new Map<string, AddedToken>();
  const ids = new Map<string, number>();
  for (const [id, text] of listed.slice(0, n_vocab).entries()) {
    // Tokens that no merge makes are stored as plain text.
    const isPlain = PLAIN.has(types[id]);
    const token = isPlain ? inByteCharacters(text) : text;
    if (ids.has(token)) {
      throw new UserError(`${path}: the tokens ${ids.get(token)} and ${id} are both ${quote(text, 60)}`, {
        next: FETCH_AGAIN,
      });
    }
    ids.set(token, id);
    if (isPlain && text !== "" && text !== END_OF_TEXT) {
      added.set(text, addedToken(id, { special: types[id] === TOKEN_TYPE.control }));
    }
  }
  const merges = metadata.neededTexts("tokenizer.ggml.merges");
  const files = (await openAiFiles(ids, merges)) ?? {
    encoderJson: Buffer.from(
      `{${[...ids].map(([token, id]) => `${JSON.stringify(token)}: ${id}`).join(", ")}}`,
    ),
    vocabBpe: Buffer.from(`${MERGES_VERSION}${merges.map((merge) => `${merge}\n`).join("")}`),
  };
  const special = specialTokens(metadata, n_vocab, added, ids.get(END_OF_TEXT));
  const name = basename(path);
  const names = { encoder: name, merges: name };
  const encoder = Encoder.fromFiles(files.encoderJson, files.vocabBpe, dirname(path), special, names);
  return { ...files, encoder, n_unused: listed.length - n_vocab };
}

/** OpenAI's own two files, which load fastest, if the tokens and merges are theirs. */
async function openAiFiles(
  ids: ReadonlyMap<string, number>,
  merges: readonly string[],
): Promise<Pick<GgufTokenizer, "encoderJson" | "vocabBpe"> | undefined> {
  const [encoderJson, vocabBpe] = await Promise.all(
    ["encoder.json", "vocab.bpe"].map((name) => readFile(join(openAiVocabulary(), name))),
  );
  if (vocabBpe.toString() !== `${MERGES_VERSION}${merges.join("\n")}\n`) return undefined;
  const theirs = Object.entries(JSON.parse(encoderJson.toString()) as Record<string, number>);
  const isSame = theirs.length === ids.size && theirs.every(([token, id]) => ids.get(token) === id);
  return isSame ? { encoderJson, vocabBpe } : undefined;
}

/** Which tokens begin and end a text, where the model differs from OpenAI's. */
function specialTokens(
  metadata: Metadata,
  n_vocab: number,
  added: SpecialTokens["added"],
  endOfText: number | undefined,
): SpecialTokens {
  const known = (name: string): number[] => {
    const id = metadata.id(name);
    return id !== undefined && id < n_vocab ? [id] : [];
  };
  const ends = [...new Set(ENDS.flatMap(known))];
  const eos = ends.length === 1 && ends[0] === endOfText ? [] : ends;
  const [bos] = known("tokenizer.ggml.bos_token_id");
  const isOwnStart = bos !== undefined && bos !== (ends.at(0) ?? endOfText);
  const add_prefix_space = metadata.flag("tokenizer.ggml.add_space_prefix");
  const begin = metadata.flag("tokenizer.ggml.add_bos_token") && bos !== undefined ? [bos] : [];
  return { ...NO_SPECIAL_TOKENS, ...(isOwnStart && { bos }), eos, begin, added, add_prefix_space };
}
