// Tries the built program on every Node that package.json claims: the types, the tests and README's first command.
//   npm run test:nodes [-- [NODE...] [FILE...]]     npm run test:nodes -- 22 26 test/random.test.ts
// Each Node comes from npm and is installed in a temporary folder outside the project, which is removed at the end.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ALL = ["20", "22", "24", "26"];
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const words = process.argv.slice(2);
const files = words.filter((word) => !/^\d+$/.test(word));
const versions = words.filter((word) => /^\d+$/.test(word));

/** Installs a version of Node from npm. @returns the path of its executable */
function install(version, folder) {
  const args = [
    "install",
    "--prefix",
    folder,
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    `node@${version}`,
  ];
  const { status } = spawnSync("npm", args, {
    stdio: ["ignore", "ignore", "inherit"],
    shell: process.platform === "win32",
  });
  const names = ["node", "node.exe"].map((name) => join(folder, "node_modules", "node", "bin", name));
  const node = names.find((path) => existsSync(path));
  if (status !== 0 || !node) throw new Error(`npm could not install node@${version}`);
  return node;
}

/** The arguments of the first command in README: those of `$ npx gpt2 ...`. */
function firstCommand() {
  const line = /^\$ npx gpt2 (.+)$/m.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1];
  if (!line) throw new Error("README.md shows no `$ npx gpt2` command");
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare);
}

const folder = mkdtempSync(join(tmpdir(), "gpt2-nodes-"));
const failed = [];
let expected;
try {
  for (const version of versions.length > 0 ? versions : ALL) {
    const node = install(version, join(folder, version));
    const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env["PATH"]}` };
    const run = (what, args, stdout = "inherit") => {
      const { status, stdout: text } = spawnSync(node, args, {
        cwd: root,
        env,
        stdio: ["ignore", stdout, "inherit"],
      });
      if (status !== 0) failed.push(`${what} on Node ${version}`);
      return text?.toString();
    };
    run("node", ["--version"]);
    run("types", ["node_modules/typescript/bin/tsc", "-p", "test"]);
    run("tests", ["scripts/test.mjs", ...files]);
    const text = run("README's first command", ["bin/gpt2.js", ...firstCommand()], "pipe");
    expected ??= text;
    if (text !== expected) failed.push(`the same text on Node ${version}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(failed.length === 0 ? "every Node passed" : `failed: ${failed.join(", ")}`);
process.exitCode = failed.length === 0 ? 0 : 1;
