import { open } from "node:fs/promises";
import { UserError } from "./errors.js";

const FIRST_LINE = "version https://git-lfs.github.com/spec/v1";

/** Whether a file begins like a Git LFS pointer: a few lines in place of a large file. */
export function isLfsPointer(head: Uint8Array): boolean {
  return Buffer.from(head.subarray(0, FIRST_LINE.length)).toString("latin1") === FIRST_LINE;
}

/** The error for a pointer. */
export function lfsFault(path: string): UserError {
  return new UserError(`${path} is a Git LFS pointer, not the file itself`, {
    next: `run \`git lfs pull\` in its folder, or download the file`,
  });
}

/** @throws UserError if the file is a pointer; checks nothing else */
export async function refuseLfsPointer(path: string): Promise<void> {
  const file = await open(path, "r").catch(() => undefined);
  if (!file) return;
  try {
    const head = Buffer.alloc(FIRST_LINE.length);
    await file.read(head, 0, head.length, 0);
    if (isLfsPointer(head)) throw lfsFault(path);
  } finally {
    await file.close();
  }
}
