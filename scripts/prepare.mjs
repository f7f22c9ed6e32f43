// npm runs this after `npm ci` and `npm install` in a clone, and before `npm pack`: builds the program.
// `npm install -g .` in a fresh clone runs it with nothing installed; then it installs what the build needs first.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

/** Runs npm in this folder, without a global install's settings; ends with its exit code if it fails. */
function npm(...args) {
  const env = { ...process.env, GPT2_PREPARING: "1" };
  for (const name of ["npm_config_global", "npm_config_prefix", "npm_config_location", "npm_config_omit"]) {
    delete env[name];
  }
  const { status } = spawnSync("npm", args, { stdio: "inherit", env, shell: process.platform === "win32" });
  if (status !== 0) process.exit(status ?? 1);
}

if (process.env.GPT2_PREPARING) {
  // called again by the `npm ci` below, whose caller builds
} else if (existsSync("node_modules/typescript")) {
  npm("run", "build");
} else if (existsSync("dist/src/cli/main.js")) {
  console.log("gpt2 is built already; without the development packages it is left as it is");
} else {
  npm("ci", "--include=dev");
  npm("run", "build");
}
