/** Control characters but newline and tab: they move a terminal's cursor, colour it, or make it do worse. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it replaces
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** The picture of a control character: U+2400 and following for those of ASCII, `\x9b` for the others. */
function picture(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : `\\x${code.toString(16)}`;
}

/** A text as a terminal may show it: each control character but newline and tab as a sign that does nothing. */
export function printable(text: string): string {
  return text.replace(CONTROLS, picture);
}
