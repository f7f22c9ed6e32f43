import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Merger } from "../../dist/src/encoder/merge.js";
import { bakedVocabulary, openAiVocabulary } from "../../dist/src/encoder/openai.js";
import { parseVocabulary } from "../../dist/src/encoder/vocabulary.js";

const folder = openAiVocabulary();
const read = (name: string): Buffer => readFileSync(join(folder, name));

test("OpenAI's vocabulary, written by the build, is what the reader makes of the two files", () => {
  const [json, bpe] = [read("encoder.json"), read("vocab.bpe")];
  const baked = bakedVocabulary(json, bpe);
  assert.ok(baked, "dist/src/encoder/openai.bin is missing or of other files: npm run build");
  const parsed = parseVocabulary(json.toString("utf8"), bpe.toString("utf8"), folder);
  const { table, ...merges } = baked.merges;
  assert.deepEqual({ ...baked, merges }, parsed);
  assert.equal(baked.endOfText, 50256);
  // The table that came with it finds what the Merger's own does: bytes of every kind, merged by both.
  const [ours, theirs] = [new Merger(baked.merges), new Merger(parsed.merges)];
  for (let start = 0; start < json.length; start += 5000) {
    const ids: Int32Array = Int32Array.from(json.subarray(start, start + 60), (byte) => baked.byteIds[byte]);
    const same: Int32Array = ids.slice();
    assert.deepEqual([ours.merge(ids, ids.length), ids], [theirs.merge(same, same.length), same]);
  }
});

test("any other files are read: one byte changed, or longer, or swapped", () => {
  const [json, bpe] = [read("encoder.json"), read("vocab.bpe")];
  for (const at of [0, json.length >> 1, json.length - 1]) {
    const other = Buffer.from(json);
    other[at] ^= 1;
    assert.equal(bakedVocabulary(other, bpe), undefined);
  }
  const other = Buffer.from(bpe);
  other[bpe.length - 2] ^= 1;
  assert.equal(bakedVocabulary(json, other), undefined);
  assert.equal(bakedVocabulary(Buffer.concat([json, Buffer.from("\n")]), bpe), undefined);
  assert.equal(bakedVocabulary(bpe, json), undefined);
});
