import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

/** The project's folder, the built program in it, and a checkpoint of random weights: n_ctx 64, n_vocab 400. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const BIN = join(ROOT, "bin", "gpt2.js");
export const MICRO = join(ROOT, "test", "fixtures", "micro");

/** A folder of this test file's own, gone when its tests are over. A user's own models lie elsewhere. */
export const TEMPORARY = mkdtempSync(join(tmpdir(), "gpt2-cli-"));
after(() => rmSync(TEMPORARY, { recursive: true, force: true, maxRetries: 3 }));

/** What a program left behind. */
export interface Outcome {
  readonly stdout: string;
  readonly bytes: Buffer;
  readonly stderr: string;
  /** The exit code; null where a signal ended the program. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface SpawnOptions {
  /** Standard input; undefined: empty. "open": nothing comes and it does not end. */
  readonly stdin?: string | Uint8Array | "open";
  /** Added to a bare environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** After this many seconds the program is killed and the test fails. */
  readonly limit?: number;
}

/** The environment without anything that could change what gpt2 does, at home in TEMPORARY. */
function bareEnvironment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env };
  for (const name of Object.keys(env)) {
    if (
      /^(GPT2_|NODE_|XDG_|HF_|HUGGING|TF_|DEBUG$|NO_COLOR$|FORCE_COLOR$|(https?|no|all)_proxy$)/i.test(name)
    )
      delete env[name];
  }
  const home = join(TEMPORARY, "home");
  return {
    ...env,
    HOME: home,
    USERPROFILE: home,
    APPDATA: home,
    LOCALAPPDATA: home,
    XDG_CACHE_HOME: join(home, "cache"),
  };
}

/** A program that runs. */
export class Running {
  stdout = "";
  stderr = "";
  /** Settles when the program has ended and its output was read. */
  readonly ended: Promise<Outcome>;
  private wake: () => void = () => {};

  constructor(
    readonly child: ChildProcess,
    command: string,
    limit: number,
  ) {
    const chunks: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      this.stdout = Buffer.concat(chunks).toString();
      this.wake();
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.wake();
    });
    this.ended = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        child.kill("SIGKILL");
        reject(new Error(`not over after ${limit} s: ${command}\n${this.stdout}\n${this.stderr}`));
      }, limit * 1000);
      child.on("error", reject);
      child.on("close", (code, signal) => {
        clearTimeout(timer);
        const bytes = Buffer.concat(chunks);
        resolve({ stdout: bytes.toString(), bytes, stderr: this.stderr, code, signal });
        this.wake();
      });
    });
    this.ended.catch(() => {}); // whoever waits for it learns of it
  }

  /** Waits until stdout (or stderr) matches; fails if the program ends before. */
  async until(
    wanted: RegExp | ((text: string) => boolean),
    stream: "stdout" | "stderr" = "stdout",
  ): Promise<void> {
    const matches = typeof wanted === "function" ? wanted : (text: string) => wanted.test(text);
    let isOver = false;
    const over = this.ended.then(
      () => {
        isOver = true;
      },
      (error) => {
        isOver = true;
        throw error;
      },
    );
    while (!matches(this[stream])) {
      assert.ok(!isOver, `it ended before ${wanted} came:\n${this.stdout}\n${this.stderr}`);
      await Promise.race([over, new Promise<void>((resolve) => (this.wake = resolve))]);
    }
  }
}

/** Starts any program with the bare environment. */
export function start(command: string, args: readonly string[], options: SpawnOptions = {}): Running {
  const { stdin, env, cwd = ROOT, limit = 60 } = options;
  const merged: NodeJS.ProcessEnv = { ...bareEnvironment(), ...env };
  for (const [name, value] of Object.entries(merged)) if (value === undefined) delete merged[name];
  const child = spawn(command, args, { cwd, env: merged });
  child.stdin.on("error", () => {}); // it may end without having read all
  if (stdin !== "open") child.stdin.end(stdin ?? "");
  return new Running(child, [command, ...args].join(" ").slice(0, 500), limit);
}

/** Starts `gpt2` as it was built. */
export function startGpt2(args: readonly string[], options: SpawnOptions = {}): Running {
  return start(process.execPath, [BIN, ...args], options);
}

/** Runs `gpt2` to its end. */
export function gpt2(args: readonly string[], options: SpawnOptions = {}): Promise<Outcome> {
  return startGpt2(args, options).ended;
}

/** Runs a line of the POSIX shell in which `gpt2` is the built program and $MICRO its model. */
export function shell(line: string, options: SpawnOptions = {}): Promise<Outcome> {
  const env = { ...options.env, NODE: process.execPath, BIN, MICRO };
  return start("sh", ["-c", `gpt2() { "$NODE" "$BIN" "$@"; }\n${line}`], { ...options, env }).ended;
}

/** Options of the micro model. */
export const micro = (...rest: string[]): string[] => ["--model_name", MICRO, ...rest];

/** It succeeded. */
export function assertDone(outcome: Outcome): void {
  assert.deepEqual([outcome.code, outcome.signal], [0, null], outcome.stderr);
}

/** It failed with one line on stderr that begins with `gpt2: ` and matches, and wrote nothing to stdout. */
export function assertFails(outcome: Outcome, code: number, ...patterns: RegExp[]): void {
  const { stderr, stdout } = outcome;
  assert.equal(outcome.code, code, stderr);
  assert.match(stderr, /^gpt2: [^\n]+\n$/, "not one line");
  assert.doesNotMatch(stderr, /undefined|\[object|unexpected error|^ +at /m);
  for (const pattern of patterns) assert.match(stderr, pattern);
  assert.equal(stdout, "");
}

/** A line of --format jsonl. */
export interface JsonLine {
  readonly sample: number;
  readonly seed: number;
  readonly prompt: string;
  readonly text: string;
  readonly tokens: number;
  readonly finish_reason: string;
}

export function parseLines(stdout: string): JsonLine[] {
  assert.ok(stdout === "" || stdout.endsWith("\n"), "the last line is not whole");
  return stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as JsonLine);
}

/** Why a test cannot run here; false if it can. */
export const NO_SHELL = process.platform === "win32" ? "needs a POSIX shell and signals" : false;
