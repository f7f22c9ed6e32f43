import { type FileHandle, open } from "node:fs/promises";
import { countOf, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { encodingOf, UTF_8 } from "../../system/text-encoding.js";

const CHUNK_BYTES = 1 << 18;

/** The file holds nothing to train on; it is left out, unless the user named it. */
export class NoTextError extends UserError {
  override name = "NoTextError";

  /** @param why as in "left out, because no text" */
  constructor(
    reason: string,
    readonly why: string,
    next: string,
  ) {
    super(reason, { next });
  }
}

/**
 * Reads a text file in chunks: UTF-8, or UTF-16 with a byte order mark. The mark is dropped, `\r\n` and `\r` become
 * `\n` (as when Python reads a text), and invalid bytes become U+FFFD, with a notice.
 * @param onRead called with the number of bytes in each chunk
 * @param place what to open, if the path is not UTF-8
 * @throws UserError when the file cannot be read; NoTextError when it contains NUL characters
 */
export async function* readText(
  path: string,
  onNotice: (notice: string) => void = () => {},
  onRead: (bytes: number) => void = () => {},
  place: string | Buffer = path,
): AsyncGenerator<string> {
  const file = await open(place, "r").catch((error) => {
    throw fileError("read", path, error);
  });
  try {
    const buffer = new Uint8Array(CHUNK_BYTES);
    let encoding = UTF_8;
    let decoder: InstanceType<typeof TextDecoder> | undefined;
    let faults = new FaultCounter(encoding.replacement);
    let held = ""; // a \r at the end of a chunk, until the next character is known
    for (let isOver = false; !isOver; ) {
      const chunk = await fill(file, buffer, path);
      isOver = chunk.length < buffer.length;
      onRead(chunk.length);
      if (!decoder) {
        encoding = encodingOf(chunk);
        decoder = new TextDecoder(encoding.label);
        faults = new FaultCounter(encoding.replacement);
      }
      const decoded = decoder.decode(chunk, { stream: !isOver });
      if (decoded.includes("\0")) {
        throw new NoTextError(
          `${path} holds the character NUL, so it is not text`,
          "not text",
          "name a text, .csv, .tsv, .json or .jsonl file in UTF-8",
        );
      }
      faults.add(chunk, decoded);
      const text = held + decoded;
      held = !isOver && text.endsWith("\r") ? "\r" : "";
      yield text.slice(0, text.length - held.length).replace(/\r\n?/g, "\n");
    }
    if (faults.number > 0) {
      onNotice(
        `${path} is not all valid ${encoding.label.toUpperCase()}: ` +
          `${countOf(faults.number, "place")} became U+FFFD; convert it to UTF-8 if it is in another encoding`,
      );
    }
  } finally {
    await file.close();
  }
}

/** The file's next bytes: as many as the buffer holds, fewer at the end. */
async function fill(file: FileHandle, buffer: Uint8Array, path: string): Promise<Uint8Array> {
  let filled = 0;
  try {
    while (filled < buffer.length) {
      const { bytesRead } = await file.read(buffer, filled, buffer.length - filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
  } catch (error) {
    throw fileError("read", path, error);
  }
  return buffer.subarray(0, filled);
}

/** Counts the U+FFFD in a text that its bytes do not contain. */
class FaultCounter {
  number = 0;
  readonly #replacement: Uint8Array;
  /** The end of the previous chunk, where a three-byte U+FFFD may have begun. */
  #tail: Uint8Array = new Uint8Array(0);

  constructor(replacement: Uint8Array) {
    this.#replacement = replacement;
  }

  add(chunk: Uint8Array, decoded: string): void {
    for (let at = decoded.indexOf("\ufffd"); at >= 0; at = decoded.indexOf("\ufffd", at + 1)) this.number++;
    const width = this.#replacement.length;
    const bytes = Buffer.concat([this.#tail, chunk]);
    for (let at = bytes.indexOf(this.#replacement); at >= 0; at = bytes.indexOf(this.#replacement, at + 1)) {
      // UTF-16 units are at even places; chunks have an even length.
      if (width === 3 || at % 2 === 0) this.number--;
    }
    if (width === 3) this.#tail = bytes.subarray(Math.max(0, bytes.length - 2));
  }
}
