/**
 * Quotes a word for a suggested command line, so that a shell takes it as one word and runs nothing in it.
 * On Windows: double quotes, which cmd and PowerShell both know or, if one of the two would expand something between
 * them, PowerShell's single quotes.
 */
export function shellQuote(word: string, platform: NodeJS.Platform = process.platform): string {
  if (platform === "win32") {
    if (/^[\w./\\:+-]+$/.test(word)) return word;
    // A backslash before the closing quote would escape it.
    return /[$`"%!]/.test(word) ? `'${word.replaceAll("'", "''")}'` : `"${word.replace(/\\+$/, "$&$&")}"`;
  }
  return /^[\w./:+-][\w./,:=@%+-]*$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
