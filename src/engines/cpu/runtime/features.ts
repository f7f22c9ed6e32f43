import { setFlagsFromString } from "node:v8";

/**
 * A module with everything the engine's programs need: a shared memory, and a function () -> v128 that is one
 * f32x4.relaxed_madd of zeros.
 */
const ZERO = [0xfd, 0x0c, ...new Array<number>(16).fill(0)]; // v128.const 0
const CODE = [0, ...ZERO, ...ZERO, ...ZERO, 0xfd, 0x85, 0x02, 0x0b];
const NEEDED = Uint8Array.from([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 5, 1, 0x60, 0, 1, 0x7b], // types: () -> v128
  ...[3, 2, 1, 0], // functions
  ...[5, 4, 1, 3, 1, 1], // a shared memory, 1 page at least and at most
  ...[10, CODE.length + 2, 1, CODE.length, ...CODE],
]);

const isValid = (): boolean =>
  typeof WebAssembly !== "undefined" &&
  typeof SharedArrayBuffer !== "undefined" &&
  WebAssembly.validate(NEEDED);

/**
 * Whether this Node's WebAssembly has what the engine needs: 128-bit vectors with relaxed SIMD, shared memory, and atomic
 * operations. Node 20 has relaxed SIMD, but only once its V8 (11) is told to; later ones always do. Call it before
 * compiling a module.
 */
export function hasWasmFeatures(): boolean {
  if (isValid()) return true;
  if (!process.versions.v8?.startsWith("11.")) return false;
  setFlagsFromString("--experimental-wasm-relaxed-simd");
  return isValid();
}
