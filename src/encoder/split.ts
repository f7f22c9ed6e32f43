/** The kinds of characters that splitting tells apart: Python's \p{L}, \p{N}, \s, or none of them. */
const LETTER = 1;
const NUMBER = 2;
const SPACE = 3;
const OTHER = 4;

/**
 * The whitespace of Python's `regex` module, spelled out because JavaScript's \s differs: it has U+FEFF and
 * lacks U+0085. (The \s of Python's own `re` also has U+001C to U+001F; OpenAI's encoder does not use it.)
 */
const PYTHON_SPACE = /[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** The kind of every code point; 0 until it is looked up. */
const kinds = new Uint8Array(0x110000);

function lookUp(codePoint: number): number {
  const character = String.fromCodePoint(codePoint);
  if (/\p{L}/u.test(character)) return LETTER;
  if (/\p{N}/u.test(character)) return NUMBER;
  return PYTHON_SPACE.test(character) ? SPACE : OTHER;
}

function kindOf(codePoint: number): number {
  if (kinds[codePoint] === 0) kinds[codePoint] = lookUp(codePoint);
  return kinds[codePoint]!;
}

/** The end of the run of characters of one kind that begins at start. */
function runEnd(text: string, start: number, kind: number): number {
  let end = start;
  while (end < text.length) {
    const codePoint = text.codePointAt(end)!;
    if (kindOf(codePoint) !== kind) break;
    end += codePoint > 0xffff ? 2 : 1;
  }
  return end;
}

/** The length of the English contraction at start, apostrophe included; 0 if there is none. */
function contraction(text: string, start: number): number {
  switch (text[start + 1]) {
    case "s":
    case "t":
    case "m":
    case "d":
      return 2;
    case "r":
    case "v":
      return text[start + 2] === "e" ? 3 : 0;
    case "l":
      return text[start + 2] === "l" ? 3 : 0;
    default:
      return 0;
  }
}

/**
 * The end of the piece that begins at start. Merges never cross pieces. The pieces are those of GPT-2's pattern
 * `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
 * (openai/gpt-2 src/encoder.py), found by hand: a regular expression keeps a backtracking point for every character of
 * a run, and fails on a run of some megabytes.
 * @param start below text.length, not between the halves of a surrogate pair
 */
export function pieceEnd(text: string, start: number): number {
  const first = text.codePointAt(start)!;
  if (first === 0x27) {
    const length = contraction(text, start);
    if (length > 0) return start + length;
  }
  // One space, U+0020 only, belongs to the word after it.
  const next = first === 0x20 ? text.codePointAt(start + 1) : first;
  const kind = next === undefined ? SPACE : kindOf(next);
  if (kind !== SPACE) return runEnd(text, first === 0x20 ? start + 1 : start, kind);
  const end = runEnd(text, start, SPACE);
  // The last whitespace before a word belongs to the word, or is a piece of its own.
  return end === text.length || end === start + 1 ? end : end - 1;
}

/**
 * The last place where a text can be cut without changing its pieces, whatever surrounds it: after a letter, number or
 * mark followed by a character of another kind. (Not after whitespace, whose split depends on what follows, nor after
 * an apostrophe, which may begin a contraction.)
 * @param from the first place to consider
 * @param to the last one
 * @returns 0 if there is none
 */
export function lastBorder(text: string, from: number, to: number): number {
  for (let at = Math.min(to, text.length - 1); at >= Math.max(from, 1); at--) {
    const previous = text.charCodeAt(at - 1);
    // Both halves of a surrogate pair have one kind, so no pair is cut.
    const isPair = (previous & 0xfc00) === 0xdc00 && at > 1 && text.codePointAt(at - 2)! > 0xffff;
    const before = kindOf(isPair ? text.codePointAt(at - 2)! : previous);
    if (before === SPACE || previous === 0x27) continue;
    if (before !== kindOf(text.codePointAt(at)!)) return at;
  }
  return 0;
}
