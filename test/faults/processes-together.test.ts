import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { FileServer } from "../support/file-server.js";
import { assertDone, gpt2, MICRO, NO_SHELL, type Outcome, startGpt2, TEMPORARY } from "../support/spawn.js";
import { assertPlainEnd, loading, until } from "./support/folders.js";
import { DATA, microFiles, Served } from "./support/served.js";
import { DTYPES, isWeights, original, weightsIn } from "./support/weights.js";

describe("two at once", { concurrency: 2 }, () => {
  const files = microFiles();
  let server: FileServer;
  before(async () => {
    server = await FileServer.start();
  });
  after(() => server.stop());

  /** Each succeeded, or ended with a line that says who is at work; at least one succeeded. */
  function assertAgreed(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) {
      assertPlainEnd(outcome);
      if (outcome.code === 0) continue;
      assert.match(
        outcome.stderr,
        /another (download|gpt2 command) is running in .* \(process \d+ on .*: wait/,
      );
    }
    assert.ok(
      outcomes.some(({ code }) => code === 0),
      outcomes.map(({ stderr }) => stderr).join("\n"),
    );
  }

  test("two downloads of one model: the second is told; with the first killed, it goes on at once", {
    skip: NO_SHELL,
  }, async () => {
    const model = new Served(server, "pair", files);
    model.fault(DATA, { kind: "slow", piece: 10_000, pause: 50 }, 2);
    const first = model.start();
    await until("the first begins", () => existsSync(join(model.folder, `${DATA}.part`)));
    const second = await model.download();
    assert.equal(second.code, 1, second.stderr);
    assertPlainEnd(second);
    assert.ok(
      second.stderr.includes(
        `another download is running in ${model.folder} (process ${first.child.pid} on `,
      ),
      second.stderr,
    );
    first.child.kill("SIGKILL");
    await first.ended;
    assert.ok(existsSync(join(model.folder, ".download.lock")), "no stale lock to begin with");
    assertDone(await model.download());
    model.assertWhole();
  });

  test("three downloads and five conversions, of both kinds, at the same moment", async () => {
    const model = new Served(server, "crowd", files);
    assertAgreed(await Promise.all([1, 2, 3].map(() => model.download())));
    model.assertWhole();
    const small = await original(MICRO, "crowd");
    const folder = join(TEMPORARY, "crowd-convert");
    cpSync(MICRO, folder, { recursive: true });
    const names = readdirSync(folder);
    const both = [0, 1, 0, 1, 0].map((i) => gpt2(["convert", folder, "--dtype", DTYPES[i]]));
    assertAgreed(await Promise.all(both));
    assert.notEqual(weightsIn(folder, small), "none");
    assert.deepEqual(
      readdirSync(folder).filter((name) => !isWeights(name)),
      names,
    );
  });

  test("a second conversion is told of the first, which stands still in the middle, and changes nothing", {
    skip: NO_SHELL,
  }, async () => {
    const folder = join(TEMPORARY, "still");
    cpSync(MICRO, folder, { recursive: true });
    const names = readdirSync(folder);
    const env = { ...loading("end-at-step.mjs"), END_AT: "9", END_WITH: "SIGSTOP" };
    const first = startGpt2(["convert", folder], { env });
    await until("the first writes", () => readdirSync(folder).some((name) => name.startsWith("group1")));
    const second = await gpt2(["convert", folder, "--dtype", "float16"]);
    const wake = setInterval(() => first.child.kill("SIGCONT"), 20); // once would be lost before it stands still
    assertDone(await first.ended.finally(() => clearInterval(wake)));
    assert.equal(second.code, 1, second.stderr);
    assert.ok(
      second.stderr.startsWith(
        `gpt2: another gpt2 command is running in ${folder} (process ${first.child.pid} on `,
      ),
      second.stderr,
    );
    const small = await original(MICRO, "still-wanted");
    assert.equal(weightsIn(folder, small), "float32");
    assert.deepEqual(
      readdirSync(folder).filter((name) => !isWeights(name)),
      names,
    );
  });

  test("a lock that nobody holds does not stand in the way of convert; a fresh one of another machine does", async () => {
    const folder = join(TEMPORARY, "stale");
    const lock = join(folder, ".writing.lock");
    cpSync(MICRO, folder, { recursive: true });
    const dead = startGpt2(["--version"]);
    await dead.ended;
    writeFileSync(lock, JSON.stringify({ pid: dead.child.pid, host: hostname() }));
    assertDone(await gpt2(["convert", folder]));
    writeFileSync(lock, JSON.stringify({ pid: dead.child.pid, host: "another machine" }));
    const refused = await gpt2(["convert", folder]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^gpt2: another gpt2 command is running in .* on another machine\): wait/);
    mkdirSync(join(TEMPORARY, "free"), { recursive: true });
    assertDone(await gpt2(["convert", folder, "--out", join(TEMPORARY, "free")]));
  });
});
