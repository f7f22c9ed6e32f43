import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { Encoder, loadEncoder, openAiVocabulary } from "../../dist/src/encoder/encoder.js";
import { trainVocabulary } from "../../dist/src/encoder/train.js";
import { type Corpus, type DatasetOptions, loadDataset } from "../../dist/src/finetune/dataset/corpus.js";
import { UserError } from "../../dist/src/system/errors.js";

export const END = "<|endoftext|>";
export const START = "<|startoftext|>";
/** How many bytes readText() reads at a time. */
export const CHUNK = 1 << 18;

/** A folder of this test file's own. */
export const folder = mkdtempSync(join(tmpdir(), "gpt2-dataset-"));
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));

export const gpt2 = await loadEncoder(openAiVocabulary());
const { encoderJson, vocabBpe } = await trainVocabulary([], 257);
/** The 256 bytes and the end of text, without a merge. */
export const bytes = Encoder.fromFiles(encoderJson, vocabBpe, "");
/** The 256 bytes. */
export const endless = Encoder.fromFiles(encoderJson.replace(`, "${END}": 256`, ""), vocabBpe, "");

/** Writes a file, its folders too. */
export function write(name: string, data: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, data);
  return path;
}

/** All of a dataset as text again: an end-of-text id becomes `<|endoftext|>`. */
export async function textOf(dataset: string | readonly string[], options?: DatasetOptions): Promise<string> {
  return decodeAll(await loadDataset(dataset, gpt2, options));
}

export function decodeAll({ tokens, validation }: Corpus): string {
  return gpt2.decode([...tokens, ...validation]);
}

/** It fails with one line that a user can act on. */
export async function fails(
  dataset: string | readonly string[],
  pattern: RegExp,
  options: DatasetOptions = {},
): Promise<Error> {
  let failure: Error | undefined;
  await assert.rejects(loadDataset(dataset, gpt2, options), (error: Error) => {
    failure = error;
    assert.ok(error instanceof UserError, String(error.stack));
    assert.match(error.message, pattern);
    assert.doesNotMatch(error.message, /\n|undefined|\[object/);
    return true;
  });
  return failure!;
}
