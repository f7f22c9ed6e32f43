const GAP = "  ";
/** In a narrower terminal than two columns of this width, texts are stacked. */
const NARROWEST = 24;

/** A text's lines, with those longer than a width broken between words. */
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
 * Texts side by side under their numbers, or stacked if the terminal is too narrow.
 * @param width characters in a row
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
