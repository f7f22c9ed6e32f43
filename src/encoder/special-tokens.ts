import { isDeepStrictEqual } from "node:util";
import { quote, UserError } from "../system/errors.js";
import { isObject, isSize, parseJson } from "../system/json.js";

/** The file of a model folder that says what its vocabulary does not: OpenAI's own models have none. */
export const TOKENS_FILE = "tokens.json";
/** A tokens.json of some hundred tokens has a few KB. */
export const TOKENS_BYTES = 4 << 20;

/** How a model means its tokens, where that is not OpenAI's way. */
export interface SpecialTokens {
  /** The token from which a text begins; undefined: the one that ends it. */
  readonly bos?: number;
  /** The tokens that end a text. Empty: `<|endoftext|>`, where the vocabulary has it. */
  readonly eos: readonly number[];
  /** Tokens that were added to the vocabulary: wherever a prompt has this text, it is this one token. */
  readonly added: ReadonlyMap<string, number>;
  /** A text is read as if a space stood before it, unless one does. */
  readonly add_prefix_space: boolean;
}

/** OpenAI's way. */
export const NO_SPECIAL_TOKENS: SpecialTokens = { eos: [], added: new Map(), add_prefix_space: false };

/** Whether these say anything that the vocabulary does not say. */
export function isSpecial(tokens: SpecialTokens): boolean {
  return !isDeepStrictEqual(tokens, NO_SPECIAL_TOKENS);
}

/**
 * Reads a tokens.json.
 * @param path for messages
 * @throws UserError when a value is not what it must be
 */
export function parseSpecialTokens(json: string, path: string): SpecialTokens {
  const wrong = (what: string): UserError =>
    new UserError(`${path}: ${what}`, { next: "import the model again" });
  const value = parseJson(json, path, "import the model again");
  if (!isObject(value)) throw wrong("it holds no tokens");
  const { bos, eos = [], added = {}, add_prefix_space = false } = value;
  if (bos !== undefined && !isSize(bos)) throw wrong(`bos is not a token's id, but ${quote(bos, 40)}`);
  if (!Array.isArray(eos) || !eos.every(isSize))
    throw wrong(`eos is not a list of ids, but ${quote(eos, 40)}`);
  if (typeof add_prefix_space !== "boolean") throw wrong("add_prefix_space is neither true nor false");
  if (!isObject(added)) throw wrong("added is not a table");
  const table = new Map<string, number>();
  for (const [text, id] of Object.entries(added)) {
    if (text === "" || !isSize(id)) throw wrong(`the added token ${quote(text, 40)} has no text or no id`);
    table.set(text, id);
  }
  return { ...(bos !== undefined && { bos }), eos, added: table, add_prefix_space };
}

/** The text of a tokens.json. */
export function specialTokensJson({ bos, eos, added, add_prefix_space }: SpecialTokens): string {
  const value = { bos, eos, added: Object.fromEntries(added), add_prefix_space };
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** A text cut at its added tokens, the longest first where several begin at one place. */
export function addedTokenPattern(added: ReadonlyMap<string, number>): RegExp | undefined {
  if (added.size === 0) return undefined;
  const texts = [...added.keys()].sort((a, b) => b.length - a.length);
  return new RegExp(`(${texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|")})`, "u");
}
