import { scanVocabulary } from "../../dist/src/encoder/scan.js";
import { parseVocabulary, type Vocabulary } from "../../dist/src/encoder/vocabulary.js";
import { UserError } from "../../dist/src/system/errors.js";

/** What the two ways make of two files: the reference is parseVocabulary, which says what is wrong. */
export function bothWays(
  json: Buffer,
  bpe: Buffer,
): { scanned?: Vocabulary; parsed?: Vocabulary; wrong?: string } {
  const scanned = scanVocabulary(json, bpe);
  try {
    return { scanned, parsed: parseVocabulary(json.toString(), bpe.toString(), "here") };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { scanned, wrong: error.message };
  }
}

/** The bytes in the type that deepEqual compares by value; a Buffer is none of them. */
export function plain({ merges: { left, right, result }, ...rest }: Vocabulary): unknown {
  return { ...rest, left, right, result };
}

/** The byte characters of the files, written down apart from the code. */
export const BYTES = [...Array(256).keys()].map((byte) => {
  if (byte <= 32) return String.fromCharCode(0x100 + byte);
  if (byte >= 127 && byte <= 160) return String.fromCharCode(0x121 + byte - 127);
  return byte === 173 ? "\u0143" : String.fromCharCode(byte);
});
export const MERGES = [
  "t h",
  "th e",
  "\u0120 the",
  "\u00e3 \u0122",
  '" ,',
  "\\ n",
  "/ /",
  "_ _",
  "__ __",
  "\u0143 \u0143",
];
MERGES.push("a b", "c d", "ab cd", "\u0120 a", "\u0120 \u0120", "\u00ff \u0100", "< <", "# v", ": :", "} ,");
export const TOKENS = [...BYTES, ...MERGES.map((merge) => merge.replace(" ", "")), "<|endoftext|>"];
export const PAIRS: readonly (readonly [string, number])[] = TOKENS.map((token, id) => [token, id]);
export const BPE = ["#version: 0.2", ...MERGES, ""].join("\n");

/** encoder.json in a style of one's own: how a token, what stands between, and in which order. */
export function write(
  token = (text: string): string => JSON.stringify(text),
  colon = ": ",
  comma = ", ",
  pairs = PAIRS,
): string {
  return `{${pairs.map(([text, id]) => token(text) + colon + id).join(comma)}}`;
}
export function escaped(hex: (code: number) => string): (text: string) => string {
  return (text) => `"${[...text].map((c) => `\\u${hex(c.charCodeAt(0)).padStart(4, "0")}`).join("")}"`;
}
export const JSON_TEXT = write();

/** Whole numbers below n, the same in every run. */
export function numbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}
export function shuffled<T>(items: readonly T[]): T[] {
  const below = numbers(7);
  const all = [...items];
  for (let i = all.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}
