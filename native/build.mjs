/**
 * Builds prebuilds/<platform>-<arch>/gpt2.node for every platform, on x64 Linux, with the compiler that
 * native/package.json pins. The output is reproducible byte for byte. `--only linux-x64` builds one platform. `--check`
 * compares with what is there instead, and runs guard.c: kernels must not touch memory outside their arrays.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");
const zig = join(modules, "@ryoppippi", "zig-linux-x64", "zig");
const headers = join(modules, "node-api-headers");

const AVX2 = ["-mavx2", "-mfma", "-mf16c", "-mbmi2", "-mpopcnt"];
const AVX512 = [...AVX2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mevex512"];
/** Flags for the CRC-32C instruction. */
const CRC = { x64: ["-msse4.2"], arm64: ["-mcpu=generic+crc"] };
/** Sets of kernels, and the flags each is compiled with. */
const SETS = {
  x64: {
    avx2: [8, ...AVX2],
    avxvnni: [8, ...AVX2, "-mavxvnni"],
    avx512: [16, ...AVX512],
    avx512vnni: [16, ...AVX512, "-mavx512vnni"],
  },
  arm64: { neon: [8] },
};
const SYSTEMS = { linux: "linux-gnu.2.17", darwin: "macos.11.0", win32: "windows-gnu" };
const ARCHES = { x64: "x86_64", arm64: "aarch64" };
const FLAGS = [
  ...["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-fvisibility=hidden", "-g0"],
  ...[
    "-fno-stack-protector",
    "-fno-sanitize=all",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-psabi",
    "-Wno-missing-field-initializers",
    `-I${join(headers, "include")}`,
  ],
];

const run = promisify(execFile);
const options = process.argv.slice(2);
const only = options.includes("--only") ? options[options.indexOf("--only") + 1] : undefined;
const check = options.includes("--check");
const root = join(here, "..", "prebuilds");

/** Runs the jobs, one per core at a time. */
async function together(jobs) {
  const waiting = [...jobs];
  await Promise.all(
    Array.from({ length: availableParallelism() }, async () => {
      for (let job = waiting.shift(); job; job = waiting.shift()) await job();
    }),
  );
}

function compile(target, source, object, ...flags) {
  return run(zig, ["cc", "-target", target, ...FLAGS, ...flags, "-c", source, "-o", object], {
    cwd: here,
  }).catch(({ stderr }) => Promise.reject(new Error(`${source} for ${target}:\n${stderr}`)));
}

const digests = {};
/**
 * Links gpt2.node in a folder, without a C library: node has all that the addon needs, so one file serves glibc and musl.
 * (On macOS and Windows the file contains the name it was linked under.)
 */
async function link(platform, arch, files, cwd) {
  if (platform === "linux") {
    const emulation = { x64: "elf_x86_64", arm64: "aarch64linux" }[arch];
    return run(zig, ["ld.lld", "-m", emulation, "-shared", "-s", "-z", "now", ...files, "-o", "gpt2.node"], {
      cwd,
    });
  }
  if (platform === "darwin") {
    const target = `${ARCHES[arch]}-${SYSTEMS[platform]}`;
    const options = ["-shared", "-s", "-Wl,-undefined,dynamic_lookup"];
    return run(zig, ["cc", "-target", target, ...options, ...files, "-o", "gpt2.node"], { cwd });
  }
  const machine = { x64: "i386:x86-64", arm64: "arm64" }[arch];
  const definitions = join(headers, "def", "node_api.def");
  await run(zig, ["dlltool", "-m", machine, "-d", definitions, "-D", "node.exe", "-l", "node.lib"], { cwd });
  return run(zig, ["lld-link", "/dll", "/noentry", "/Brepro", "/out:gpt2.node", ...files, "node.lib"], {
    cwd,
  });
}

const work = await mkdtemp(join(tmpdir(), "gpt2-prebuild-"));
try {
  const builds = Object.keys(SYSTEMS)
    .flatMap((platform) =>
      Object.keys(ARCHES).map((arch) => ({ platform, arch, name: `${platform}-${arch}` })),
    )
    .filter(({ name }) => !only || name === only);
  if (builds.length === 0) throw new Error(`no platform ${only}`);
  const objects = new Map();
  const compiles = builds.flatMap(({ platform, arch, name }) => {
    const target = `${ARCHES[arch]}-${SYSTEMS[platform]}`;
    const sources = [
      ...["addon", "inference", "training", "cpu"].map((source) => [source, `${source}.c`]),
      ["crc", "crc.c", ...CRC[arch]],
      ["windows", "windows.c", "-fno-builtin"],
      ...Object.entries(SETS[arch]).map(([set, [lanes, ...flags]]) => [
        `kernels_${set}`,
        "kernels.c",
        ...flags,
        `-DLANES=${lanes}`,
        `-DKERNELS=kernels_${set}`,
      ]),
    ];
    return sources.map(([object, source, ...flags]) => {
      const file = join(work, `${name}-${object}.o`);
      objects.set(name, [...(objects.get(name) ?? []), file]);
      return () => compile(target, source, file, ...flags);
    });
  });
  await together(compiles);
  await together(
    builds.map(({ platform, arch, name }) => async () => {
      const folder = join(work, name);
      await mkdir(folder);
      await link(platform, arch, objects.get(name), folder);
      const built = await readFile(join(folder, "gpt2.node"));
      const file = join(root, name, "gpt2.node");
      digests[name] = createHash("sha256").update(built).digest("hex");
      if (check) {
        const kept = await readFile(file).catch(() => undefined);
        if (!kept?.equals(built)) throw new Error(`${file} is not what native/ makes: run npm run prebuild`);
      } else {
        await mkdir(dirname(file), { recursive: true });
        await writeFile(file, built);
      }
      console.log(`${name}: ${built.length} bytes`);
    }),
  );
  if (!check) await writeDigests();
  else if (objects.has("linux-x64")) await guard(objects.get("linux-x64"));
} finally {
  await rm(work, { recursive: true });
}

/** Runs guard.c with the kernels compiled for this machine. */
async function guard(compiled) {
  const target = `${ARCHES.x64}-${SYSTEMS.linux}`;
  const kernels = compiled.filter((file) => /-(cpu|kernels_\w+)\.o$/.test(file));
  const [object, program] = [join(work, "guard.o"), join(work, "guard")];
  await compile(target, "guard.c", object, "-std=gnu11");
  await run(zig, ["cc", "-target", target, object, ...kernels, "-o", program]);
  process.stdout.write((await run(program)).stdout);
}

/** The checksums by which src/system/addon.ts knows the files. */
async function writeDigests() {
  const file = join(root, "sha256.json");
  const known = only ? JSON.parse(await readFile(file, "utf8").catch(() => "{}")) : {};
  const all = Object.entries({ ...known, ...digests }).sort(([a], [b]) => (a < b ? -1 : 1));
  await writeFile(file, `${JSON.stringify(Object.fromEntries(all), undefined, 2)}\n`);
}
