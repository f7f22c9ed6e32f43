import { isUtf8 } from "node:buffer";
import { fstatSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { UsageError, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { tell } from "./output.js";

/** A text's bytes as UTF-8, and a warning where they are something else. A byte order mark is no part of it. */
function decode(bytes: Uint8Array, from: string): string {
  if (!isUtf8(bytes)) tell(`warning: ${from} is not all UTF-8: what is not is read as U+FFFD`);
  return new TextDecoder().decode(bytes);
}

/** A file's text as UTF-8; a byte order mark at its beginning is not part of it. */
export async function readTextFile(file: string): Promise<string> {
  const bytes = await readFile(file).catch((error) => {
    throw fileError("read", file, error);
  });
  return decode(bytes, file);
}

/** @throws UserError where standard input is a folder (`< folder`), which Node would read as an empty file */
export function checkStdin(): void {
  let isFolder = false;
  try {
    isFolder = fstatSync(process.stdin.fd).isDirectory();
  } catch {
    // Closed (`<&-`): it reads as empty.
  }
  if (isFolder) throw new UserError("cannot read standard input: it is a folder; name a file in it");
}

/**
 * Reads standard input to its end as UTF-8.
 * @param how what to say where a person sits at the terminal and nothing will come
 */
export async function readStdin(how: string): Promise<string> {
  if (process.stdin.isTTY) throw new UsageError(how);
  checkStdin();
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  } catch (error) {
    throw fileError("read", "standard input", error);
  }
  return decode(Buffer.concat(chunks), "standard input");
}

/** A prompt's lines as the model knows them: their ends are `\n`, where a file from Windows has `\r\n`. */
export function withUnixLines(text: string): string {
  return text.replaceAll("\r\n", "\n");
}

/** A text without the newline at its very end, which editors and echo put there. */
export function withoutLastNewline(text: string): string {
  return text.replace(/\n$/, "");
}
