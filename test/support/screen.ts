/**
 * What a terminal of some width shows: letters, line ends and the cursor movements that readline sends (ECMA-48:
 * CHA, CUU, CUD, CUF, CUB, ED, EL). Text that does not fit goes on in the next row, once there is more of it.
 */
export function screenRows(sent: string, columns: number): string[] {
  const rows: string[][] = [[]];
  let [row, column] = [0, 0];
  const clearLine = (): void => {
    rows[row].length = Math.min(rows[row].length, column);
  };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what terminals are sent
  for (const [text, , digits, letter] of sent.matchAll(/(\x1b\[\??(\d*)([A-Za-z]))|[\s\S]/gu)) {
    const n = Number(digits || 1);
    if (letter === "G") column = n - 1;
    else if (letter === "A") row = Math.max(0, row - n);
    else if (letter === "B") row += n;
    else if (letter === "C") column = Math.min(columns - 1, column + n);
    else if (letter === "D") column = Math.max(0, Math.min(columns - 1, column) - n);
    else if (letter === "J" || letter === "K") {
      clearLine();
      if (letter === "J") rows.length = row + 1;
    } else if (text === "\r") column = 0;
    else if (text === "\n") row++;
    else if (letter === undefined) {
      if (column >= columns) [row, column] = [row + 1, 0];
      rows[row] ??= [];
      while (rows[row].length < column) rows[row].push(" ");
      rows[row][column++] = text;
    }
    rows[row] ??= [];
  }
  return Array.from(rows, (each) => (each ?? []).join("").trimEnd());
}
