import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { makeFolder } from "../../dist/src/system/files.js";

const TEMPORARY = mkdtempSync(join(tmpdir(), "gpt2-files-"));

suite("makeFolder", () => {
  after(() => rmSync(TEMPORARY, { recursive: true, force: true }));

  test("creates what is missing and says where it began", async () => {
    assert.equal(await makeFolder(join(TEMPORARY, "a", "b", "c")), join(TEMPORARY, "a"));
    assert.equal(await makeFolder(join(TEMPORARY, "a", "b", "d")), join(TEMPORARY, "a", "b", "d"));
    assert.equal(await makeFolder(join(TEMPORARY, "a", "b")), undefined);
    assert.ok(existsSync(join(TEMPORARY, "a", "b", "c")));
  });

  test("a file in the way is an error", async () => {
    writeFileSync(join(TEMPORARY, "file"), "");
    await assert.rejects(makeFolder(join(TEMPORARY, "file")), { code: "EEXIST" });
    await assert.rejects(makeFolder(join(TEMPORARY, "file", "x")), { code: "ENOTDIR" });
  });

  test("below /proc it ends", { skip: process.platform !== "linux", timeout: 10_000 }, async () => {
    await assert.rejects(makeFolder("/proc/nope/x"), { code: "ENOENT" });
  });
});
