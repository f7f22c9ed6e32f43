import { access, constants, lstat, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { UserError } from "../../system/errors.js";
import { fileError, replaceFile, writeNewFile } from "../../system/files.js";
import { note } from "../terminal/output.js";

/**
 * Whether a file may be written where an option says, asked before the work that fills it.
 * @param overwrite whether it may replace another
 * @throws UserError when it may not
 */
export async function checkOutFile(path: string, flag: string, overwrite: boolean): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found && !found.isFile())
    throw new UserError(`${path} is not a regular file`, { next: `choose another ${flag}` });
  if (found && !overwrite) {
    throw new UserError(`${path} already exists`, { next: `choose another ${flag}, or pass --overwrite` });
  }
  const folder = dirname(path);
  try {
    if (!(await stat(folder)).isDirectory()) throw Object.assign(new Error("a file"), { code: "ENOTDIR" });
    await access(folder, constants.W_OK);
  } catch (error) {
    throw fileError("write", path, error);
  }
}

/** Writes such a file, whole or not at all, and says so. @throws UserError when it cannot be written */
export async function writeOutFile(path: string, text: string, overwrite: boolean): Promise<void> {
  await (overwrite ? replaceFile : writeNewFile)(path, text);
  note(`wrote ${path}`);
}
