import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
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

/**
 * Does a piece of work that writes; where the place may not be written to, the error says what to do.
 * @param next the next step, e.g. "name another place with --models_dir"
 */
export async function elsewhereIfReadOnly<T>(next: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = ((error instanceof UserError && error.cause) || {}) as NodeJS.ErrnoException;
    if (!["EACCES", "EPERM", "EROFS"].includes(code ?? "")) throw error;
    throw new UserError(`${messageOf(error)}: ${next}`, { cause: error });
  }
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
