/** A text encoding. */
export interface Encoding {
  /** TextDecoder's name for it. */
  readonly label: "utf-8" | "utf-16le" | "utf-16be";
  /** U+FFFD, which replaces invalid bytes. */
  readonly replacement: Uint8Array;
}

export const UTF_8: Encoding = { label: "utf-8", replacement: Uint8Array.of(0xef, 0xbf, 0xbd) };
const UTF_16LE: Encoding = { label: "utf-16le", replacement: Uint8Array.of(0xfd, 0xff) };
const UTF_16BE: Encoding = { label: "utf-16be", replacement: Uint8Array.of(0xff, 0xfd) };

/**
 * How a text is encoded: UTF-16 if a byte order mark says so (PowerShell's `>` writes one), else UTF-8.
 * @param head its first two bytes or more
 */
export function encodingOf(head: Uint8Array): Encoding {
  if (head[0] === 0xff && head[1] === 0xfe) return UTF_16LE;
  if (head[0] === 0xfe && head[1] === 0xff) return UTF_16BE;
  return UTF_8;
}

/** A small file's text, without a byte order mark: UTF-16 if one says so, else UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder(encodingOf(bytes).label).decode(bytes);
}
