import { FETCH_AGAIN as NEXT, quote, UserError } from "../system/errors.js";
import { isObject, isSize, type Json, parseJson, refuseDeep } from "../system/json.js";
import { decodeText } from "../system/text-encoding.js";
import { AddedTokens } from "./added-tokens.js";
import type { Codec, EncodeOptions, StreamDecoder } from "./codec.js";
import type { SpecialTokens } from "./special-tokens.js";

/** Far above any vocabulary's ids. */
const MOST_TOKENS = 10_000_000;
/**
 * The library's time grows with the square of a text's length, so longer texts are cut after PIECE characters: before a
 * space or, if there is none up to LONGEST, anywhere.
 */
const PIECE = 4096;
const LONGEST = 16_384;

/** The part of the library's Tokenizer used here: TypeScript cannot resolve the paths in its own types. */
interface Tokenizer {
  readonly normalizer: ((text: string) => string) | null;
  /** @returns ids; undefined for text without a token, if the vocabulary has no unknown token */
  encode(text: string, options: { add_special_tokens: boolean }): { ids: readonly (number | undefined)[] };
  decode(
    ids: readonly number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
}
type Create = (json: Json) => Tokenizer;

/** Where a text begins, which decides whether a space is put before it. */
type Place = "start" | "behind a token" | "within";

/**
 * A tokenizer other than GPT-2's, as its tokenizer.json describes it: WordPiece, Unigram or BPE of characters, with its
 * normalizer. npm's @huggingface/tokenizers, loaded only here, does the work, except for added tokens: it lacks
 * single_word.
 */
export class LibraryTokenizer implements Codec {
  readonly n_vocab: number;
  readonly #added: AddedTokens;
  readonly #normalize: (text: string) => string;
  /** Decodes, so it has all tokens. */
  readonly #all: Tokenizer;
  /** Without normalizer and added tokens, for each place where a text may begin. */
  readonly #plain: Readonly<Record<Place, Tokenizer>>;
  readonly #marks: ReadonlySet<number>;
  /** Whether every token is a character, without a token for unknown ones. */
  readonly #isOfCharacters: boolean;

  private constructor(json: Json, special: SpecialTokens, create: Create) {
    this.#all = create(json);
    let last = -1;
    for (const id of vocabularyOf(json).values()) last = Math.max(last, id);
    this.n_vocab = last + 1;
    this.#marks = new Set([...special.added.values()].filter((token) => token.special).map(({ id }) => id));
    this.#isOfCharacters = isOfCharacters(json);
    const { normalizer } = this.#all;
    this.#normalize = normalizer ? (text) => normalizer(text) : (text) => text;
    this.#added = new AddedTokens(special.added, this.#normalize);
    const bare = { ...json, normalizer: null, post_processor: null, added_tokens: [] };
    const made = new Map<string, Tokenizer>();
    const at = (place: Place): Tokenizer => {
      const pre_tokenizer = withPrefix(json["pre_tokenizer"], place);
      const key = JSON.stringify(pre_tokenizer); // mostly the same in every place
      const tokenizer = made.get(key) ?? create({ ...bare, pre_tokenizer });
      made.set(key, tokenizer);
      return tokenizer;
    };
    this.#plain = { start: at("start"), "behind a token": at("behind a token"), within: at("within") };
  }

  /**
   * @param bytes the tokenizer.json
   * @param path its path, for messages
   * @throws UserError when it is damaged, or has parts that the library lacks
   */
  static async open(bytes: Buffer, path: string, special: SpecialTokens): Promise<LibraryTokenizer> {
    const json = parseTokenizerJson(decodeText(bytes), path);
    const { Tokenizer } = await import("@huggingface/tokenizers");
    const create: Create = (description) => new Tokenizer(description, {}) as Tokenizer;
    try {
      const codec = new LibraryTokenizer(json, special, create);
      codec.#try("A b, 1.");
      return codec;
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`${path}: its tokenizer cannot be read: ${quote((error as Error).message, 120)}`, {
        next: "this model cannot be imported",
        cause: error,
      });
    }
  }

  /** Uses every part once, since faults in one show only then. */
  #try(text: string): void {
    const normal = this.#normalize(text);
    for (const tokenizer of Object.values(this.#plain))
      tokenizer.encode(normal, { add_special_tokens: false });
    this.decode([this.n_vocab - 1]);
  }

  /** The id of a token, by its text. */
  idOf(token: string): number | undefined {
    return this.#all.token_to_id(token);
  }

  encode(text: string, { special, continues }: Required<EncodeOptions>): number[] {
    const ids: number[] = [];
    let place: Place = continues ? "within" : "start";
    for (const part of special ? this.#added.cut(text) : [this.#normalize(text)]) {
      if (typeof part === "number") ids.push(part);
      else this.#encodePlain(part, place, ids);
      place = "behind a token";
    }
    return ids;
  }

  #encodePlain(text: string, place: Place, ids: number[]): void {
    for (let start = 0; start < text.length; ) {
      const end = pieceEnd(text, start);
      const piece = text.slice(start, end);
      // The library drops characters without a token.
      const other = this.#isOfCharacters && [...piece].find((each) => this.idOf(each) === undefined);
      if (other) throw unknown(quote(other));
      const found = this.#plain[start === 0 ? place : "within"].encode(piece, { add_special_tokens: false });
      for (const id of found.ids) {
        if (id === undefined) throw unknown("part of this text");
        ids.push(id);
      }
      start = end;
    }
  }

  decode(ids: Iterable<number>): string {
    return this.#text([...ids]);
  }

  #text(ids: readonly number[]): string {
    for (const id of ids) {
      if (Number.isInteger(id) && id >= 0 && id < this.n_vocab) continue;
      throw new UserError(`there is no token ${id}: the ids of this vocabulary are 0 to ${this.n_vocab - 1}`);
    }
    if (ids.length === 0) return "";
    return this.#all.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  decoder(before: readonly number[]): StreamDecoder {
    // A token's text depends only on whether a token precedes it. After a mark, a text begins anew.
    let shown = before.slice(-1).filter((id) => !this.#marks.has(id));
    let pending: number[] = [];
    const added = (): string => this.#text([...shown, ...pending]).slice(this.#text(shown).length);
    return {
      push: (id) => {
        pending.push(id);
        const text = added();
        if (text.endsWith("\ufffd")) return ""; // a character that may still lack bytes
        [shown, pending] = [pending, []];
        return text;
      },
      end: () => {
        const text = added();
        [shown, pending] = [[], []];
        return text;
      },
    };
  }

  tokenBytes(id: number): Uint8Array {
    return Buffer.from(this.#text([id, id]).slice(this.#text([id]).length));
  }
}

const unknown = (what: string): UserError =>
  new UserError(`the model's vocabulary has no token for ${what}, and no unknown token`, {
    next: "leave it out",
  });

/** Whether a tokenizer is a list of characters, as nanoGPT's. */
function isOfCharacters({ model, pre_tokenizer }: Json): boolean {
  const { type, merges, unk_token, byte_fallback } = model as Json;
  const hasMerges = !Array.isArray(merges) || merges.length > 0;
  return type === "BPE" && !hasMerges && pre_tokenizer === null && unk_token == null && !byte_fallback;
}

/** The end of the piece of text that begins at start. */
function pieceEnd(text: string, start: number): number {
  if (text.length - start <= PIECE) return text.length;
  const window = text.slice(start + PIECE, start + LONGEST);
  // A single space between words, or SentencePiece's character for it.
  const space = /(?<=[^\s\u2581])[ \u2581](?=[^\s\u2581])/.exec(window);
  if (space) return start + PIECE + space.index;
  const end = start + LONGEST;
  return end - ((text.charCodeAt(end) & 0xfc00) === 0xdc00 ? 1 : 0);
}

/** The pre-tokenizer fixed to what it does in this place: puts a space before every text, or before none. */
function withPrefix(pre_tokenizer: unknown, place: Place): unknown {
  if (!isObject(pre_tokenizer)) return pre_tokenizer ?? null;
  const { type, pretokenizers } = pre_tokenizer;
  if (type === "Sequence" && Array.isArray(pretokenizers)) {
    return { ...pre_tokenizer, pretokenizers: pretokenizers.map((each) => withPrefix(each, place)) };
  }
  if (type === "ByteLevel" && place === "within") return { ...pre_tokenizer, add_prefix_space: false };
  if (type !== "Metaspace") return pre_tokenizer;
  const scheme = prependScheme(pre_tokenizer);
  const isNever = place === "within" || (place === "behind a token" && scheme === "first");
  return { ...pre_tokenizer, prepend_scheme: isNever ? "never" : scheme };
}

/** When Metaspace puts a space before a text; files from before 2024 say so by add_prefix_space. */
function prependScheme({ prepend_scheme, add_prefix_space }: Json): unknown {
  return prepend_scheme ?? (add_prefix_space === false ? "never" : "always");
}

/**
 * Parses a tokenizer.json and fills in the parts that may be missing.
 * @throws UserError when it does not describe a tokenizer
 */
export function parseTokenizerJson(text: string, path: string): Json {
  const json = parseJson(text, path, NEXT);
  if (!isObject(json) || !isObject(json["model"])) {
    throw new UserError(`${path} describes no tokenizer`, { next: NEXT });
  }
  const { type } = json["model"];
  if (type != null && typeof type !== "string") {
    throw new UserError(`${path}: its tokenizer is ${quote(type, 60)}`, { next: NEXT });
  }
  refuseDeep(json, path, NEXT);
  const {
    normalizer = null,
    pre_tokenizer = null,
    post_processor = null,
    decoder = null,
    added_tokens,
  } = json;
  const complete = {
    ...json,
    normalizer,
    pre_tokenizer,
    post_processor,
    decoder,
    added_tokens: Array.isArray(added_tokens) ? added_tokens : [],
  };
  const vocabulary = vocabularyOf(complete);
  if (vocabulary.size === 0)
    throw new UserError(`${path} has no table of tokens and their ids`, { next: NEXT });
  for (const [token, id] of vocabulary) {
    if (typeof token === "string" && isSize(id) && id < MOST_TOKENS) continue;
    throw new UserError(`${path}: the id of ${quote(token, 60)} is ${quote(id, 40)}`, { next: NEXT });
  }
  return complete;
}

/** The tokens of a tokenizer.json and their ids; Unigram lists tokens with scores, others have a table. */
export function vocabularyOf({ model, added_tokens }: Json): Map<string, number> {
  const { vocab } = isObject(model) ? model : {};
  const entries: [unknown, unknown][] = Array.isArray(vocab)
    ? vocab.map((each, id) => [Array.isArray(each) ? each[0] : each, id])
    : Object.entries(isObject(vocab) ? vocab : {});
  for (const token of Array.isArray(added_tokens) ? (added_tokens as unknown[]) : []) {
    if (isObject(token)) entries.push([token["content"], token["id"]]);
  }
  return new Map(entries as [string, number][]);
}
