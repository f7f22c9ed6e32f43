// Checks the package as npm would publish it, without building it: publint and are-the-types-wrong. Part of lint.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs a command; if it fails, shows its output and ends with its exit code. */
function run(command, args, env = {}) {
  const shell = process.platform === "win32";
  const { status, stdout, stderr } = spawnSync(command, args, { env: { ...process.env, ...env }, shell });
  if (status === 0) return;
  process.stderr.write(`${stdout}${stderr}`);
  process.exitCode = status ?? 1;
}

const folder = mkdtempSync(join(tmpdir(), "gpt2-package-"));
try {
  run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder]);
  const [tarball] = readdirSync(folder);
  // The package is ESM only: require() of it works in Node 20.19 and newer, and nowhere else.
  if (tarball) run("npx", ["attw", join(folder, tarball), "--profile", "esm-only"]);
  if (tarball) run("npx", ["publint", join(folder, tarball), "--strict"]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
