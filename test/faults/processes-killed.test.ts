import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FileServer } from "../support/file-server.js";
import {
  assertDone,
  gpt2,
  MICRO,
  NO_SHELL,
  type Outcome,
  ROOT,
  startGpt2,
  TEMPORARY,
} from "../support/spawn.js";
import { assertPlainEnd, chance, loading } from "./support/folders.js";
import { DATA, microFiles, Served } from "./support/served.js";
import {
  DTYPES,
  type Dtype,
  isLeftover,
  isWeights,
  type Original,
  original,
  weightsIn,
} from "./support/weights.js";

/** Sends a program a signal this many milliseconds after it started work in a folder, when it has the lock. */
async function endAfter(
  running: ReturnType<typeof startGpt2>,
  lock: string,
  ms: number,
  signal: NodeJS.Signals,
): Promise<Outcome> {
  const isBegun = (): boolean => {
    try {
      return readFileSync(lock, "utf8").includes(`"pid":${running.child.pid},`);
    } catch {
      return false; // not there yet
    }
  };
  let isOver = false;
  void running.ended.finally(() => (isOver = true));
  while (!isOver && !isBegun()) await sleep(2);
  await sleep(ms);
  running.child.kill(signal);
  return running.ended;
}

/** It was ended as the signal does it: at once, or in a line; or it was over before. */
function assertEnded(outcome: Outcome, signal: NodeJS.Signals): void {
  if (outcome.signal !== null) {
    assert.equal(outcome.signal, signal);
    return;
  }
  assert.ok(outcome.code === 0 || (signal === "SIGTERM" && outcome.code === 130), outcome.stderr);
  assertPlainEnd(outcome);
  if (outcome.code === 130) {
    assert.match(
      outcome.stderr,
      /gpt2: (conversion stopped; nothing was changed|the download of \S+ was interrupted: run the same command again to resume)\n$/,
    );
  }
}

describe("convert, ended at any moment", { concurrency: 2, skip: NO_SHELL }, () => {
  let small: Original;
  let large: Original;
  before(async () => {
    const exported = join(TEMPORARY, "exported");
    const shakespeare = join(ROOT, "models", "shakespeare");
    assertDone(await gpt2(["export", shakespeare, "--out", exported]));
    [small, large] = await Promise.all([original(MICRO, "small"), original(exported, "large")]);
  });

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    test(`${signal} before each step on the disk, one after the other in one folder`, async () => {
      const folder = join(TEMPORARY, `steps-${signal}`);
      cpSync(small.folder, folder, { recursive: true });
      const names = readdirSync(folder);
      const extra = (): string[] => readdirSync(folder).filter((name) => !names.includes(name));
      let steps = 0;
      let stopped = 0;
      for (let isOver = false; !isOver; ) {
        // SIGTERM is looked after between two steps: every third of them will do.
        steps += signal === "SIGKILL" ? 1 : 3;
        assert.ok(steps < 60, "no end");
        const dtype = DTYPES[steps % 3 === 0 ? 0 : 1];
        const kept = weightsIn(folder, small);
        const env = { ...loading("end-at-step.mjs"), END_AT: String(steps), END_WITH: signal };
        const outcome = await gpt2(["convert", folder, "--dtype", dtype], { env });
        assertEnded(outcome, signal);
        const now = weightsIn(folder, small);
        if (outcome.code === 130) {
          stopped++;
          assert.equal(now, kept, "a stopped conversion changed something");
        }
        if (outcome.code === 0) assert.equal(now, dtype);
        const left = extra().filter((name) => !isWeights(name));
        assert.ok(left.every(isLeftover), left.join(" "));
        // A process that may still tidy leaves nothing.
        if (outcome.signal === null) assert.deepEqual(left, []);
        isOver = outcome.code === 0 && !outcome.stderr.includes("stopped") && steps > 20;
      }
      if (signal === "SIGTERM") assert.ok(stopped > 1, "it never stopped in a line of its own");
      assert.ok(steps > 15, `only ${steps} steps: the script that counts them does not see them`);
      assertDone(await gpt2(["convert", folder]));
      assert.equal(weightsIn(folder, small), "float32");
      assert.deepEqual(
        extra().filter((name) => !isWeights(name)),
        [],
      );
    });
  }

  test("at moments drawn by chance, over old weights: the old ones or the new ones, then right", async () => {
    const random = chance("moments of convert");
    const folder = join(TEMPORARY, "moments");
    cpSync(large.folder, folder, { recursive: true });
    const names = readdirSync(folder);
    assertDone(await gpt2(["convert", folder, "--dtype", "float16"]));
    // Killed between its renames, it leaves nothing under the final names; what runs next puts back the old weights or
    // the new ones, and may then be killed itself.
    let possible: Dtype[] = ["float16"];
    for (let i = 0; i < 10; i++) {
      const signal = i % 2 ? "SIGTERM" : "SIGKILL";
      const dtype = DTYPES[i % 4 < 2 ? 0 : 1];
      const running = startGpt2(["convert", folder, "--dtype", dtype]);
      assertEnded(await endAfter(running, join(folder, ".writing.lock"), 100 * random(), signal), signal);
      const now = weightsIn(folder, large);
      possible.push(dtype);
      assert.ok(now === "none" || possible.some((each) => each === now), `${now} of nowhere`);
      const left = readdirSync(folder).filter(isLeftover).length;
      assert.ok(left <= 12, `${left} leftovers`);
      if (now !== "none") possible = [now];
    }
    assertDone(await gpt2(["convert", folder]));
    assert.equal(weightsIn(folder, large), "float32");
    assert.deepEqual(
      readdirSync(folder).filter((name) => !isWeights(name)),
      names,
    );
  });
});

describe("download, ended at any moment", { concurrency: 2, skip: NO_SHELL }, () => {
  const files = microFiles();
  let server: FileServer;
  before(async () => {
    server = await FileServer.start();
  });
  after(() => server.stop());

  /** Whatever has its final name is right. */
  function assertNothingWrong(model: Served): void {
    if (!existsSync(model.folder)) return;
    for (const name of readdirSync(model.folder).filter((each) => !isLeftover(each) && !isWeights(each))) {
      assert.ok(
        files[name].equals(readFileSync(join(model.folder, name))),
        `${name} is not what the server has`,
      );
    }
  }

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    test(`${signal} at moments drawn by chance, again and again until it is complete`, async () => {
      const random = chance(`moments of download, ${signal}`);
      const model = new Served(server, `moments-${signal}`, files);
      for (const file of [DATA, "model.ckpt.meta"]) {
        model.fault(file, { kind: "slow", piece: 20_000, pause: 25 }, 100);
      }
      const lock = join(model.folder, ".download.lock");
      let ended = 0;
      for (let runs = 1; ; runs++) {
        assert.ok(runs < 30, "it never gets to the end"); // each has a little longer than the one before
        const outcome = await endAfter(model.start(), lock, (300 + 100 * runs) * random(), signal);
        assertEnded(outcome, signal);
        assertNothingWrong(model);
        const left = existsSync(model.folder) ? readdirSync(model.folder).filter(isLeftover) : [];
        assert.ok(left.length <= 6, left.join(" "));
        if (outcome.code === 130) assert.ok(!left.includes(".download.lock"), "its lock is left");
        if (outcome.code === 0) break;
        ended++;
      }
      assert.ok(ended >= 2, "it was never ended");
      model.assertWhole();
    });
  }

  test("SIGKILL before steps on the disk, from the first file to the last: nothing wrong, then complete", async () => {
    const model = new Served(server, "steps", files);
    let steps = 1;
    for (; ; steps += 5) {
      assert.ok(steps < 200, "no end");
      const env = { ...loading("end-at-step.mjs"), END_AT: String(steps), END_WITH: "SIGKILL" };
      const outcome = await model.download(env);
      assertEnded(outcome, "SIGKILL");
      assertNothingWrong(model);
      if (outcome.code === 0) break;
    }
    assert.ok(steps > 15, `only ${steps} steps`);
    assertDone(await model.download());
    model.assertWhole();
  });
});
