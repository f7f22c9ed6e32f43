import type { AddedToken, SpecialTokens } from "./special-tokens.js";

/** Whitespace in Rust's regular expressions, with which Hugging Face's tokenizers find added tokens. */
const SPACES_BEFORE = /\p{White_Space}*$/u;
const SPACES_BEHIND = /^\p{White_Space}*/u;
const WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
/** UTF-16 units that one character may take. */
const CHARACTER = 2;

/** A text cut at added tokens: the texts between them, and their ids. */
export type Cut = readonly (string | number)[];

/** Finds one set of added tokens; of several that begin at one place, the longest. */
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

/** Whether a letter, digit or the like directly precedes or follows. */
function isInWord(text: string, start: number, end: number): boolean {
  // Not by a pattern ending in $: in Node 26.10 those miss a character of two code units.
  const before = [...text.slice(Math.max(0, start - CHARACTER), start)].at(-1) ?? "";
  return WORD.test(before) || WORD.test(text.slice(end, end + CHARACTER));
}

/**
 * Finds added tokens in a text as Hugging Face's tokenizers do: first those matched against the text itself, then,
 * between them, those matched against the normalized text.
 * Source: github.com/huggingface/tokenizers, added_vocabulary.rs.
 */
export class AddedTokens {
  readonly #exact: Finder | undefined;
  readonly #normalized: Finder | undefined;
  readonly #normalize: (text: string) => string;

  /** @param normalize the tokenizer's normalizer; byte-level BPE has none */
  constructor(added: SpecialTokens["added"], normalize: (text: string) => string = (text) => text) {
    const finder = (tokens: readonly (readonly [string, AddedToken])[]): Finder | undefined =>
      tokens.length > 0 ? new Finder(new Map(tokens)) : undefined;
    const all = [...added];
    this.#exact = finder(all.filter(([, token]) => !token.normalized));
    this.#normalized = finder(
      all
        .filter(([, token]) => token.normalized)
        .map(([text, token]) => [normalize(text), token] as const)
        .filter(([text]) => text !== ""),
    );
    this.#normalize = normalize;
  }

  /** @returns normalized texts, and ids */
  cut(text: string): Cut {
    return (this.#exact?.cut(text) ?? [text]).flatMap((part) => {
      if (typeof part !== "string") return part;
      const normal = this.#normalize(part);
      return this.#normalized?.cut(normal) ?? [normal];
    });
  }
}
