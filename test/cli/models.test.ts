import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { assertDone, assertFails, gpt2, MICRO, ROOT, TEMPORARY } from "../support/spawn.js";

/** A models folder with a complete model, a truncated one, a partial download and something else. */
function someModels(name: string): string {
  const folder = join(TEMPORARY, name);
  for (const model of ["whole", "cut"]) cpSync(MICRO, join(folder, model), { recursive: true });
  truncateSync(join(folder, "cut", "model.ckpt.index"), 100);
  mkdirSync(join(folder, "begun"));
  writeFileSync(join(folder, "begun", "model.ckpt.data-00000-of-00001.part"), "12345");
  mkdirSync(join(folder, "notes"));
  writeFileSync(join(folder, "notes", "readme.txt"), "no model");
  return folder;
}

suite("gpt2 models", { concurrency: 2 }, () => {
  test("rm: a folder of somebody's own files is no model, whatever ends in .part", async () => {
    const folder = join(TEMPORARY, "downloads");
    mkdirSync(folder);
    const names = [
      "film.mkv.part",
      "film.mkv.part.json",
      "encoder.json.txt",
      "my-model.ckpt.index",
      "checkpoint",
    ];
    for (const name of names) writeFileSync(join(folder, name), "mine");
    assertFails(await gpt2(["models", "rm", folder, "--yes"]), 1, /there is no model/);
    assert.deepEqual(readdirSync(folder).sort(), [...names].sort());
    cpSync(join(MICRO, "hparams.json"), join(folder, "hparams.json"));
    writeFileSync(join(folder, "model.ckpt.index.part"), "begun");
    assertDone(await gpt2(["models", "rm", folder, "--yes"]));
    assert.deepEqual(readdirSync(folder).sort(), names.filter((name) => name !== "checkpoint").sort());
  });

  test("rm: a link goes as a link; what it points to stays", {
    skip: process.platform === "win32",
  }, async () => {
    const folder = join(TEMPORARY, "links");
    const original = join(TEMPORARY, "original");
    cpSync(MICRO, original, { recursive: true });
    mkdirSync(folder);
    symlinkSync(original, join(folder, "linked"));
    const outcome = await gpt2(["models", "rm", "linked", "--models_dir", folder, "--yes"]);
    assertDone(outcome);
    assert.match(outcome.stderr, /removed the link .*linked; the model itself, .*original, is kept/);
    assert.deepEqual(readdirSync(folder), []);
    assert.deepEqual(readdirSync(original), readdirSync(MICRO));
    // Files of a model that are links are removed as links too.
    const mixed = join(folder, "mixed");
    cpSync(MICRO, mixed, { recursive: true });
    rmSync(join(mixed, "vocab.bpe"));
    symlinkSync(join(original, "vocab.bpe"), join(mixed, "vocab.bpe"));
    assertDone(await gpt2(["models", "rm", "mixed", "--models_dir", folder, "--yes"]));
    assert.ok(!existsSync(mixed) || !readdirSync(mixed).includes("vocab.bpe"));
    assert.deepEqual(readdirSync(original), readdirSync(MICRO));
  });

  test("list: whole and incomplete models, with size and place; the demo models are always there", async () => {
    const folder = someModels("list");
    const outcome = await gpt2(["models", "--models_dir", folder, "--format", "jsonl"]);
    assertDone(outcome);
    const rows = outcome.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const brief = rows.map(({ name, parameters, precision, complete }) => [
      name,
      parameters,
      precision,
      complete,
    ]);
    assert.deepEqual(brief, [
      ["begun", null, null, false],
      ["cut", null, null, false],
      ["whole", 53024, "float32", true],
      ["shakespeare", 1442240, "float16", true],
      ["stories", 3111936, "float16", true],
    ]);
    assert.deepEqual([rows[0]["bytes"], rows[0]["path"]], [5, join(folder, "begun")]);
    const table = await gpt2(["models", "list", "--models_dir", folder]);
    assertDone(table);
    assert.match(table.stdout, /^name +parameters +precision +disk +complete +where\n/);
    assert.match(table.stdout, /^begun +\? +\? +5 B +no +/m);
    assert.match(table.stdout, /^whole +0\.1 million +float32 +[\d.]+ kB +yes +/m);
  });

  test("path: a model's folder", async () => {
    const folder = someModels("path");
    const whole = await gpt2(["models", "path", "whole", "--models_dir", folder]);
    assertDone(whole);
    assert.equal(whole.stdout, `${join(folder, "whole")}\n`);
    assertFails(await gpt2(["models", "path", "nothing", "--models_dir", folder]), 1, /"nothing"/);
  });

  test("rm: a model's files and nothing else, and only when it was said", async () => {
    const folder = someModels("rm");
    const rm = (...args: string[]) => gpt2(["models", "rm", ...args, "--models_dir", folder]);
    assertFails(await rm("whole"), 2, /--yes/);
    writeFileSync(join(folder, "whole", "mine.txt"), "keep me");
    for (const name of ["whole", "begun"]) {
      const outcome = await rm(name, "--yes");
      assertDone(outcome);
      assert.equal(outcome.stdout, "");
    }
    assert.deepEqual(readdirSync(join(folder, "whole")).sort(), ["expected.json", "mine.txt"]);
    assert.ok(!existsSync(join(folder, "begun")));
    assertFails(await rm("notes", "--yes"), 1, /"notes"/);
    assert.deepEqual(readdirSync(join(folder, "notes")), ["readme.txt"]);
    for (const name of ["stories", "shakespeare"]) {
      assertFails(await rm(name, "--yes"), 1, /comes with gpt2 and cannot be removed/);
      assert.ok(existsSync(join(ROOT, "models", name, "model.json")));
    }
  });

  test("wrong usage: one line", async () => {
    assertFails(await gpt2(["models", "purge"]), 2, /list, path, rm/);
    assertFails(await gpt2(["models", "rm"]), 2, /name/);
    assertFails(await gpt2(["models", "list", "x"]), 2, /"x"/);
  });
});
