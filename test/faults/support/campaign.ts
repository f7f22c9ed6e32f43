/**
 * Fuzzing: each target's files are spoiled 10,000 times, and every time they must load or be refused with one line.
 * A mutation is a pure function of the seed and its number. A failure names both; to see it again:
 *
 *     GPT2_FUZZ_SEED=1 GPT2_FUZZ_ONLY=index:4711 node --import tsx --test test/faults/fuzz-files.test.ts
 *
 * runs that mutation alone, tells what it came to, and leaves its files where it says. GPT2_FUZZ_ONLY=index runs
 * all mutations of one target, GPT2_FUZZ_COUNT=100000 runs more of them, GPT2_FUZZ_SEED=2 others.
 */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { News, Order } from "./child.js";

const SEED = Number(process.env["GPT2_FUZZ_SEED"] ?? 1);
const COUNT = Number(process.env["GPT2_FUZZ_COUNT"] ?? 10_000);
const [ONLY = "", ROUND] = (process.env["GPT2_FUZZ_ONLY"] ?? "").split(":");
/** A child that has not reached its next mutation after this many milliseconds hangs. */
const PATIENCE = 15_000;
const HANGS = "it hangs";
const MOST_FAILURES = 5;
/** MB of JavaScript objects; a child that needs more ends, which is a failure. */
const HEAP = 384;

type Summary = Extract<News, { loaded: number }>;

interface Report {
  readonly failures: string[];
  readonly outcomes: string[];
  summary: Summary | undefined;
}

/** Runs a child until it ends, however it does; returns the number of its last mutation. */
async function runChild(order: Order, report: Report): Promise<{ round: number; end: string | undefined }> {
  const child = fork(fileURLToPath(new URL("child.ts", import.meta.url)), [JSON.stringify(order)], {
    execArgv: ["--import", "tsx", `--max-old-space-size=${HEAP}`],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-3000);
  });
  child.on("message", (news: News) => {
    if ("failure" in news) report.failures.push(failureLine(order, news.round, news.failure));
    else if ("outcome" in news) report.outcomes.push(news.outcome);
    else report.summary = news;
    if (report.failures.length >= MOST_FAILURES) child.kill("SIGKILL");
  });
  const round = (): number => {
    try {
      return Number(readFileSync(join(order.folder, "round"), "utf8"));
    } catch {
      return order.from;
    }
  };
  let last = { round: -1, at: Date.now() };
  let hangs = false;
  const timer = setInterval(() => {
    if (round() !== last.round) last = { round: round(), at: Date.now() };
    else if (Date.now() - last.at > PATIENCE) {
      hangs = true;
      child.kill("SIGKILL");
    }
  }, 250);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on("error", reject).on("close", (...ended) => resolve(ended));
  });
  clearInterval(timer);
  const end = hangs ? HANGS : code === 0 ? undefined : `the process ended (${code ?? signal}): ${stderr}`;
  return { round: round(), end };
}

function failureLine({ target, seed, folder }: Order, round: number, what: string): string {
  const again = `GPT2_FUZZ_SEED=${seed} GPT2_FUZZ_ONLY=${target}:${round} node --import tsx --test test/faults/fuzz-files.test.ts`;
  return `${target}, mutation ${round}: ${what.replaceAll(folder, "...")}\n  again: ${again}`;
}

async function fuzz(target: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), `gpt2-fuzz-${target}-`));
  const isOne = ROUND !== undefined;
  const [first, end] = isOne ? [Number(ROUND), Number(ROUND) + 1] : [0, COUNT];
  const report: Report = { failures: [], outcomes: [], summary: undefined };
  let kept = false;
  let hung = 0;
  try {
    for (let from = first; from < end && report.failures.length < MOST_FAILURES; ) {
      const order: Order = { target, seed: SEED, from, to: end, folder, verbose: isOne };
      const child = await runChild(order, report);
      if (child.end === undefined) break;
      if (report.failures.length >= MOST_FAILURES) break; // it was ended for that
      report.failures.push(failureLine(order, child.round, child.end));
      if (child.end === HANGS && ++hung === 2) break; // each takes its time
      from = child.round + 1;
    }
    for (const outcome of report.outcomes) console.log(`${outcome}\nits files: ${folder}`);
    kept = isOne;
    assert.equal(report.failures.length, 0, `\n${report.failures.join("\n")}`);
    if (isOne) return;
    const { summary } = report;
    assert.ok(summary, "the child told nothing");
    const { loaded, refused, missed, slowest, largest } = summary;
    console.log(
      `${target}: ${loaded} loaded, ${refused} refused, slowest ${slowest.toFixed(0)} ms, largest ${(largest / 2 ** 20).toFixed(1)} MB`,
    );
    if (COUNT < 10_000) return;
    assert.deepEqual(missed, [], "no mutation was refused for this: the fuzzing does not go deep enough");
    assert.ok(loaded >= COUNT / 100 && refused >= COUNT / 10, `${loaded} loaded, ${refused} refused`);
  } finally {
    if (!kept) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Tests of some targets, two at a time. */
export function fuzzTargets(...targets: readonly string[]): void {
  describe("fuzzing", { concurrency: 2 }, () => {
    for (const target of targets) {
      const skip = ONLY !== "" && ONLY !== target;
      test(`${target}: ${COUNT} mutations load or are refused in one line`, { skip }, () => fuzz(target));
    }
  });
}
