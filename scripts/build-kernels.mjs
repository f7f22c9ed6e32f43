// Compiles assembly/ to WebAssembly: the programs that run and train a model, each with the kernels that it imports
// when there are no native ones.
import { mkdirSync } from "node:fs";
import asc from "assemblyscript/asc";

const FOLDER = "dist/src/engines/cpu/runtime";
const MEMORY_PAGES = 65535; // LIMIT_PAGES of src/engines/cpu/runtime/heap.ts, which says why

mkdirSync(FOLDER, { recursive: true });
for (const [entry, out] of [
  ["inference/index", "gpt2"],
  ["inference/kernels", "gpt2-kernels"],
  ["training/index", "train"],
  ["training/kernels", "train-kernels"],
])
  await compile(`assembly/${entry}.ts`, `${FOLDER}/${out}.wasm`, [
    ...["--enable", "simd,threads,relaxed-simd"],
    ...["--importMemory", "--sharedMemory", "--initialMemory", "1", "--maximumMemory", String(MEMORY_PAGES)],
  ]);
// What drawing does to a whole vocabulary (src/sampling/kernels/): no threads, its own memory.
mkdirSync("dist/src/sampling/kernels", { recursive: true });
await compile("assembly/sampling/index.ts", "dist/src/sampling/kernels/kernels.wasm", [
  ...["--enable", "simd", "--initialMemory", "1"],
]);
// The vocabulary reader (src/encoder/scan.ts): no threads, no SIMD, its own memory.
await compile("assembly/vocabulary/index.ts", "dist/src/encoder/scan.wasm", ["--initialMemory", "1"]);

async function compile(entry, out, options) {
  const { error, stderr } = await asc.main([
    entry,
    ...["-o", out, "-O3", "--converge", "--noAssert", "--runtime", "stub", "--use", "abort="],
    ...options,
  ]);
  if (error) {
    console.error(stderr.toString());
    process.exit(1);
  }
}
