import { type FileHandle, open, stat } from "node:fs/promises";
import { UserError } from "../system/errors.js";
import { fileError } from "../system/files.js";
import { refuseLfsPointer } from "../system/lfs.js";

/** Why bytes cannot be read, as the end of a sentence; readFormat() makes it a UserError that names the file. */
export class FormatError extends Error {
  override name = "FormatError";
}

/** An open file. */
export class OpenFile {
  constructor(
    readonly path: string,
    readonly size: number,
    private readonly handle: FileHandle,
  ) {}

  /** @throws FormatError when the file ends before them */
  async bytes(position: number, length: number): Promise<Buffer> {
    if (!(length >= 0 && position >= 0 && position + length <= this.size))
      throw new FormatError("it is cut off");
    const bytes = Buffer.alloc(length);
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await this.handle.read(bytes, filled, length - filled, position + filled);
      if (bytesRead === 0) throw new FormatError("it is cut off");
      filled += bytesRead;
    }
    return bytes;
  }
}

/**
 * Opens a file, parses its header and closes it.
 * @param format the expected format, for messages, e.g. "safetensors"
 * @throws UserError that names the file when it is missing, cannot be read, or `parse` throws a FormatError
 */
export async function readFormat<T>(
  path: string,
  format: string,
  parse: (file: OpenFile) => Promise<T>,
): Promise<T> {
  let handle: FileHandle | undefined;
  try {
    const size = await fileSize(path, "name the folder of a model"); // first, because opening a pipe waits for a writer
    handle = await open(path, "r");
    return await parse(new OpenFile(path, size, handle));
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (!(error instanceof FormatError)) throw fileError("read", path, error);
    await refuseLfsPointer(path);
    throw new UserError(`cannot read ${path} as ${format}: ${error.message}`, {
      next: "fetch the file again",
      cause: error,
    });
  } finally {
    await handle?.close();
  }
}

/**
 * A file's size in bytes.
 * @param next the next step when it is not a regular file
 * @throws UserError when it is missing or not a regular file
 */
export async function fileSize(path: string, next: string): Promise<number> {
  const found = await stat(path).catch((error) => {
    throw fileError("read", path, error);
  });
  if (!found.isFile()) throw new UserError(`${path} is not a file`, { next });
  return found.size;
}
