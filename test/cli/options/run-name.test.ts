import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { runFolder } from "../../../dist/src/cli/options/run-name.js";
import { UsageError } from "../../../dist/src/system/errors.js";

test("a run's folder lies in the folder of the runs, whatever its name", () => {
  assert.equal(runFolder("checkpoint", "run1"), join("checkpoint", "run1"));
  assert.equal(runFolder("a/../b", "my run.2"), join("b", "my run.2"));
  for (const name of ["../x", "a/b", "..", ".", "", "a\\b", "C:x", "a\0", "a\nb"]) {
    assert.throws(() => runFolder("checkpoint", name), UsageError, JSON.stringify(name));
  }
});
