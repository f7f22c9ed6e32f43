import { messageOf, UserError } from "../../system/errors.js";
import { readSmallFileIfThere } from "../../system/files.js";
import { decodeText } from "../../system/text-encoding.js";

/** The largest of these files, a tokenizer.json, has a few MB. */
const LIMIT = 32 << 20;

/**
 * A small file's text; undefined where it is not there.
 * @throws UserError when it cannot be read or is no small file
 */
export async function readSmallText(path: string): Promise<string | undefined> {
  const bytes = await readSmallFileIfThere(path, LIMIT, "fetch the model again");
  return bytes && decodeText(bytes);
}

/**
 * A small file's JSON; undefined where the file is not there.
 * @throws UserError when it cannot be read or is no JSON
 */
export async function readJson(path: string): Promise<unknown> {
  const text = await readSmallText(path);
  return text === undefined ? undefined : parseJson(text, path);
}

/** The value of a file's text. @throws UserError when it is no JSON */
export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new UserError(`${path} is not valid JSON (${messageOf(error)}): fetch the model again`, {
      cause: error,
    });
  }
}
