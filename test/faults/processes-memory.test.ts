import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BIN, micro, start, TEMPORARY } from "../support/spawn.js";
import { loading } from "./support/folders.js";

const MB = 1 << 20;
/** Up to this many tokens memory may grow: code is compiled, caches fill. */
const WARM = 40_000;
/**
 * The micro model was seen to stay between 99 and 105 MB from there to 750,000 tokens, with native and with
 * WebAssembly's kernels. What holds 1 kB a token more grows by 40 MB in 40,000 tokens.
 */
const MOST = 20 * MB;

/** The memory of a process that is in the machine's, in bytes. */
function residentSize(pid: number | undefined): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}

/**
 * Lets a program write this many tokens, and measures its memory.
 * @param bytes about how many a token makes in the output
 */
async function grow(name: string, args: readonly string[], bytes: number, end: number): Promise<number> {
  const out = join(TEMPORARY, name);
  const line = ["-c", 'exec "$0" "$@" > "$OUT"', process.execPath, BIN, ...args];
  const running = start("sh", line, { env: { OUT: out, ...loading("collect.mjs") }, limit: 150 });
  let isOver = false;
  void running.ended.finally(() => (isOver = true));
  const after = async (tokens: number): Promise<number> => {
    while (!existsSync(out) || statSync(out).size < tokens * bytes) {
      assert.ok(!isOver, `it ended:\n${running.stderr}`);
      await sleep(20);
    }
    return residentSize(running.child.pid);
  };
  const warm = await after(WARM);
  const grown = (await after(end)) - warm;
  running.child.kill("SIGINT");
  const { code, stderr } = await running.ended;
  assert.equal(code, 130, stderr);
  const tokens = Number(/^(\d+) tokens/m.exec(stderr)?.[1]);
  assert.ok(tokens > 0.9 * end && tokens < 3 * end, `${tokens} tokens: not as many as meant`);
  return grown;
}

describe("memory stays flat over tens of thousands of tokens", {
  concurrency: 2,
  skip: existsSync("/proc/self/status") ? false : "needs /proc",
}, () => {
  for (const [name, bytes, end, ...rest] of [
    ["one sample without end", 2.5, 80_000, "--length", "100000000"],
    ["many samples in batches", 4.1, 120_000, "--format", "jsonl", "--length", "50", "--batch_size", "4"],
  ] as const) {
    test(name, async () => {
      const args = ["unconditional", ...micro("--seed", "1", "--ignore_eos", "--threads", "1"), ...rest];
      const grown = await grow(name.replaceAll(" ", "-"), args, bytes, end);
      assert.ok(grown < MOST, `it grew by ${(grown / MB).toFixed(1)} MB`);
    });
  }
});
