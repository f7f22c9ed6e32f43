import { fstatSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { UsageError, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { encodingOf } from "../../system/text-encoding.js";
import { tell } from "./output.js";

/**
 * Decodes UTF-8, or UTF-16 if a byte order mark says so, and warns of anything else. The mark is dropped.
 */
function decode(bytes: Uint8Array, from: string): string {
  const { label } = encodingOf(bytes);
  try {
    return new TextDecoder(label, { fatal: true }).decode(bytes);
  } catch {
    tell(`warning: ${from} is not all valid ${label.toUpperCase()}: invalid bytes become U+FFFD`);
    return new TextDecoder(label).decode(bytes);
  }
}

/** A file's text; see decode(). */
export async function readTextFile(file: string): Promise<string> {
  const bytes = await readFile(file).catch((error) => {
    throw fileError("read", file, error);
  });
  return decode(bytes, file);
}

/** @throws UserError when standard input is a folder (`< folder`), which Node would read as an empty file */
export function checkStdin(): void {
  let isFolder = false;
  try {
    isFolder = fstatSync(process.stdin.fd).isDirectory();
  } catch {
    // Closed (`<&-`): it reads as empty.
  }
  if (isFolder)
    throw new UserError("cannot read standard input: it is a folder", {
      next: "redirect from a file instead",
    });
}

/** Standard input's bytes, until it ends or is destroyed. */
async function* stdinBytes(): AsyncGenerator<Buffer, void, void> {
  try {
    for await (const chunk of process.stdin) yield chunk as Buffer;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_STREAM_PREMATURE_CLOSE") return;
    throw fileError("read", "standard input", error);
  }
}

/** The text of standard input as it arrives, decoded as in decode(). */
export async function* stdinText(): AsyncGenerator<string, void, void> {
  let head: Buffer | undefined = Buffer.alloc(0);
  let decoder = new TextDecoder();
  for await (const chunk of stdinBytes()) {
    let bytes = chunk;
    if (head) {
      bytes = Buffer.concat([head, bytes]);
      if (bytes.length < 2) {
        head = bytes;
        continue;
      }
      decoder = new TextDecoder(encodingOf(bytes).label);
      head = undefined;
    }
    yield decoder.decode(bytes, { stream: true });
  }
  yield decoder.decode(head);
}

/** After this long without input the user is told what the program is waiting for. */
const WAITING_MS = 2000;

/**
 * Text piped into a command that already has a prompt: "" at a terminal.
 * @throws UserError when it cannot be read
 */
export async function readPiped(): Promise<string> {
  if (process.stdin.isTTY) return "";
  const timer = setTimeout(() => {
    tell("waiting for the end of standard input, which goes before the prompt (`< /dev/null` for none)");
  }, WAITING_MS);
  try {
    return await readStdin("");
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Reads all of standard input, decoded as in decode().
 * @param how what to say to a person at a terminal, where nothing would come
 */
export async function readStdin(how: string): Promise<string> {
  if (process.stdin.isTTY) throw new UsageError(how);
  checkStdin();
  const chunks: Buffer[] = [];
  for await (const chunk of stdinBytes()) chunks.push(chunk);
  return decode(Buffer.concat(chunks), "standard input");
}

/** A prompt's lines as the model knows them: they end in `\n`, not in Windows' `\r\n`. */
export function withUnixLines(text: string): string {
  return text.replaceAll("\r\n", "\n");
}

/** A text without the newline at its end, which editors and echo add. */
export function withoutLastNewline(text: string): string {
  return text.replace(/\n$/, "");
}
