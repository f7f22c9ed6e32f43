import { readFile } from "node:fs/promises";
import { UsageError } from "../errors.js";
import { fileError } from "../files.js";

/** A file's text as UTF-8; a byte order mark at its beginning is not part of it. */
export async function readTextFile(file: string): Promise<string> {
  const bytes = await readFile(file).catch((error) => {
    throw fileError("read", file, error);
  });
  return new TextDecoder().decode(bytes);
}

/**
 * Reads standard input to its end as UTF-8.
 * @param how what to say where a person sits at the terminal and nothing will come
 */
export async function readStdin(how: string): Promise<string> {
  if (process.stdin.isTTY) throw new UsageError(how);
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  } catch (error) {
    throw fileError("read", "standard input", error);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

/** A text without the newline at its very end, which editors and echo put there. */
export function withoutLastNewline(text: string): string {
  return text.replace(/\r?\n$/, "");
}
