import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Encoder, openAiVocabulary } from "../encoder/encoder.js";
import { TOKENIZER_FILE } from "../encoder/special-tokens.js";
import type { Hparams } from "../model/hparams.js";
import { loadVocabulary } from "../models/folder.js";
import { messageOf, UserError } from "../system/errors.js";
import { decodeText } from "../system/text-encoding.js";
import { type Check, checksOf, showCount } from "./check.js";

const { ok, failed, leftOut } = checksOf("vocabulary");

/** The result for a vocabulary. */
export interface CheckedVocabulary {
  readonly check: Check;
  /** Whether it is OpenAI's, perhaps written differently. */
  readonly isOpenAi: boolean;
}

/** Checks that the vocabulary's two files load, fit hparams.json, and give a text back unchanged. */
export async function checkVocabulary(
  folder: string,
  hparams: Hparams | undefined,
): Promise<CheckedVocabulary> {
  const check = "vocabulary";
  if (!hparams) {
    return { check: leftOut(check, "hparams.json does not say how many tokens it has"), isOpenAi: false };
  }
  try {
    const { encoder, vocabulary } = await loadVocabulary(folder, hparams);
    const beyond = hparams.n_vocab - encoder.n_vocab;
    const rows =
      beyond > 0
        ? `; ${showCount(beyond)} more rows in hparams.json belong to no token`
        : ", as hparams.json says";
    const size = `${showCount(encoder.n_vocab)} tokens${rows}`;
    if (vocabulary.has(TOKENIZER_FILE)) {
      return { check: ok(check, `${size}; a tokenizer that may change a text`), isOpenAi: false };
    }
    const says = async (name: "encoder.json" | "vocab.bpe"): Promise<boolean> =>
      saysTheSame(name, vocabulary.get(name) as Buffer);
    const isOpenAi = (await says("encoder.json")) && (await says("vocab.bpe"));
    const fault = faultOf(encoder);
    if (fault) return { check: failed(check, fault), isOpenAi };
    const whose = isOpenAi ? ", OpenAI's" : "";
    return { check: ok(check, `${size}${whose}; a text with all bytes comes back as it was`), isOpenAi };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { check: failed(check, messageOf(error)), isOpenAi: false };
  }
}

/**
 * Whether a vocabulary file says the same as OpenAI's; other programs write the same table differently.
 * @throws SyntaxError when an encoder.json is not JSON
 */
export async function saysTheSame(name: "encoder.json" | "vocab.bpe", content: Buffer): Promise<boolean> {
  const theirs = await readFile(join(openAiVocabulary(), name));
  if (content.equals(theirs)) return true;
  const meaning = (bytes: Buffer): unknown => {
    const text = decodeText(bytes);
    return name === "encoder.json" ? JSON.parse(text) : text.trimEnd().split(/\r?\n/).slice(1);
  };
  return isDeepStrictEqual(meaning(content), meaning(theirs));
}

/**
 * Every character of one and two bytes and, of those of three and four, each first byte with each last one: all the
 * bytes that UTF-8 uses. (C0, C1 and F5 to FF occur in no text; loading checks that each has a token.)
 */
function allBytes(): string {
  const points = Array.from({ length: 0x800 }, (_, point) => point);
  for (let point = 0x800; point < 0x110000; point += point < 0x10000 ? 0x3f : 0xfff) {
    if (point < 0xd800 || point > 0xdfff) points.push(point);
  }
  return points.map((point) => String.fromCodePoint(point)).join("");
}

/** What goes wrong when texts go to ids and back, or undefined. */
export function faultOf(encoder: Pick<Encoder, "encode" | "decode">): string | undefined {
  for (const text of [
    allBytes(),
    " The weather's fine, isn't it?\n\n\tYes,  it   is 100 %: it's 21\u00b0C.\r\n",
  ]) {
    const back = encoder.decode(encoder.encode(text));
    if (back === text) continue;
    const [wanted, found] = [[...text], [...back]];
    const at = wanted.findIndex((character, i) => found[i] !== character);
    const code = wanted[at]?.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0");
    return `a text does not come back as it was: character ${at + 1}, U+${code}, is the first that differs`;
  }
  return undefined;
}
