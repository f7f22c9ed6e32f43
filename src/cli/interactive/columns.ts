const GAP = "  ";
/** Narrower columns cannot be read: then one stands below the other. */
const NARROWEST = 24;

/** A text's lines, broken between words where they are longer than a width. */
function wrap(text: string, width: number): string[] {
  return text.split("\n").flatMap((line) => {
    const lines: string[] = [];
    let rest = [...line];
    while (rest.length > width) {
      const space = rest.lastIndexOf(" ", width);
      const end = space > 0 ? space : width;
      lines.push(rest.slice(0, end).join(""));
      rest = rest.slice(space > 0 ? end + 1 : end);
    }
    return [...lines, rest.join("")];
  });
}

/**
 * Texts side by side under their numbers, or one below the other where the terminal is too narrow.
 * @param width characters of a row
 */
export function sideBySide(texts: readonly string[], width: number): string[] {
  const column = Math.floor((width - GAP.length * (texts.length - 1)) / texts.length);
  if (column < NARROWEST) return texts.flatMap((text, i) => [`[${i + 1}]`, ...wrap(text.trim(), width)]);
  const columns = texts.map((text, i) => [`[${i + 1}]`, ...wrap(text.trim(), column)]);
  const rows = Math.max(...columns.map((lines) => lines.length));
  return Array.from({ length: rows }, (_, row) =>
    columns
      .map((lines) => {
        const line = lines[row] ?? "";
        return line + " ".repeat(column - [...line].length);
      })
      .join(GAP)
      .trimEnd(),
  );
}
