/** What a character is to the split: Python's \p{L}, \p{N}, \s, or none of them. */
const LETTER = 1;
const NUMBER = 2;
const SPACE = 3;
const OTHER = 4;

/**
 * The whitespace of Python's `regex` module, spelled out because JavaScript's \s differs: it has U+FEFF and
 * lacks U+0085. (The \s of Python's own `re` also has U+001C to U+001F; OpenAI's encoder does not use it.)
 */
const PYTHON_SPACE = /[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** The kind of every code point, looked up once each; 0 stands for not looked up yet. */
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

/** End of the run of characters of one kind that begins at start. */
function runEnd(text: string, start: number, kind: number): number {
  let end = start;
  while (end < text.length) {
    const codePoint = text.codePointAt(end)!;
    if (kindOf(codePoint) !== kind) break;
    end += codePoint > 0xffff ? 2 : 1;
  }
  return end;
}

/** Length of the English contraction at start, its apostrophe included; 0 where there is none. */
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
 * Where the piece that begins at start ends. Merges never cross the border of a piece. The pieces are those of
 * GPT-2's pattern `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
 * (openai/gpt-2 src/encoder.py), found by hand: a regular expression keeps a place to go back to for every
 * character of a run, and gives up on a run of some megabytes.
 * @param start below text.length, not between the halves of a surrogate pair
 */
export function pieceEnd(text: string, start: number): number {
  const first = text.codePointAt(start)!;
  if (first === 0x27) {
    const length = contraction(text, start);
    if (length > 0) return start + length;
  }
  // One space, and only U+0020, goes with the word behind it.
  const next = first === 0x20 ? text.codePointAt(start + 1) : first;
  const kind = next === undefined ? SPACE : kindOf(next);
  if (kind !== SPACE) return runEnd(text, first === 0x20 ? start + 1 : start, kind);
  const end = runEnd(text, start, SPACE);
  // The last whitespace before a word is left to that word, or stands alone.
  return end === text.length || end === start + 1 ? end : end - 1;
}

/**
 * The last place where a text can be cut without changing its pieces, whatever stands around it: behind a
 * letter, number or mark that another kind of character follows. (No whitespace before the cut, since how
 * whitespace is split depends on what follows; no apostrophe, since a contraction may begin with it.)
 * @param from the first place that is looked at
 * @param to the last one
 * @returns 0 where there is none
 */
export function lastBorder(text: string, from: number, to: number): number {
  for (let at = Math.min(to, text.length - 1); at >= Math.max(from, 1); at--) {
    const previous = text.charCodeAt(at - 1);
    // The halves of a surrogate pair are of one kind, so none is cut in two.
    const isPair = (previous & 0xfc00) === 0xdc00 && at > 1 && text.codePointAt(at - 2)! > 0xffff;
    const before = kindOf(isPair ? text.codePointAt(at - 2)! : previous);
    if (before === SPACE || previous === 0x27) continue;
    if (before !== kindOf(text.codePointAt(at)!)) return at;
  }
  return 0;
}
