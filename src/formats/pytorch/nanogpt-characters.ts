// The meta.pkl of karpathy/nanoGPT: its vocabulary of characters. Source: its data/shakespeare_char/prepare.py.
import { basename, dirname, join, resolve } from "node:path";
import { NO_SPECIAL_TOKENS, type SpecialTokens } from "../../encoder/special-tokens.js";
import { quote, UserError } from "../../system/errors.js";
import { readSmallFileIfThere } from "../../system/files.js";
import { FormatError } from "../open-file.js";
import { unpickle } from "./pickle.js";

const META = "meta.pkl";
/** All of Unicode's characters would take 3 MB. */
const META_BYTES = 4 << 20;

/** A vocabulary of characters. */
export interface Characters {
  /** The text of a tokenizer.json whose tokens are the characters. */
  readonly tokenizer: string;
  /** Texts begin from a line feed, as with nanoGPT's sample.py. */
  readonly special: SpecialTokens;
  readonly n_tokens: number;
  /** The path of meta.pkl. */
  readonly path: string;
}

/**
 * Reads a model's meta.pkl: beside its ckpt.pt, or where nanoGPT keeps it, in data/DATASET beside the run's folder.
 * @param folder the ckpt.pt's
 * @param dataset the name that ckpt.pt gives
 * @returns undefined if there is none
 * @throws UserError when it is damaged, or not a vocabulary of characters
 */
export async function readCharacters(folder: string, dataset: unknown): Promise<Characters | undefined> {
  const places = [join(folder, META)];
  if (typeof dataset === "string" && dataset === basename(dataset) && !dataset.startsWith(".")) {
    places.push(join(dirname(resolve(folder)), "data", dataset, META));
  }
  for (const path of places) {
    const bytes = await readSmallFileIfThere(path, META_BYTES, "make it again with nanoGPT's prepare.py");
    if (bytes) return parseCharacters(bytes, path);
  }
  return undefined;
}

function parseCharacters(bytes: Buffer, path: string): Characters {
  const refuse = (what: string): UserError =>
    new UserError(`${path}: ${what}`, { next: "it needs the stoi that nanoGPT's prepare.py writes" });
  const ids = tableOf(bytes, path);
  if (!(ids instanceof Map) || ids.size === 0) throw refuse("it has no table of characters, stoi");
  const characters: string[] = [];
  for (const [character, id] of ids as ReadonlyMap<unknown, unknown>) {
    if (typeof character !== "string" || [...character].length !== 1) {
      throw refuse(`${quote(character, 40)} is not a character`);
    }
    const isFree = typeof id === "number" && Number.isInteger(id) && id >= 0 && !(id in characters);
    if (!isFree || id >= ids.size) throw refuse(`the id of ${quote(character)} is ${quote(id, 40)}`);
    characters[id] = character;
  }
  const start = characters.indexOf("\n");
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: "Fuse" },
    model: { type: "BPE", vocab: Object.fromEntries(characters.map((each, id) => [each, id])), merges: [] },
  };
  return {
    tokenizer: JSON.stringify(tokenizer),
    special: { ...NO_SPECIAL_TOKENS, ...(start >= 0 && { bos: start }) },
    n_tokens: characters.length,
    path,
  };
}

function tableOf(bytes: Buffer, path: string): unknown {
  try {
    const { value } = unpickle(bytes, 0, { global: () => undefined, persistent: () => undefined });
    return value instanceof Map ? value.get("stoi") : undefined;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new UserError(`cannot read ${path} as nanoGPT's: ${error.message}`, { cause: error });
  }
}
