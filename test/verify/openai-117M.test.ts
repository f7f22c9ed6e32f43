import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { openAiVocabulary } from "../../dist/src/encoder/encoder.js";
import { convert } from "../../dist/src/models/convert.js";
import { ROOT } from "../support/spawn.js";
import { copyMicro, DATA, flip, fresh, verified } from "../support/verifying.js";

const OPENAI = join(ROOT, "test/fixtures/openai-124M");

describe("a folder with the name of one of OpenAI's models", () => {
  const theirs = (name: string): string => join(openAiVocabulary(), name);

  test("124M: every published size and sha256", async () => {
    const folder = copyMicro("124M");
    for (const name of ["hparams.json", "model.ckpt.index"]) cpSync(join(OPENAI, name), join(folder, name));
    cpSync(theirs("encoder.json"), join(folder, "encoder.json"));
    cpSync(theirs("vocab.bpe"), join(folder, "vocab.bpe"));
    flip(join(folder, "vocab.bpe"), 3000);
    const checks = await verified(folder);
    for (const name of ["checkpoint", "encoder.json", "hparams.json", "model.ckpt.index"]) {
      assert.match(checks.get(name)!.detail, /^[\d,]+ bytes, sha256 as published$/, name);
    }
    assert.match(
      checks.get("vocab.bpe")!.detail,
      /^its sha256 is [0-9a-f]{64}, and that of OpenAI's 117M 1ce1664/,
    );
    assert.equal(checks.get(DATA)?.detail, "it has 212,096 bytes, and OpenAI's 117M has 497,759,232");
    assert.equal(checks.get("model.ckpt.meta")?.result, "failed");
    rmSync(join(folder, "model.ckpt.meta"));
    rmSync(join(folder, "model.ckpt.index"));
    const fewer = await verified(folder);
    assert.equal(fewer.get("model.ckpt.meta")?.result, "left out", "nothing needs it");
    assert.equal(fewer.get("model.ckpt.index")?.detail, "it is missing");
  });

  test("files that say the same in another way are right; other words are not", async () => {
    const folder = fresh("117M");
    mkdirSync(folder, { recursive: true });
    const table = JSON.parse(readFileSync(theirs("encoder.json"), "utf8")) as Record<string, number>;
    writeFileSync(join(folder, "encoder.json"), JSON.stringify(table, undefined, 1));
    writeFileSync(join(folder, "vocab.bpe"), readFileSync(theirs("vocab.bpe"), "utf8").trimEnd());
    const hparams = JSON.parse(readFileSync(join(OPENAI, "hparams.json"), "utf8")) as Record<string, number>;
    writeFileSync(join(folder, "hparams.json"), JSON.stringify(hparams));
    const checks = await verified(folder);
    for (const name of ["encoder.json", "vocab.bpe", "hparams.json"]) {
      assert.match(checks.get(name)!.detail, /bytes, OpenAI's 117M written another way$/, name);
    }
    assert.match(checks.get("vocabulary")!.detail, /^50,257 tokens, as hparams\.json says, OpenAI's; a text/);
    // Two tokens that change places: it loads, and every text comes back as it was.
    [table["he"], table["ing"]] = [table["ing"]!, table["he"]!];
    writeFileSync(join(folder, "encoder.json"), JSON.stringify(table));
    writeFileSync(join(folder, "hparams.json"), JSON.stringify({ ...hparams, n_head: 8 }));
    const others = await verified(folder);
    assert.match(
      others.get("encoder.json")!.detail,
      /^it has [\d,]+ bytes, and OpenAI's 117M has 1,042,301$/,
    );
    assert.equal(others.get("hparams.json")?.detail, "n_head is 8, and OpenAI's 117M has 12");
    assert.match(others.get("vocabulary")!.detail, /as hparams\.json says; a text with all bytes/);
  });

  test("345M: sizes; of what is not known that is said", async () => {
    const folder = copyMicro("345M");
    const checks = await verified(folder);
    assert.equal(checks.get(DATA)?.detail, "it has 212,096 bytes, and OpenAI's 345M has 1,419,292,672");
    assert.equal(checks.get("hparams.json")?.detail, "n_vocab is 400, and OpenAI's 345M has 50257");
    assert.equal(checks.get("recognition")?.detail, "the checksums of OpenAI's 345M are not known");
  });

  test("117M with other numbers fails, where float16 hides them it is left out", async () => {
    const float32 = await verified(copyMicro("117M"));
    assert.equal(
      float32.get("recognition")?.detail,
      "the folder is named after OpenAI's 117M, and holds other weights",
    );
    assert.equal(float32.get("recognition")?.result, "failed");
    const folder = copyMicro("117M");
    await convert(folder, { dtype: "float16" });
    assert.equal((await verified(folder)).get("recognition")?.result, "left out");
  });
});
