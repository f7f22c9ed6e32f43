import { isDeepStrictEqual } from "node:util";
import { quote, UserError } from "../system/errors.js";
import { isObject, isSize, parseJson } from "../system/json.js";

/** A model folder's file about its special tokens; OpenAI's own models have none. */
export const TOKENS_FILE = "tokens.json";
/** A model folder's tokenizer if it is not GPT-2's byte-level BPE, instead of encoder.json and vocab.bpe. */
export const TOKENIZER_FILE = "tokenizer.json";
/** A tokens.json of a hundred tokens has a few KB. */
export const TOKENS_BYTES = 4 << 20;

/** A token added to a vocabulary, found in a text before anything else. */
export interface AddedToken {
  readonly id: number;
  /** It is a mark, not text, and so is not printed. */
  readonly special: boolean;
  /** It takes the whitespace before it. */
  readonly lstrip: boolean;
  /** It takes the whitespace after it. */
  readonly rstrip: boolean;
  /** It does not match inside a word. */
  readonly single_word: boolean;
  /** It is matched against the normalized text, after those that are not. */
  readonly normalized: boolean;
}

/** What a model's special tokens are for, where it differs from OpenAI's. */
export interface SpecialTokens {
  /** The token that a text begins from; undefined: the one that ends it. */
  readonly bos?: number;
  /** The tokens that end a text. Empty: `<|endoftext|>`, if the vocabulary has it. */
  readonly eos: readonly number[];
  /** The tokens before every prompt. */
  readonly begin: readonly number[];
  /** Tokens added to the vocabulary, by the text that stands for them in a prompt. */
  readonly added: ReadonlyMap<string, AddedToken>;
  /** Whether a text is encoded with a space before it, unless it begins with one. */
  readonly add_prefix_space: boolean;
}

/** OpenAI's models. */
export const NO_SPECIAL_TOKENS: SpecialTokens = {
  eos: [],
  begin: [],
  added: new Map(),
  add_prefix_space: false,
};

/** Whether these differ from OpenAI's. */
export function isSpecial(tokens: SpecialTokens): boolean {
  return !isDeepStrictEqual(tokens, NO_SPECIAL_TOKENS);
}

const FLAGS = ["special", "lstrip", "rstrip", "single_word", "normalized"] as const;
type Flags = Partial<Record<(typeof FLAGS)[number], unknown>>;

/** An added token with Hugging Face's defaults: unless special, it is matched against the normalized text. */
export function addedToken(id: number, flags: Flags = {}): AddedToken {
  const special = flags.special === true;
  return {
    id,
    special,
    lstrip: flags.lstrip === true,
    rstrip: flags.rstrip === true,
    single_word: flags.single_word === true,
    normalized: typeof flags.normalized === "boolean" ? flags.normalized : !special,
  };
}

/**
 * Parses a tokens.json.
 * @param path its path, for messages
 * @throws UserError when a value is invalid
 */
export function parseSpecialTokens(json: string, path: string): SpecialTokens {
  const wrong = (what: string): UserError =>
    new UserError(`${path}: ${what}`, { next: "import the model again" });
  const value = parseJson(json, path, "import the model again");
  if (!isObject(value)) throw wrong("it holds no tokens");
  const { bos, eos = [], begin = [], added = {}, add_prefix_space = false } = value;
  const isIds = (ids: unknown): ids is number[] => Array.isArray(ids) && ids.every(isSize);
  if (bos !== undefined && !isSize(bos)) throw wrong(`bos is not a token's id, but ${quote(bos, 40)}`);
  if (!isIds(eos)) throw wrong(`eos is not a list of ids, but ${quote(eos, 40)}`);
  if (!isIds(begin)) throw wrong(`begin is not a list of ids, but ${quote(begin, 40)}`);
  if (typeof add_prefix_space !== "boolean") throw wrong("add_prefix_space is neither true nor false");
  if (!isObject(added)) throw wrong("added is not a table");
  const table = new Map<string, AddedToken>();
  for (const [text, token] of Object.entries(added)) {
    const { id, ...flags } = isObject(token) ? token : { id: token };
    const odd = Object.entries(flags).find(
      ([name, flag]) => !(FLAGS as readonly string[]).includes(name) || typeof flag !== "boolean",
    );
    if (odd) throw wrong(`the added token ${quote(text, 40)} has ${odd[0]} = ${quote(odd[1], 40)}`);
    if (text === "" || !isSize(id)) throw wrong(`the added token ${quote(text, 40)} has no text or no id`);
    table.set(text, addedToken(id, flags));
  }
  return { ...(bos !== undefined && { bos }), eos, begin, added: table, add_prefix_space };
}

/** An added token's entry in tokens.json: its id, or an object if a flag is not the default. */
function written(token: AddedToken): unknown {
  const plain = addedToken(token.id, { special: token.special });
  const flags = FLAGS.filter((flag) => token[flag] !== plain[flag] || (flag === "special" && token.special));
  if (flags.length === 0) return token.id;
  return { id: token.id, ...Object.fromEntries(flags.map((flag) => [flag, token[flag]])) };
}

/** The text of a tokens.json. */
export function specialTokensJson({ bos, eos, begin, added, add_prefix_space }: SpecialTokens): string {
  const value = {
    bos,
    eos,
    ...(begin.length > 0 && { begin }),
    added: Object.fromEntries([...added].map(([text, token]) => [text, written(token)])),
    add_prefix_space,
  };
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
