/** Control characters except newline and tab: they move a terminal's cursor, colour its text, or worse. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it replaces
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** A visible sign for a control character: U+2400 and up for those of ASCII, `\x9b` for the others. */
function picture(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : `\\x${code.toString(16)}`;
}

/** A text that a terminal may show: each control character except newline and tab becomes a harmless sign. */
export function printable(text: string): string {
  return text.replace(CONTROLS, picture);
}
