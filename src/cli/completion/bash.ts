import type { Completion } from "./complete.js";

/** A line as bash's completion sees it. */
export interface SplitLine {
  /** Without quotes; nothing is expanded. The last one, which may be empty, is to be completed. */
  readonly words: readonly string[];
  /** The quote that is open in the last word. */
  readonly quote: "" | "'" | '"';
  /** How much of the last word comes before the part that readline replaces. */
  readonly kept: number;
}

/** What a backslash escapes inside double quotes. */
const ESCAPABLE = /[\\"$`]/;

/**
 * Splits a line as the shell would.
 * @param breaks readline replaces what follows the last of these characters: $COMP_WORDBREAKS
 */
export function splitLine(line: string, breaks = ""): SplitLine {
  const words: string[] = [];
  let [word, isWord, kept] = ["", false, 0];
  let quote: SplitLine["quote"] = "";
  for (let i = 0; i < line.length; i++) {
    const c = line[i];
    if (c === quote) quote = "";
    else if (quote === "'") word += c;
    else if (c === "\\") {
      const next = line[++i] ?? "";
      word += quote === '"' && !ESCAPABLE.test(next) ? `\\${next}` : next;
      isWord = true;
    } else if (quote === '"') word += c;
    else if (c === "'" || c === '"') {
      [quote, isWord, kept] = [c, true, word.length];
    } else if (/\s/.test(c)) {
      if (isWord) words.push(word);
      [word, isWord, kept] = ["", false, 0];
    } else {
      [word, isWord] = [word + c, true];
      if (breaks.includes(c)) kept = word.length;
    }
  }
  return { words: [...words, word], quote, kept };
}

/** A text as typed inside an open quote, or without one. */
function quoted(text: string, quote: SplitLine["quote"]): string {
  if (quote === "'") return text.replaceAll("'", "'\\''");
  if (quote === '"') return text.replace(/[\\"$`]/g, "\\$&").replaceAll("!", "\"'!'\"");
  return text.replace(/[^\w./:=@%+,\-\u0080-\u{10ffff}]/gu, "\\$&");
}

/** The words after `gpt2` on a line; assignments may come before it. */
export function gpt2Words({ words }: SplitLine): readonly string[] {
  const first = words.findIndex((word, i) => i + 2 >= words.length || !word.includes("="));
  return words.slice(first + 1);
}

/** The offers as readline inserts them for the part of the word that it replaces. */
export function bashOffers({ offers, prefix }: Completion, { quote, kept }: SplitLine): string[] {
  return offers.map(({ text }) =>
    kept < prefix.length ? prefix + quoted(text, quote) : quoted(text.slice(kept - prefix.length), quote),
  );
}
