// Times the encoder on texts that are easy and hard for it: npm run build && node bench/encoder.mjs
// Prints the best of three runs, each with a new encoder, so that nothing is cached.
import { loadEncoder } from "../dist/src/encoder/encoder.js";

let state = 1;
/** A whole number below n, from a fixed sequence. */
function below(n) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
}
function letters(length, alphabet = "abcdefghijklmnopqrstuvwxyz") {
  return Array.from({ length }, () => alphabet[below(alphabet.length)]).join("");
}
/** Words by Zipf's law, with the lengths, capitals and stops of English. */
function english(length) {
  const words = Array.from({ length: 20000 }, () => letters(1 + below(5) + below(6)));
  let text = "";
  while (text.length < length) {
    const word = words[Math.floor(words.length ** (below(1 << 24) / (1 << 24))) - 1];
    text += below(12) === 0 ? `. ${word[0].toUpperCase()}${word.slice(1)}` : ` ${word}`;
  }
  return text.slice(0, length);
}

const MB = 1_000_000;
const texts = {
  "1 MB of words": english(MB),
  "10 MB of words": english(10 * MB),
  "1 MB of words, none twice": Array.from({ length: MB / 8 }, () => letters(7)).join(" "),
  "100,000 times a": "a".repeat(100_000),
  "1 MB of a": "a".repeat(MB),
  "1 MB of random letters": letters(MB),
  "1 MB of random letters in 64s": Array.from({ length: MB / 64 }, () => letters(63)).join(" "),
  "1 MB of spaces": " ".repeat(MB),
  "1 MB of =": "=".repeat(MB),
  "1 MB of digits": letters(MB, "0123456789"),
  "10 MB of random letters": letters(10 * MB),
  "1,000,000 Chinese characters": Array.from({ length: MB }, () =>
    String.fromCharCode(0x4e00 + below(20000)),
  ).join(""),
  "1,000,000 emoji": Array.from({ length: MB }, () => String.fromCodePoint(0x1f600 + below(80))).join(""),
};

const ms = (time) => `${time.toFixed(0)} ms`.padStart(8);
let start = performance.now();
await loadEncoder(import.meta.dirname ?? ".");
console.log(`${"load the vocabulary".padEnd(32)}${ms(performance.now() - start)}`);
for (const [name, text] of Object.entries(texts)) {
  const best = { encode: Infinity, decode: Infinity, ids: 0 };
  for (let run = 0; run < 3; run++) {
    const encoder = await loadEncoder(import.meta.dirname ?? ".");
    start = performance.now();
    const ids = encoder.encode(text);
    best.encode = Math.min(best.encode, performance.now() - start);
    start = performance.now();
    if (encoder.decode(ids) !== text) throw new Error(`${name}: the text did not come back`);
    best.decode = Math.min(best.decode, performance.now() - start);
    best.ids = ids.length;
  }
  console.log(`${name.padEnd(32)}${ms(best.encode)}, back${ms(best.decode)}, ${best.ids} tokens`);
}
