/**
 * WikiText's texts (Merity et al. 2016, arXiv 1609.07843) are cut into words, with spaces around punctuation and
 * `@-@` for a hyphen inside a word. GPT-2 has never seen such text: its paper restores it first, but counts
 * the words as cut (section 3.1: "invertible de-tokenizers").
 */

/** Marks that stand inside a word or number. */
const INNER = / @([-,.])@ /g;
/** What no space precedes. */
const CLOSING = / (?=[.,;:!?)\]}%]|'(?:s|m|d|re|ve|ll)\b|n't\b)/g;
/** What no space follows. */
const OPENING = /(?<=(?:^|[\s"'([{])[([{$£€#]) /g;
/** The apostrophe of a plural: `the Romans ' road`. */
const PLURAL = /(?<=s) '(?= )/g;

/** Removes the spaces just inside a pair of quotation marks. */
function withQuotes(line: string): string {
  let isOpen = false;
  return line.replace(/ ?" ?/g, (found) => {
    isOpen = !isOpen;
    if (isOpen) return found.startsWith(" ") ? ' "' : '"';
    return found.endsWith(" ") ? '" ' : '"';
  });
}

function plainLine(line: string): string {
  const words = line.trim().replace(INNER, "$1");
  const heading = /^((?:= )+)(.*?)((?: =)+)$/.exec(words);
  if (heading) {
    const marks = "=".repeat(heading[1].length / 2);
    return `${marks} ${plainLine(heading[2])} ${marks}`;
  }
  return withQuotes(words).replace(CLOSING, "").replace(OPENING, "").replace(PLURAL, "'");
}

/** WikiText as it was before it was cut into words, line by line. */
export function detokenizeWikitext(text: string): string {
  return text.split("\n").map(plainLine).join("\n");
}

/** How many words WikiText counts: those between spaces, and an end (`<eos>`) for each line. */
export function countWikitextWords(text: string): number {
  const lines = text.split("\n").length - 1;
  return countWords(text) + lines;
}

/** Words between spaces and ends of lines. */
export function countWords(text: string): number {
  return text.match(/\S+/g)?.length ?? 0;
}
