// What is replaced where a folder, or a file in it, is a link: never what the link leads to.
import assert from "node:assert/strict";
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { exportModel } from "../../dist/src/models/export.js";
import { importModel } from "../../dist/src/models/import.js";
import { UserError } from "../../dist/src/system/errors.js";
import { assertFails, gpt2, MICRO, ROOT, TEMPORARY } from "../support/spawn.js";

const THEIRS = join(ROOT, "test/fixtures/huggingface/f32");
let count = 0;
const fresh = (): string => join(TEMPORARY, `links-${count++}`);

/** Every file of a folder, with its bytes. */
const contents = (folder: string): Map<string, string> =>
  new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "base64")]));

/** It fails with a line that names the link and where it leads. */
async function refuses(work: Promise<unknown>, link: string, target: string): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof UserError, String(error));
    assert.match(
      error.message,
      /a link's target is never replaced: remove the link, or choose another name$/,
    );
    assert.ok(error.message.startsWith(`${link} is a link to ${target}: `), error.message);
    return true;
  });
}

describe("a link to a folder is not replaced, and what it leads to stays", () => {
  test("import", async () => {
    const [mine, link] = [fresh(), fresh()];
    await importModel(THEIRS, mine, { dtype: "float16" });
    const before = contents(mine);
    symlinkSync(mine, link, "junction");
    await refuses(importModel(THEIRS, link, { dtype: "float32", overwrite: true }), link, mine);
    assert.deepEqual(contents(mine), before);
  });

  test("export", async () => {
    const [mine, link] = [fresh(), fresh()];
    for (const format of ["tensorflow", "huggingface"] as const) {
      const [out, linked] = [`${mine}-${format}`, `${link}-${format}`];
      await exportModel(MICRO, out, { format });
      const before = contents(out);
      symlinkSync(out, linked, "junction");
      await refuses(exportModel(MICRO, linked, { format, overwrite: true }), linked, out);
      assert.deepEqual(contents(out), before);
    }
  });

  test("finetune", async () => {
    const [mine, runs] = [fresh(), fresh()];
    cpSync(MICRO, mine, { recursive: true });
    mkdirSync(runs);
    symlinkSync(mine, join(runs, "run1"), "junction");
    const text = join(TEMPORARY, "text.txt");
    writeFileSync(text, "to be or not to be ".repeat(99));
    const before = contents(mine);
    const args = [
      "finetune",
      text,
      "--model_name",
      MICRO,
      "--checkpoint_dir",
      runs,
      "--steps",
      "1",
      "--overwrite",
    ];
    assertFails(await gpt2(args), 1, /run1 is a link to .*: a link's target is never replaced/);
    assert.deepEqual(contents(mine), before);
  });

  test("a link to an empty folder is a place like any other", async () => {
    const [mine, link] = [fresh(), fresh()];
    mkdirSync(mine);
    symlinkSync(mine, link, "junction");
    await importModel(THEIRS, link, { dtype: "float16" });
    assert.ok(lstatSync(link).isSymbolicLink(), "the link was replaced");
    assert.ok(contents(mine).has("model.json"));
  });
});

test("a file that is a link is replaced as a link: the file that it leads to stays", {
  skip: process.platform === "win32",
}, async () => {
  const [elsewhere, folder] = [fresh(), fresh()];
  await importModel(THEIRS, elsewhere, { dtype: "float16" });
  const before = contents(elsewhere);
  mkdirSync(folder);
  for (const name of before.keys()) symlinkSync(join(elsewhere, name), join(folder, name));
  await importModel(THEIRS, folder, { dtype: "float32", overwrite: true });
  assert.deepEqual(contents(elsewhere), before);
  for (const name of readdirSync(folder)) assert.ok(lstatSync(join(folder, name)).isFile(), name);
  assert.notDeepEqual(contents(folder), before);
});
