import { randomBytes } from "node:crypto";
import { open, readdir, rename, rm } from "node:fs/promises";
import { messageOf, UserError } from "./errors.js";

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
    EISDIR: "it is a folder",
    ENOTDIR: "a part of the path is no folder",
    EMFILE: "too many open files",
    ENAMETOOLONG: "the name is too long",
  };
  return new UserError(`cannot ${action} ${path}: ${reasons[code ?? ""] ?? messageOf(error)}`, {
    cause: error,
  });
}

/** The names of a folder's entries. @throws UserError when it is no folder or cannot be read */
export async function listFolder(path: string): Promise<string[]> {
  return readdir(path).catch((error) => {
    throw fileError("read", path, error);
  });
}

/**
 * Writes a file whole or not at all: beside its place first, flushed to the disk, then renamed over it.
 * @throws UserError when the disk is full, the folder read-only, ...; the old file is then still there
 */
export async function replaceFile(path: string, data: string | Uint8Array): Promise<void> {
  const beside = `${path}.${randomBytes(4).toString("hex")}.part`;
  try {
    const file = await open(beside, "wx");
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw fileError("write", path, error);
  }
}

/** Makes a folder's renames last. Not every system lets a folder be opened; there it does so in its own time. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // The files' own contents are on the disk already.
  }
}
