import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { suite, test } from "node:test";
import { parse } from "yaml";
import { assertDone, assertFails, BIN, gpt2, ROOT, start, TEMPORARY } from "../support/spawn.js";

const MODEL = ["--model_name", "shakespeare", "--seed", "5", "--length", "12"];
const JSONL = [...MODEL, "--format", "jsonl"];

const whole = async (...args: string[]): Promise<string> => {
  const outcome = await gpt2(["unconditional", ...JSONL, ...args]);
  assertDone(outcome);
  return outcome.stdout;
};
const inOrder = (text: string): string =>
  text
    .trimEnd()
    .split("\n")
    .sort((a, b) => JSON.parse(a).sample - JSON.parse(b).sample)
    .map((line) => `${line}\n`)
    .join("");

// Written before any test runs: a running script cannot be overwritten (ETXTBSY).
const SCRIPTS = join(TEMPORARY, "path with spaces");
mkdirSync(SCRIPTS, { recursive: true });
writeFileSync(join(SCRIPTS, "gpt2"), `#!/bin/sh\nexec "${process.execPath}" "${BIN}" "$@" --length 12\n`);
chmodSync(join(SCRIPTS, "gpt2"), 0o755);

/** An environment in which scripts find the built program as `gpt2`, and write little. */
function scriptEnvironment(out: string): Record<string, string> {
  mkdirSync(out, { recursive: true });
  return {
    PATH: `${SCRIPTS}${delimiter}${process.env["PATH"]}`,
    OUT: out,
    NSAMPLES: "7",
    MODEL: "shakespeare",
  };
}

const isInstalled = (program: string): boolean =>
  spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0;

suite("big jobs", { concurrency: 2 }, () => {
  test("shards: together they write what one run writes, byte for byte, with any batch_size", async () => {
    const all = await whole("--nsamples", "7");
    const shards = await Promise.all(
      [1, 2, 3].map((i) => whole("--nsamples", "7", "--shard", `${i}/3`, "--batch_size", String(i))),
    );
    assert.equal(inOrder(shards.join("")), all);
    assert.equal(shards[0].split("\n").length, 4, "the first of three has samples 1, 4 and 7");
  });

  test("--first_sample: the stream goes on at that number, in text and in jsonl", async () => {
    const all = (await whole("--nsamples", "5")).split("\n");
    assert.deepEqual((await whole("--nsamples", "2", "--first_sample", "4")).split("\n"), all.slice(3));
    const text = await gpt2(["unconditional", ...MODEL, "--nsamples", "1", "--first_sample", "4"]);
    assert.ok(text.stdout.startsWith(`${"=".repeat(40)} SAMPLE 4 ${"=".repeat(40)}\n`));
  });

  test("generate parts its samples with the delimiter, whatever their numbers", async () => {
    const args = ["generate", "ROMEO:", ...MODEL, "--nsamples", "3"];
    const all = await gpt2(args);
    const later = await gpt2([...args, "--nsamples", "2", "--first_sample", "2"]);
    assert.equal(
      later.stdout,
      all.stdout
        .split(`${"=".repeat(20)}\n`)
        .slice(1)
        .join(`${"=".repeat(20)}\n`),
    );
  });

  test("--resume: what was cut anywhere is made whole again, byte for byte", async () => {
    const all = await whole("--nsamples", "5");
    const file = join(TEMPORARY, "cut samples.jsonl");
    const again = ["unconditional", ...MODEL, "--nsamples", "5", "--resume", file];
    for (const length of [0, 4, all.indexOf("\n"), all.indexOf("\n") + 1, all.length - 30, all.length]) {
      writeFileSync(file, all.slice(0, length));
      const outcome = await gpt2(again);
      assertDone(outcome);
      assert.equal(outcome.stdout, "");
      assert.equal(readFileSync(file, "utf8"), all, `cut at ${length}`);
    }
    rmSync(file);
    assertDone(await gpt2(again));
    assert.equal(readFileSync(file, "utf8"), all, "no file at first");
  });

  test("--resume: a killed run goes on without repeating or losing a sample", async () => {
    const all = await whole("--nsamples", "40", "--length", "40");
    const file = join(TEMPORARY, "killed.jsonl");
    const args = ["unconditional", ...MODEL, "--length", "40", "--nsamples", "40", "--resume", file];
    for (let i = 0; i < 3; i++) {
      const running = start(process.execPath, [BIN, ...args]);
      const before = i * 5;
      await new Promise<void>((resolve) => {
        const look = setInterval(() => {
          let lines = 0;
          try {
            lines = readFileSync(file, "utf8").split("\n").length - 1;
          } catch {
            // not there yet
          }
          if (lines <= before && running.child.exitCode === null) return;
          clearInterval(look);
          resolve();
        }, 5);
      });
      running.child.kill(i === 1 ? "SIGINT" : "SIGKILL");
      await running.ended;
    }
    assertDone(await gpt2(args));
    assert.equal(readFileSync(file, "utf8"), all);
  });

  test("--resume: another seed, another prompt or another kind of file is refused and stays as it is", async () => {
    const file = join(TEMPORARY, "other.jsonl");
    const args = ["generate", "ROMEO:", ...MODEL, "--resume", file];
    assertDone(await gpt2(args));
    const content = readFileSync(file, "utf8");
    assertFails(await gpt2([...args, "--seed", "6"]), 1, /holds samples of seed 5: pass --seed 5/);
    assertFails(await gpt2(["generate", "JULIET:", ...args.slice(2)]), 1, /samples of another prompt/);
    assertFails(await gpt2([...args, "--format", "text"]), 2, /--resume writes jsonl/);
    assertFails(await gpt2([...args, "--out", "x"]), 2, /drop --out/);
    assert.equal(readFileSync(file, "utf8"), content);
    const letter = join(TEMPORARY, "letter.txt");
    writeFileSync(letter, "Dear Juliet,\n");
    assertFails(await gpt2([...args, "--resume", letter]), 1, /holds something other than samples/);
    assert.equal(readFileSync(letter, "utf8"), "Dear Juliet,\n");
    assertFails(await gpt2([...args, "--resume", TEMPORARY]), 1, /TEMPORARY|gpt2-cli/);
  });

  test("a shard is i/n", async () => {
    assertFails(await gpt2(["unconditional", ...MODEL, "--shard", "4/3"]), 2, /--shard must be i\/n/);
    assertFails(await gpt2(["unconditional", ...MODEL, "--first_sample", "0"]), 2, /--first_sample/);
  });

  test("deploy/kubernetes.yaml: its pods' command, run for each index, writes one run's samples", {
    skip: process.platform === "win32" && "needs sh",
  }, async () => {
    const job = parse(readFileSync(join(ROOT, "deploy", "kubernetes.yaml"), "utf8"));
    assert.equal(job.kind, "Job");
    assert.equal(job.apiVersion, "batch/v1");
    assert.equal(job.spec.completionMode, "Indexed");
    const [container] = job.spec.template.spec.containers;
    const names = container.env.map(({ name }: { name: string }) => name);
    const shards = container.env.find(({ name }: { name: string }) => name === "SHARDS").value;
    assert.equal(String(job.spec.completions), shards);
    assert.ok(container.volumeMounts.some((mount: { mountPath: string }) => mount.mountPath === "/samples"));
    const out = join(TEMPORARY, "kubernetes");
    const env = { ...scriptEnvironment(out), SHARDS: "3" };
    assert.ok(
      Object.keys(env)
        .filter((name) => name !== "PATH")
        .every((name) => names.includes(name)),
    );
    for (const index of ["0", "1", "2"]) {
      const [command, ...args] = [...container.command, ...container.args];
      assertDone(await start(command, args, { env: { ...env, JOB_COMPLETION_INDEX: index } }).ended);
    }
    const texts = [0, 1, 2].map((i) => readFileSync(join(out, `samples-${i}.jsonl`), "utf8"));
    const all = await whole("--seed", "1", "--nsamples", "7");
    assert.equal(inOrder(texts.join("")), all);
  });

  test("deploy/slurm.sh: run as each task of the array, it writes one run's samples", {
    skip: process.platform === "win32" && "needs sh",
  }, async () => {
    const out = join(TEMPORARY, "slurm");
    const env = { ...scriptEnvironment(out), SLURM_ARRAY_TASK_COUNT: "2", SLURM_CPUS_PER_TASK: "1" };
    for (const task of ["1", "2"]) {
      const script = join(ROOT, "deploy", "slurm.sh");
      assertDone(await start("sh", [script], { env: { ...env, SLURM_ARRAY_TASK_ID: task } }).ended);
    }
    const texts = [1, 2].map((i) => readFileSync(join(out, `samples-${i}.jsonl`), "utf8"));
    assert.equal(inOrder(texts.join("")), await whole("--seed", "1", "--nsamples", "7"));
  });

  test("GNU parallel spreads a run's shards", {
    skip: !isInstalled("parallel") && "GNU parallel is not installed",
  }, async () => {
    const env = scriptEnvironment(join(TEMPORARY, "parallel"));
    const command =
      "gpt2 unconditional --model_name shakespeare --seed 5 --nsamples 7 --format jsonl --shard {}/3";
    const outcome = await start("parallel", ["--will-cite", "--jobs", "2", command, ":::", "1", "2", "3"], {
      env,
    }).ended;
    assertDone(outcome);
    assert.equal(inOrder(outcome.stdout), await whole("--nsamples", "7"));
  });
});
