import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { makeFolder } from "../../dist/src/system/files.js";

const temporary = mkdtempSync(join(tmpdir(), "gpt2-files-"));
after(() => rmSync(temporary, { recursive: true, force: true }));

const isRefused = (path: string, reason: RegExp): void =>
  assert.throws(() => makeFolder(path), { name: "UserError", message: reason });

describe("makeFolder", () => {
  test("makes what is missing and says where that begins", () => {
    const path = join(temporary, "a", "b", "c");
    assert.equal(makeFolder(path), join(temporary, "a"));
    assert.ok(statSync(path).isDirectory());
    assert.equal(makeFolder(path), undefined);
    assert.equal(makeFolder(join(path, "d")), join(path, "d"));
    assert.equal(makeFolder("/"), undefined);
  });

  test("a link to a folder is one", { skip: process.platform === "win32" }, () => {
    mkdirSync(join(temporary, "real"));
    symlinkSync("real", join(temporary, "linked"));
    assert.equal(makeFolder(join(temporary, "linked")), undefined);
    makeFolder(join(temporary, "linked", "inside"));
    assert.ok(existsSync(join(temporary, "real", "inside")));
  });

  test("a file, or a link to nothing, in the way", { skip: process.platform === "win32" }, () => {
    writeFileSync(join(temporary, "file"), "");
    symlinkSync("nowhere", join(temporary, "dangling"));
    for (const name of ["file", "dangling"]) {
      isRefused(join(temporary, name), /^cannot create .*: it exists and is not a folder$/);
      isRefused(join(temporary, name, "below", "it"), /^cannot create .*below/);
    }
  });

  test("comes back where the system has no room for folders", { skip: process.platform !== "linux" }, () => {
    isRefused("/proc/nope", /^cannot create \/proc\/nope: no such file or folder$/);
    isRefused("/proc/nope/further/down", /^cannot create \/proc\/nope\/further\/down: /);
  });
});
