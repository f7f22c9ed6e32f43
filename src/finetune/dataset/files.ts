import { readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { glob, isDynamicPattern } from "tinyglobby";
import { UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { expandPath } from "../../system/paths.js";

/** A file of a dataset. */
export interface DataFile {
  /** As shown: bytes of a name that are not UTF-8 are U+FFFD. */
  readonly path: string;
  /** As opened. */
  readonly place: Place;
  /** Bytes. */
  readonly size: number;
  /** Whether the user named this very file; others come from a folder or a pattern, which may hold anything. */
  readonly isNamed: boolean;
}

/** A path; in bytes if a name may not fit in a string, as on a disk of the 1990s. */
type Place = string | Buffer;

/**
 * The files of a dataset, sorted by name: those in folders and subfolders, and those that match patterns. Hidden files
 * and folders are left out, with a notice, unless they are named.
 * @param dataset files, folders or patterns
 * @throws UserError when one of them does not exist, or there are no files
 */
export async function listFiles(
  dataset: readonly string[],
  onNotice: (notice: string) => void = () => {},
): Promise<DataFile[]> {
  const files: DataFile[] = [];
  const hidden: string[] = [];
  const located = new Set<string>();
  for (const given of dataset) {
    const path = (await isThere(given)) ? given : expandPath(given);
    if (!(await isThere(path)) && isDynamicPattern(path)) {
      files.push(...(await matches(path, hidden)));
      continue;
    }
    if (located.has(path)) continue; // one of several whose names look the same: all of them were found
    const places = await locate(path);
    if (places.some((place) => typeof place !== "string")) located.add(path);
    for (const place of places) {
      const info = await stat(place).catch((error) => {
        throw fileError("read", path, error);
      });
      if (info.isFile()) {
        files.push({ path, place, size: info.size, isNamed: true });
      } else if (info.isDirectory()) {
        const found = await walk(path, place, hidden, new Set());
        if (found.length === 0) {
          throw new UserError(`the folder ${path} holds no file to train on`, {
            next: "put texts into it, or name another",
          });
        }
        files.push(...found);
      } else {
        throw new UserError(`${path} is neither a file nor a folder`, {
          next: "save the text to a file and name that",
        });
      }
    }
  }
  if (hidden.length > 0) onNotice(`left out, because hidden: ${summary(hidden)}`);
  return files;
}

async function exists(place: Place): Promise<boolean> {
  return stat(place).then(
    () => true,
    () => false,
  );
}

async function isThere(path: string): Promise<boolean> {
  return exists((await locate(path))[0]);
}

/**
 * The files or folders that a path may mean. A shell or a pattern writes a name that is not UTF-8 with U+FFFD in it: then
 * it is looked up among the names in its folder.
 */
async function locate(path: string): Promise<Place[]> {
  if (!path.includes("\ufffd") || (await exists(path))) return [path];
  const name = basename(path);
  const found: Place[] = [];
  for (const folder of await locate(dirname(path))) {
    for (const entry of await readdir(folder, { encoding: "buffer" }).catch(() => [])) {
      if (entry.toString() === name) found.push(below(folder, entry));
    }
  }
  return found.length > 0 ? found : [path];
}

const below = (folder: Place, name: Buffer): Buffer =>
  Buffer.concat([Buffer.from(folder), Buffer.from(sep), name]);

/** What a shell would make of the pattern: files, and folders with everything in them. */
async function matches(pattern: string, hidden: string[]): Promise<DataFile[]> {
  const slashed = process.platform === "win32" ? pattern.replaceAll("\\", "/") : pattern;
  const paths = await glob(slashed, { onlyFiles: false, expandDirectories: false });
  const seen = new Set<string>();
  const files = new Map<string, DataFile>();
  for (const path of paths.map((found) => found.replace(/\/$/, "")).sort()) {
    for (const place of await locate(path)) {
      for (const file of await follow(path, place, hidden, seen)) files.set(keyOf(file.place), file);
    }
  }
  if (files.size === 0)
    throw new UserError(`no file matches ${pattern}`, {
      next: "check the pattern, or name a file or folder",
    });
  return [...files.values()];
}

/** One key for every way to write a place. */
function keyOf(place: Place): string {
  return resolve(Buffer.from(place).toString("latin1"));
}

/** The files in and below a folder. @param seen real paths of the folders visited: links can form a circle */
async function walk(path: string, place: Place, hidden: string[], seen: Set<string>): Promise<DataFile[]> {
  let names: Buffer[];
  try {
    const real = (await realpath(place, { encoding: "buffer" })).toString("latin1");
    if (seen.has(real)) return [];
    seen.add(real);
    names = await readdir(place, { encoding: "buffer" });
  } catch (error) {
    throw fileError("read", path, error);
  }
  const shown = names.map((bytes) => ({ name: bytes.toString(), bytes }));
  shown.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : Buffer.compare(a.bytes, b.bytes)));
  const files: DataFile[] = [];
  for (const { name, bytes } of shown) {
    if (name.startsWith(".")) hidden.push(join(path, name));
    else files.push(...(await follow(join(path, name), below(place, bytes), hidden, seen)));
  }
  return files;
}

/** A file, or the files in a folder; nothing for a device, a pipe, or a broken link. */
async function follow(path: string, place: Place, hidden: string[], seen: Set<string>): Promise<DataFile[]> {
  const info = await stat(place).catch(() => undefined);
  if (info?.isDirectory()) return walk(path, place, hidden, seen);
  return info?.isFile() ? [{ path, place, size: info.size, isNamed: false }] : [];
}

/** How many names fit on a line. */
const NAMED = 3;

/** The first names of a list, and how many more there are. */
export function summary(names: readonly string[]): string {
  const more = names.length - NAMED;
  return names.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
