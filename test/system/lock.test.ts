import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isAtWork, isRunning, lockFolder } from "../../dist/src/system/lock.js";

const WORK = { file: ".test.lock", name: "test", staleMs: 1000 };
const TEMPORARY = mkdtempSync(join(tmpdir(), "gpt2-lock-"));
const path = join(TEMPORARY, WORK.file);

/** Makes the lock as old as one that nobody has touched for ten times staleMs; it is younger than the machine's start. */
const age = (): void => utimesSync(path, Date.now() / 1000 - 10, Date.now() / 1000 - 10);

const holder = (value: object): void => writeFileSync(path, JSON.stringify({ token: "x", ...value }));

suite("locks", () => {
  let child: ChildProcess;
  after(() => {
    child?.kill();
    rmSync(TEMPORARY, { recursive: true, force: true });
  });

  test("one at a time, and its file goes with it", async () => {
    const lock = await lockFolder(TEMPORARY, WORK);
    assert.ok(isAtWork(TEMPORARY, WORK));
    await assert.rejects(lockFolder(TEMPORARY, WORK), /another test is running in .*process \d+/);
    await lock.check();
    await lock.release();
    assert.ok(!isAtWork(TEMPORARY, WORK));
    await (await lockFolder(TEMPORARY, WORK)).release();
  });

  test("of several calls in one process, one gets it and keeps it", async () => {
    for (let round = 0; round < 50; round++) {
      const calls = await Promise.allSettled([1, 2, 3, 4].map(() => lockFolder(TEMPORARY, WORK)));
      const locks = calls.filter((call) => call.status === "fulfilled");
      assert.equal(locks.length, 1);
      await locks[0].value.check();
      await locks[0].value.release();
    }
  });

  test("a process of this machine holds its lock however long it does nothing, and not a moment longer", async () => {
    child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"]);
    holder({ pid: child.pid, host: hostname() });
    age();
    await assert.rejects(lockFolder(TEMPORARY, WORK), new RegExp(`process ${child.pid}`));
    const ended = new Promise((resolve) => child.on("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    await (await lockFolder(TEMPORARY, WORK)).release();
  });

  test("another process of the same number does not", { skip: process.platform !== "linux" }, async () => {
    holder({ pid: process.ppid, host: hostname(), started: "1" });
    await (await lockFolder(TEMPORARY, WORK)).release();
  });

  test("of another machine's lock the age decides", async () => {
    holder({ pid: 1, host: "another" });
    await assert.rejects(lockFolder(TEMPORARY, WORK), /process 1 on another/);
    age();
    await (await lockFolder(TEMPORARY, WORK)).release();
  });

  test("check() finds out that the folder was taken over; release() leaves the other's lock", async () => {
    const lock = await lockFolder(TEMPORARY, WORK);
    holder({ pid: 1, host: "another" });
    await assert.rejects(lock.check(), /another test has taken over/);
    await lock.release();
    assert.match(readFileSync(path, "utf8"), /another/);
  });
});

test("a process that has ended and that nobody has waited for does not run", {
  skip: process.platform !== "linux" && "elsewhere nothing tells it from one that runs",
}, async () => {
  // The shell becomes a program that does not wait for children; only then does its child end.
  const parent = spawn("sh", ["-c", "exec 3<&0; cat <&3 & echo $!; exec sleep 60"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  try {
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(line);
    while (!readFileSync(`/proc/${parent.pid}/cmdline`, "latin1").startsWith("sleep")) await nextTurn();
    parent.stdin.end();
    const state = (): string | undefined =>
      readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)?.split(" ")[0];
    while (state() !== "Z") await nextTurn();
    assert.equal(isRunning(pid), false);
    assert.equal(isRunning(parent.pid as number), true);
  } finally {
    parent.kill();
  }
});
