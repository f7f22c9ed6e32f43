import type { AddedToken, SpecialTokens } from "./special-tokens.js";

/** Whitespace as Rust's regular expressions have it, in which Hugging Face's tokenizers find added tokens. */
const SPACES_BEFORE = /\p{White_Space}*$/u;
const SPACES_BEHIND = /^\p{White_Space}*/u;
const WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
/** So far a text is looked at for a word: as far as one character reaches. */
const CHARACTER = 2;

/** A text cut at added tokens: what stands between them, and their ids. */
export type Cut = readonly (string | number)[];

/** What finds one set of added tokens: where several begin at one place, the longest. */
class Finder {
  readonly #pattern: RegExp;

  constructor(readonly tokens: ReadonlyMap<string, AddedToken>) {
    const texts = [...tokens.keys()].sort((a, b) => b.length - a.length);
    this.#pattern = new RegExp(
      texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|"),
      "gu",
    );
  }

  cut(text: string): Cut {
    const parts: (string | number)[] = [];
    let from = 0;
    for (const { 0: found, index } of text.matchAll(this.#pattern)) {
      const token = this.tokens.get(found) as AddedToken;
      let [start, end] = [index, index + found.length];
      if (start < from || (token.single_word && isInWord(text, start, end))) continue;
      if (token.lstrip) start = from + (text.slice(from, start).search(SPACES_BEFORE) as number);
      if (token.rstrip) end += (SPACES_BEHIND.exec(text.slice(end)) as RegExpExecArray)[0].length;
      if (start > from) parts.push(text.slice(from, start));
      parts.push(token.id);
      from = end;
    }
    if (from < text.length) parts.push(text.slice(from));
    return parts;
  }
}

/** Whether a letter, digit or the like stands right before or behind. */
function isInWord(text: string, start: number, end: number): boolean {
  // Not by a pattern that ends in $: in Node 26.10 none of these finds a character of two code units there.
  const before = [...text.slice(Math.max(0, start - CHARACTER), start)].at(-1) ?? "";
  return WORD.test(before) || WORD.test(text.slice(end, end + CHARACTER));
}

/**
 * Finds added tokens in a text as Hugging Face's tokenizers do: first those that are looked for in the text as it is,
 * then, between them, those that are looked for in the normalised text (which byte-level BPE does not change).
 * Source: github.com/huggingface/tokenizers, added_vocabulary.rs.
 */
export class AddedTokens {
  readonly #finders: readonly Finder[];

  constructor(added: SpecialTokens["added"]) {
    const all = [...added];
    this.#finders = [false, true]
      .map((normalized) => new Map(all.filter(([, token]) => token.normalized === normalized)))
      .filter((tokens) => tokens.size > 0)
      .map((tokens) => new Finder(tokens));
  }

  cut(text: string): Cut {
    let parts: Cut = [text];
    for (const finder of this.#finders) {
      parts = parts.flatMap((part) => (typeof part === "string" ? finder.cut(part) : part));
    }
    return parts;
  }
}
