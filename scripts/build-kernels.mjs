// Compiles assembly/ to WebAssembly, the engine and the trainer: each once in plain SIMD, whose results are the
// same on every machine, and once with relaxed SIMD, which is faster.
import { mkdirSync } from "node:fs";
import asc from "assemblyscript/asc";

const FOLDER = "dist/src/engines/cpu/runtime";
const MEMORY_PAGES = 65535; // LIMIT_PAGES of src/engines/cpu/runtime/heap.ts, which says why

const PLAIN = ["simd", "threads"];
const RELAXED = [...PLAIN, "relaxed-simd"];
const BUILDS = [
  { entry: "assembly/inference/index.ts", out: "gpt2.wasm", features: PLAIN },
  { entry: "assembly/inference/index.ts", out: "gpt2-relaxed.wasm", features: RELAXED },
  { entry: "assembly/training/index.ts", out: "train.wasm", features: PLAIN },
  { entry: "assembly/training/index.ts", out: "train-relaxed.wasm", features: RELAXED },
  { entry: "assembly/training/index.ts", out: "train-wide.wasm", features: RELAXED, wide: 1 },
];

mkdirSync(FOLDER, { recursive: true });
for (const { entry, out, features, wide = 0 } of BUILDS) {
  const { error, stderr } = await asc.main([
    entry,
    ...["-o", `${FOLDER}/${out}`],
    ...["--enable", features.join(",")],
    ...["-O3", "--converge", "--noAssert"],
    ...["--runtime", "stub", "--use", "abort=", "--use", `WIDE=${wide}`],
    ...["--importMemory", "--sharedMemory", "--initialMemory", "1", "--maximumMemory", String(MEMORY_PAGES)],
  ]);
  if (error) {
    console.error(stderr.toString());
    process.exit(1);
  }
}

// The reader of vocabularies (src/encoder/scan.ts): no threads and no SIMD, memory of its own.
const { error, stderr } = await asc.main([
  "assembly/vocabulary/index.ts",
  ...["-o", "dist/src/encoder/scan.wasm"],
  ...["-O3", "--converge", "--noAssert", "--runtime", "stub", "--use", "abort=", "--initialMemory", "1"],
]);
if (error) {
  console.error(stderr.toString());
  process.exit(1);
}
