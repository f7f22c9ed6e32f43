import type { Dirent } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { glob, isDynamicPattern } from "tinyglobby";
import { expandPath } from "../../models/store.js";
import { UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { summary } from "./notices.js";

/** A file of a dataset. */
export interface DataFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** The user named this very file; others were found by a folder or a pattern, which may hold anything. */
  readonly isNamed: boolean;
}

/**
 * The files of a dataset: those of a folder and its subfolders, and those that match a pattern, in the order of
 * their names. Hidden files and folders are left out, with a notice, unless they are named.
 * @param dataset files, folders or patterns
 * @throws UserError when one of them is not there, or no file is
 */
export async function listFiles(
  dataset: readonly string[],
  onNotice: (notice: string) => void = () => {},
): Promise<DataFile[]> {
  const files: DataFile[] = [];
  const hidden: string[] = [];
  for (const given of dataset) {
    const path = (await isThere(given)) ? given : expandPath(given);
    if (!(await isThere(path)) && isDynamicPattern(path)) {
      files.push(...(await matches(path, hidden)));
      continue;
    }
    const info = await stat(path).catch((error) => {
      throw fileError("read", path, error);
    });
    if (info.isFile()) {
      files.push({ path, size: info.size, isNamed: true });
    } else if (info.isDirectory()) {
      const found = await walk(path, hidden, new Set());
      if (found.length === 0) {
        throw new UserError(
          `the folder ${path} holds no file to train on: put texts into it, or name another`,
        );
      }
      files.push(...found);
    } else {
      throw new UserError(`${path} is neither a file nor a folder: save the text to a file and name that`);
    }
  }
  if (hidden.length > 0) onNotice(`left out, because hidden: ${summary(hidden)}`);
  return files;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** What a shell would have made of the pattern: files, and folders with all that is in them. */
async function matches(pattern: string, hidden: string[]): Promise<DataFile[]> {
  const slashed = process.platform === "win32" ? pattern.replaceAll("\\", "/") : pattern;
  const paths = await glob(slashed, { onlyFiles: false, expandDirectories: false });
  const seen = new Set<string>();
  const files = new Map<string, DataFile>();
  for (const path of paths.map((found) => found.replace(/\/$/, "")).sort()) {
    for (const file of await follow(path, hidden, seen)) files.set(resolve(file.path), file);
  }
  if (files.size === 0)
    throw new UserError(`no file matches ${pattern}: check the pattern, or name a file or folder`);
  return [...files.values()];
}

/** The files in a folder and below it. @param seen the real paths of folders that were walked: links can lead in a circle */
async function walk(folder: string, hidden: string[], seen: Set<string>): Promise<DataFile[]> {
  let entries: Dirent[];
  try {
    const real = await realpath(folder);
    if (seen.has(real)) return [];
    seen.add(real);
    entries = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    throw fileError("read", folder, error);
  }
  const files: DataFile[] = [];
  for (const name of entries.map((entry) => entry.name).sort()) {
    if (name.startsWith(".")) hidden.push(join(folder, name));
    else files.push(...(await follow(join(folder, name), hidden, seen)));
  }
  return files;
}

/** A file, or the files in a folder; nothing for a device, a pipe, or a link that leads nowhere. */
async function follow(path: string, hidden: string[], seen: Set<string>): Promise<DataFile[]> {
  const info = await stat(path).catch(() => undefined);
  if (info?.isDirectory()) return walk(path, hidden, seen);
  return info?.isFile() ? [{ path, size: info.size, isNamed: false }] : [];
}
