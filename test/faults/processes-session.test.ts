import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { SessionFile, type Step } from "../../dist/src/cli/interactive/session-file.js";
import { Interactive, OPTIONS, PROMPT } from "../support/interactive.js";
import { moduleUrl, onFullDisk } from "../support/limited-disk.js";
import { ROOT, TEMPORARY } from "../support/spawn.js";
import { NO_TERMINAL } from "../support/terminal.js";
import { loading } from "./support/folders.js";

/** What the session's file holds; the lock of a process that was killed is in nobody's way. */
async function stepsOf(path: string): Promise<readonly Step[]> {
  const file = await SessionFile.open(path);
  await file.close();
  return file.state.steps;
}

describe("a session killed at every step on the disk", { skip: NO_TERMINAL }, () => {
  test("what it held is whole: the last step or the one before, and it is gone on with", async () => {
    const folder = join(TEMPORARY, "killed");
    mkdirSync(folder);
    const path = join(folder, "novel.json");
    const args = [...OPTIONS, "--no_history", "--session", path];
    let kills = 0;
    let before: readonly Step[] = [];
    for (let at = 1; ; at++) {
      assert.ok(at < 60, "no end");
      const session = new Interactive(args, {
        ...loading("end-at-step.mjs"),
        END_AT: String(at),
        END_WITH: "SIGKILL",
      });
      const isAsking = await session.shows(PROMPT).then(
        () => true,
        () => false,
      );
      if (isAsking) session.type("of\r/undo\rthe\r/quit\r");
      const outcome = await session.ends();
      const after = existsSync(path) ? await stepsOf(path) : [];
      // Steps that were there stay; of this run's one more or none, as it takes the first back.
      assert.deepEqual(after.slice(0, before.length), before, `step ${at}`);
      assert.ok(after.length - before.length <= 1, `step ${at}`);
      for (const { prompt } of after.slice(before.length)) assert.match(prompt, /^(of|the)$/);
      // Who opened it tidied what was left beside it.
      if (existsSync(path)) assert.deepEqual(readdirSync(folder), ["novel.json"]);
      before = after;
      if (outcome.code === 0) break;
      kills++;
    }
    assert.ok(kills > 12, `${kills} kills`);
    assert.equal(before.at(-1)?.prompt, "the");
    assert.equal(before.at(-1)?.samples[0]?.finish_reason, "length");
  });
});

test("on a full disk the file keeps what it held", async (t) => {
  const path = join(TEMPORARY, "full.json");
  const imports = `import { SessionFile } from ${moduleUrl(join(ROOT, "dist/src/cli/interactive/session-file.js"))};`;
  const said = onFullDisk(
    imports,
    `(async () => {
      const file = await SessionFile.open(${JSON.stringify(path)});
      const step = (prompt) => ({ prompt, samples: [] });
      await file.write({ steps: [step("small")], pin: "" });
      await file.write({ steps: [step("x".repeat(200000))], pin: "" }).finally(() => file.close());
    })()`,
  );
  if (said === undefined) return t.skip("needs a limit of sizes");
  assert.match(said, /^UserError: cannot write /);
  assert.deepEqual(
    (await stepsOf(path)).map(({ prompt }) => prompt),
    ["small"],
  );
  assert.ok(readFileSync(path).length < 1000);
});
