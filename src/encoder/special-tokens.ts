import { isDeepStrictEqual } from "node:util";
import { quote, UserError } from "../system/errors.js";

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
  const wrong = (what: string): UserError => new UserError(`${path}: ${what}: import the model again`);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new UserError(`${path} is not valid JSON: import the model again`, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong("it holds no tokens");
  const { bos, eos = [], added = {}, add_prefix_space = false } = value as Readonly<Record<string, unknown>>;
  const isId = (id: unknown): id is number => typeof id === "number" && Number.isSafeInteger(id) && id >= 0;
  if (bos !== undefined && !isId(bos)) throw wrong(`bos is not a token's id, but ${quote(bos, 40)}`);
  if (!Array.isArray(eos) || !eos.every(isId)) throw wrong(`eos is not a list of ids, but ${quote(eos, 40)}`);
  if (typeof add_prefix_space !== "boolean") throw wrong("add_prefix_space is neither true nor false");
  if (typeof added !== "object" || added === null || Array.isArray(added))
    throw wrong("added is not a table");
  const table = new Map<string, number>();
  for (const [text, id] of Object.entries(added)) {
    if (text === "" || !isId(id)) throw wrong(`the added token ${quote(text, 40)} has no text or no id`);
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
