import { setFlagsFromString } from "node:v8";

/**
 * V8's optimizing compiler can join two neighbouring vectors of four values into one of eight where the processor
 * has AVX2 (x64). It is an experiment of V8's, and so it is asked for only in the versions that were tried, those
 * of Node 24, 25 and 26 (in Node 22 it does nothing), for one module alone; what comes out is checked before it is
 * used.
 */
const TRIED = ["13.6.", "14.1.", "14.6."];
/**
 * The whole module by the optimizing compiler, now: then the flags can be taken back at once. Without inlining:
 * Node 25 ends with "Check failed" where it looks for what the other compiler would have noted for it.
 */
const FLAGS = [
  "--experimental-wasm-revectorize",
  "--no-liftoff",
  "--no-wasm-lazy-compilation",
  "--no-wasm-inlining",
];
const BACK = [
  "--no-experimental-wasm-revectorize",
  "--liftoff",
  "--wasm-lazy-compilation",
  "--wasm-inlining",
];

/** Whether this Node may join vectors. */
export function canWiden(): boolean {
  return process.arch === "x64" && TRIED.some((version) => process.versions.v8?.startsWith(version));
}

/**
 * Compiles a module with vectors joined. For a canWiden() Node; it takes some 0.1 s.
 * @throws WebAssembly.CompileError
 */
export function compileWide(program: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  for (const flag of FLAGS) setFlagsFromString(flag);
  try {
    return new WebAssembly.Module(program);
  } finally {
    for (const flag of BACK) setFlagsFromString(flag);
  }
}
