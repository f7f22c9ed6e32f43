import { FETCH_AGAIN } from "../../system/errors.js";
import { readSmallFileIfThere } from "../../system/files.js";
import { parseJson as parse } from "../../system/json.js";
import { decodeText } from "../../system/text-encoding.js";

/** The largest such file, a tokenizer.json, has a few MB. */
const LIMIT = 32 << 20;

/**
 * A small file's text; undefined if the file does not exist.
 * @throws UserError when it cannot be read or is too large
 */
export async function readSmallText(path: string): Promise<string | undefined> {
  const bytes = await readSmallFileIfThere(path, LIMIT, FETCH_AGAIN);
  return bytes && decodeText(bytes);
}

/**
 * A small file's JSON; undefined if the file does not exist.
 * @throws UserError when it cannot be read or is not JSON
 */
export async function readJson(path: string): Promise<unknown> {
  const text = await readSmallText(path);
  return text === undefined ? undefined : parseJson(text, path);
}

/** Parses a file's text. @throws UserError when it is not JSON */
export const parseJson = (text: string, path: string): unknown => parse(text, path, FETCH_AGAIN);
