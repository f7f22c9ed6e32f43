import { lstatSync, mkdirSync, statSync } from "node:fs";
import {
  type FileHandle,
  link,
  lstat,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { messageOf, reasonOf, UserError } from "./errors.js";
import { isLfsPointer, lfsFault } from "./lfs.js";
import { randomHex } from "./random-hex.js";

/** A UserError for a failed file operation, with the reason in plain words. */
export function fileError(action: string, path: string, error: unknown): UserError {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const reasons: Record<string, string> = {
    ENOENT: "no such file or folder",
    EACCES: "permission denied",
    EPERM: "permission denied",
    EROFS: "the disk is read-only",
    ENOSPC: "the disk is full",
    EDQUOT: "the disk quota is used up",
    EEXIST: "it exists and is not a folder",
    EISDIR: "it is a folder",
    ENOTDIR: "a part of the path is not a folder",
    EMFILE: "too many open files",
    ENAMETOOLONG: "the name is too long",
  };
  return new UserError(`cannot ${action} ${path}: ${reasons[code ?? ""] ?? messageOf(error)}`, {
    cause: error,
  });
}

/** The names of a folder's entries. @throws UserError when it is not a folder or cannot be read */
export async function listFolder(path: string): Promise<string[]> {
  return readdir(path).catch((error) => {
    throw fileError("read", path, error);
  });
}

/**
 * A small file's bytes. Refuses a gigabyte that merely has a settings file's name without reading it.
 * @param limit the most bytes
 * @param next the next step when the file is missing or too large, e.g. "download the model again"
 * @throws UserError when it cannot be read, is not a file, is larger, or is a Git LFS pointer in place of the file
 */
export async function readSmallFile(path: string, limit: number, next: string): Promise<Buffer> {
  try {
    const found = await stat(path); // before opening, because opening a pipe waits for a writer
    if (found.isDirectory()) throw Object.assign(new Error("a folder"), { code: "EISDIR" });
    if (!found.isFile()) throw new UserError(`cannot read ${path}: it is not a file`, { next });
    if (found.size <= limit) {
      const bytes = await readFile(path);
      if (isLfsPointer(bytes)) throw lfsFault(path);
      return bytes;
    }
    throw new UserError(`cannot read ${path}: it has ${found.size} bytes, too many for what its name says`, {
      next,
    });
  } catch (error) {
    throw error instanceof UserError ? error : fileError("read", path, error);
  }
}

/** The same for a file that may be missing: undefined if it is. */
export async function readSmallFileIfThere(
  path: string,
  limit: number,
  next: string,
): Promise<Buffer | undefined> {
  try {
    return await readSmallFile(path, limit, next);
  } catch (error) {
    if (((error as UserError).cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT")
      return undefined;
    throw error;
  }
}

/**
 * Runs work that writes; if the place is read-only, the error gets a next step.
 * @param next the next step, e.g. "choose another folder"
 */
export async function elsewhereIfReadOnly<T>(next: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = ((error instanceof UserError && error.cause) || {}) as NodeJS.ErrnoException;
    if (!["EACCES", "EPERM", "EROFS"].includes(code ?? "")) throw error;
    throw new UserError(reasonOf(error), { next, cause: error });
  }
}

/**
 * Creates a folder and its missing parents. (Node's recursive mkdir hangs where the system reports a missing folder
 * although the parent exists, as below /proc.)
 * @param mode permissions of the new folders
 * @returns the topmost folder created; undefined if all existed
 * @throws UserError
 */
export function makeFolder(path: string, mode?: number): string | undefined {
  try {
    return make(resolve(path), mode);
  } catch (error) {
    throw fileError("create", path, error);
  }
}

function make(folder: string, mode: number | undefined): string | undefined {
  try {
    mkdirSync(folder, { mode });
    return folder;
  } catch (error) {
    // Not every system reports EEXIST for an existing folder: drives and read-only disks differ. Or another process
    // was quicker.
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return undefined;
    const above = dirname(folder);
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" || lstatSync(above, { throwIfNoEntry: false })) throw error;
    const topmost = make(above, mode);
    return make(folder, mode) && topmost;
  }
}

/** Writes a new file beside another and flushes it to the disk. @returns its path */
async function writeBeside(
  path: string,
  write: (file: FileHandle) => Promise<void>,
  mode?: number,
): Promise<string> {
  const beside = `${path}.${randomHex(4)}.part`;
  try {
    const file = await open(beside, "wx", mode);
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    return beside;
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

/**
 * Writes a file whole or not at all: beside its place, flushed to the disk, then renamed.
 * @param mode its permissions, if not the usual ones
 * @throws UserError when the disk is full, the folder read-only, ...; the old file is then untouched
 */
export async function replaceFile(path: string, data: string | Uint8Array, mode?: number): Promise<void> {
  try {
    await moveOrRemove(await writeBeside(path, (file) => file.writeFile(data), mode), (beside) =>
      rename(beside, path),
    );
  } catch (error) {
    throw fileError("write", path, error);
  }
}

/** Makes a folder's renames durable. On systems that cannot open folders, they become durable in time. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // The files' contents are already on the disk.
  }
}

/**
 * Writes a file that does not exist yet, whole or not at all.
 * @throws UserError when anything of that name exists, the disk is full, ...
 */
export async function writeNewFile(path: string, data: string | Uint8Array): Promise<void> {
  try {
    await moveOrRemove(await writeBeside(path, (file) => file.writeFile(data)), (beside) =>
      renameToNew(beside, path),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw fileError("write", path, error);
    throw new UserError(`${path} already exists`, { next: "choose another name" });
  }
}

/**
 * Writes a file in chunks, whole or not at all.
 * @param overwrite whether it may replace another file
 * @param write gets a function that appends a chunk
 * @throws UserError when the disk is full, the folder read-only, ...; whatever `write` throws, unchanged
 */
export async function writeInPieces(
  path: string,
  overwrite: boolean,
  write: (append: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  try {
    const beside = await writeBeside(path, (file) => write((bytes) => file.writeFile(bytes)));
    await moveOrRemove(beside, (from) => (overwrite ? rename(from, path) : renameToNew(from, path)));
  } catch (error) {
    const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
    if (code === "EEXIST") throw new UserError(`${path} already exists`, { next: "choose another name" });
    throw syscall === undefined ? error : fileError("write", path, error);
  }
}

async function moveOrRemove(beside: string, move: (beside: string) => Promise<void>): Promise<void> {
  try {
    await move(beside);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

/** Whether anything of this name exists. */
export async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/**
 * Refuses to replace a folder through a link: it may be somebody else's. Adding to one through a link is allowed.
 */
export async function refuseLinkedFolder(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isSymbolicLink()) return;
  throw new UserError(`${path} is a link to ${await realpath(path).catch(() => "nothing")}`, {
    next: "a link's target is never replaced: remove the link, or choose another name",
  });
}

/** Renames without replacing another file. @throws an error with the code EEXIST if there is one */
export async function renameToNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // On file systems without links, checking first must do.
    if (code === "EEXIST" || (await exists(to))) throw Object.assign(new Error("exists"), { code: "EEXIST" });
    await rename(from, to);
    return;
  }
  await rm(from);
}
