import type { Adjust } from "./penalties.js";
import { byteText } from "./token-texts.js";

/** The ban on texts. */
export interface BadWordsOptions {
  /** Texts that are never written. */
  readonly bad_words?: readonly string[];
}

/** The tokens that would complete one of these texts. */
interface BadWord {
  readonly text: string;
  /** Tokens that hold all of it. */
  readonly whole: readonly number[];
  /** rest[n]: tokens that begin with all but its first n bytes, for a context that ends with these. */
  readonly rest: readonly (readonly number[])[];
}

/**
 * Makes the function that bans every token that would complete one of the words, however the word is cut into tokens,
 * and even if it began in the prompt. Case and spaces matter. Hugging Face's bad_words_ids and the like ban one
 * sequence of tokens each; the same word in other tokens gets past them.
 * @param texts of every token; see tokenTexts(). Called only if there are words
 */
export function makeBadWords(words: readonly string[], texts: () => readonly string[]): Adjust | undefined {
  if (words.length === 0) return undefined;
  const tokens = texts();
  const byFirst = new Map<string, number[]>(); // ids by their first byte
  for (const [id, text] of tokens.entries()) {
    if (text === "") continue;
    const ids = byFirst.get(text[0]);
    if (ids) ids.push(id);
    else byFirst.set(text[0], [id]);
  }
  const bad = words.map((word): BadWord => {
    const text = byteText(word);
    const whole = [...tokens.keys()].filter((id) => tokens[id].includes(text));
    const rest = Array.from({ length: text.length }, (_, known) =>
      (byFirst.get(text[known]) ?? []).filter((id) => known > 0 && tokens[id].startsWith(text.slice(known))),
    );
    return { text, whole, rest };
  });
  const longest = Math.max(...bad.map(({ text }) => text.length));
  return (logits, { context }) => {
    let before = "";
    for (let i = context.length - 1; i >= 0 && before.length < longest; i--) {
      const text = tokens[context[i]];
      if (text === "") break; // a mark: no word extends across it
      before = text + before;
    }
    const ban = (ids: readonly number[]): void => {
      for (const id of ids) logits[id] = Number.NEGATIVE_INFINITY;
    };
    for (const { text, whole, rest } of bad) {
      ban(whole);
      for (let known = 1; known < text.length; known++) {
        if (before.endsWith(text.slice(0, known))) ban(rest[known]);
      }
    }
  };
}
