import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

/** The folder of the small scripts that are loaded into the built program. */
const SCRIPTS = import.meta.dirname;

/** The environment that loads one of them. */
export function loading(script: string): { NODE_OPTIONS: string } {
  return { NODE_OPTIONS: `--import=${pathToFileURL(join(SCRIPTS, script)).href}` };
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** A folder's files, each with its sha256; folders in it as `name/`. */
export function contents(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder)
      .sort()
      .map((name) => {
        const path = join(folder, name);
        return lstatSync(path).isDirectory() ? [`${name}/`, ""] : [name, sha256(readFileSync(path))];
      }),
  );
}

/** The seed of everything here that is drawn by chance; another one: FAULTS_SEED=2 npm run test:faults. */
export const SEED = process.env["FAULTS_SEED"] ?? "1";

/** Numbers in [0, 1) that are the same in each run with one SEED: what they are for is their name. */
export function chance(name: string): () => number {
  let count = 0;
  return () => createHash("sha256").update(`${SEED} ${name} ${count++}`).digest().readUInt32LE(0) / 2 ** 32;
}

/** It ended well, or with exactly one line of its own, `gpt2: ...`, as its last, and the exit code 1 or 130. */
export function assertPlainEnd(outcome: { code: number | null; stderr: string; stdout: string }): void {
  const { code, stderr } = outcome;
  assert.doesNotMatch(stderr, /^ +at |undefined|\[object|unexpected error|Error:/m);
  const lines = stderr.split("\n").slice(0, -1);
  const own = lines.filter((line) => line.startsWith("gpt2: "));
  assert.equal(own.length, code === 0 ? 0 : 1, `exit code ${code}: ${stderr}`);
  if (code === 0) return;
  assert.equal(lines.at(-1), own[0], stderr);
  assert.ok(code === 1 || code === 130, `exit code ${code}: ${stderr}`);
}

/** Waits for something to be so, half a minute at most. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  const last = performance.now() + 30_000;
  while (!isSo()) {
    assert.ok(performance.now() < last, `waited in vain: ${what}`);
    await sleep(5);
  }
}
