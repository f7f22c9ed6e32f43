import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { assertDone, assertFails, gpt2, MICRO, ROOT, TEMPORARY } from "../support/spawn.js";

const FIXTURES = join(ROOT, "test/fixtures/gguf");
const SAMPLE = ["--length", "16", "--seed", "1", "--top_k", "40"];

let count = 0;
function fresh(): string {
  const folder = join(TEMPORARY, `gguf ${count++}`);
  mkdirSync(folder);
  return folder;
}

describe("gpt2 export --format gguf, gpt2 import", { concurrency: 2 }, () => {
  for (const dtype of ["float32", "float16"]) {
    test(`${dtype}: out, in, out: the same file, and the same model`, async () => {
      const cwd = fresh();
      const out = await gpt2(["export", MICRO, "--format", "gguf", "--dtype", dtype], { cwd });
      assertDone(out);
      assert.equal(out.stdout, "");
      assert.match(
        out.stderr,
        new RegExp(`^export/micro\\.gguf: 40 tensors, 53024 parameters, .* in ${dtype}\n$`),
      );
      assert.deepEqual(readdirSync(join(cwd, "export")), ["micro.gguf"]);
      const into = ["--models_dir", "models", "--dtype", dtype];
      const done = await gpt2(["import", "export/micro.gguf", ...into], { cwd });
      assertDone(done);
      assert.match(done.stderr, /\nuse it with --model_name micro --models_dir models\n$/);
      const again = ["export", "models/micro", "--format", "gguf", "--dtype", dtype, "--out", "micro.gguf"];
      assertDone(await gpt2(again, { cwd }));
      assertDone(await gpt2(["import", "micro.gguf", "--name", "twice", ...into], { cwd }));
      const folders = ["micro", "twice"].map((name) => join(cwd, "models", name));
      for (const name of readdirSync(folders[0] as string)) {
        const [a, b] = folders.map((folder) => readFileSync(join(folder, name)));
        assert.ok(a?.equals(b as Buffer), name);
      }
      const third = ["export", "models/twice", ...again.slice(2, -1), "twice/micro.gguf"];
      assertDone(await gpt2(third, { cwd }));
      const places = ["export", ".", "twice"];
      const files = places.map((place) => readFileSync(join(cwd, place, "micro.gguf")));
      assert.ok(files[1]?.equals(files[2] as Buffer));
      // A float16 model rounds what the file keeps in float32: the vectors.
      assert.equal(files[0]?.equals(files[1] as Buffer), dtype === "float32");
      if (dtype === "float16") return;
      const [ours, original] = await Promise.all(
        ["models/micro", MICRO].map((model) =>
          gpt2(["generate", "of", "--model_name", model, ...SAMPLE], { cwd }),
        ),
      );
      assertDone(ours as NonNullable<typeof ours>);
      assert.equal(ours?.stdout, original?.stdout);
    });
  }

  test("a file without a name that tells, a folder with one model, a shard: each is found and named", async () => {
    const cwd = fresh();
    cpSync(join(FIXTURES, "f16.gguf"), join(cwd, "sha256-0f"));
    mkdirSync(join(cwd, "repository"));
    for (const name of ["old-00001-of-00002.gguf", "old-00002-of-00002.gguf"])
      cpSync(join(FIXTURES, name), join(cwd, "repository", name));
    writeFileSync(join(cwd, "repository/config.json"), "{}");
    for (const [path, name] of [
      ["sha256-0f", "sha256-0f"],
      ["repository", "repository"],
      ["repository/old-00002-of-00002.gguf", "old"],
    ] as const) {
      assertDone(await gpt2(["import", path, "--models_dir", "m"], { cwd }));
      assert.ok(readdirSync(join(cwd, "m", name)).includes("model.json"));
    }
    const model = JSON.parse(readFileSync(join(cwd, "m/old/model.json"), "utf8")) as { generatedBy: string };
    assert.equal(model.generatedBy, "GGUF");
    cpSync(join(FIXTURES, "f16.gguf"), join(cwd, "repository/another.gguf"));
    const two = await gpt2(["import", "repository", "--models_dir", "m", "--overwrite"], { cwd });
    assertFails(
      two,
      1,
      /repository holds 2 models in GGUF: name the file of one of them, such as .*another\.gguf/,
    );
  });

  test("what stands there is replaced with --overwrite alone, and only what is GGUF", async () => {
    const cwd = fresh();
    const run = (...more: string[]): ReturnType<typeof gpt2> =>
      gpt2(["export", MICRO, "--format", "gguf", ...more], { cwd });
    assertDone(await run("--out", "a.gguf"));
    const before = readFileSync(join(cwd, "a.gguf"));
    assertFails(
      await run("--out", "a.gguf"),
      1,
      /a\.gguf already exists: choose another --out, or pass --overwrite/,
    );
    assert.ok(readFileSync(join(cwd, "a.gguf")).equals(before));
    assertDone(await run("--out", "a.gguf", "--overwrite", "--dtype", "q8_0"));
    assert.ok(readFileSync(join(cwd, "a.gguf")).length < before.length / 2);
    writeFileSync(join(cwd, "diary"), "mine");
    assertFails(
      await run("--out", "diary", "--overwrite"),
      1,
      /diary is not a GGUF file: choose another --out/,
    );
    assert.equal(readFileSync(join(cwd, "diary"), "utf8"), "mine");
    assertFails(await run("--out", "."), 1, /is a folder: name a file in it, --out model\.gguf/);
    const wrong = await gpt2(["export", MICRO, "--dtype", "q8_0"], { cwd });
    assertFails(wrong, 2, /--dtype q8_0 needs --format gguf: tensorflow is written in float32/);
    assert.deepEqual(readdirSync(cwd).sort(), ["a.gguf", "diary"]);
  });

  test("a GGUF file as a model, one that is none: one line", async () => {
    const cwd = fresh();
    cpSync(join(FIXTURES, "f16.gguf"), join(cwd, "f16.gguf"));
    const asModel = await gpt2(["generate", "x", "--model_name", "./f16.gguf"], { cwd });
    assertFails(asModel, 1, /f16\.gguf is a GGUF file: `gpt2 import` it, then use the name it gets/);
    writeFileSync(join(cwd, "none.gguf"), "version https://git-lfs.github.com/spec/v1\n");
    assertFails(await gpt2(["import", "none.gguf", "--models_dir", "m"], { cwd }), 1, /is a Git LFS pointer/);
    assertFails(await gpt2(["import", "no.gguf", "--models_dir", "m"], { cwd }), 1, /no such file or folder/);
    assert.deepEqual(readdirSync(cwd).sort(), ["f16.gguf", "none.gguf"]);
  });

  test("a vocabulary that ends no text: what llama.cpp makes of it is said", async () => {
    const cwd = fresh();
    cpSync(MICRO, join(cwd, "model"), { recursive: true });
    const path = join(cwd, "model/encoder.json");
    writeFileSync(path, readFileSync(path, "utf8").replace("<|endoftext|>", "<|other|>"));
    const done = await gpt2(["export", "./model", "--format", "gguf"], { cwd });
    assertDone(done);
    assert.match(
      done.stderr,
      /\nnotice: no token of the vocabulary ends a text: llama\.cpp will use token 11\n$/,
    );
  });
});
