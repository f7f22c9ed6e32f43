// What a tokenizer's special tokens are for, whatever its kind.
import type { Encoder } from "../../encoder/encoder.js";
import { type AddedToken, addedToken, type SpecialTokens } from "../../encoder/special-tokens.js";
import { FETCH_AGAIN, quote, UserError } from "../../system/errors.js";
import { isObject } from "../../system/json.js";
import { type TokenizerFiles, templateOf } from "./tokenizer-files.js";

/** A tokenizer in the form that our model folders store. */
export interface Tokenizer {
  /** Its files, by their names: encoder.json and vocab.bpe, or tokenizer.json. */
  readonly vocabulary: ReadonlyMap<string, Buffer>;
  readonly encoder: Encoder;
  readonly notices: readonly string[];
}

/** Added tokens that have a row in the model's embedding. */
export interface PlacedTokens {
  /** By text, in order of id. */
  readonly added: Map<string, AddedToken>;
  readonly notices: string[];
  /** Whether the vocabulary lacked some, or some were left out. */
  readonly isChanged: boolean;
}

/**
 * Puts added tokens into a vocabulary.
 * @param ids the vocabulary's tokens; missing ones are added
 * @param n_vocab rows of the embedding; tokens beyond them are left out
 * @param file the vocabulary's, for messages
 * @param written turns a token's text into the vocabulary's spelling
 * @throws UserError when a token has another token's id
 */
export function placeAdded(
  files: TokenizerFiles,
  ids: Map<string, number>,
  n_vocab: number,
  file: string,
  written: (text: string) => string = (text) => text,
): PlacedTokens {
  const added = new Map<string, AddedToken>();
  const [known, unknown]: [string[], string[]] = [[], []];
  const taken = new Set(ids.values());
  for (const [text, token] of [...files.added].sort(([, a], [, b]) => a.id - b.id)) {
    const name = written(text);
    if (ids.get(name) !== token.id) {
      if (token.id >= n_vocab) {
        unknown.push(text);
        continue;
      }
      if (taken.has(token.id) || ids.has(name)) {
        throw new UserError(
          `${files.folder}: the added token ${show(text)} (${token.id}) conflicts with ${file}`,
          { next: FETCH_AGAIN },
        );
      }
      ids.set(name, token.id);
      taken.add(token.id);
      known.push(text);
    }
    added.set(text, token);
  }
  const notices: string[] = [];
  if (known.length > 0) {
    notices.push(`added to the vocabulary: ${list(known)}; each is one token wherever it occurs in a prompt`);
  }
  if (unknown.length > 0) notices.push(`left out, as the model has no embedding for them: ${list(unknown)}`);
  return { added, notices, isChanged: known.length > 0 || unknown.length > 0 };
}

/** Added tokens, and the vocabulary's tokens with a role: in a prompt, their text stands for the token. */
export function withMarks(
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

/** What the special tokens are for, according to the tokenizer's own files. */
export function meaning(
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

/** The first eight texts, and how many more there are. */
function list(texts: readonly string[]): string {
  const more = texts.length > 8 ? `, and ${texts.length - 8} more` : "";
  return texts.slice(0, 8).map(show).join(", ") + more;
}

/** A file's value for a message: short and on one line. */
export function show(value: unknown): string {
  return quote(value, 60);
}
