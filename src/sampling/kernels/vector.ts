import { readFileSync } from "node:fs";
import { EXP, EXP_FLOAT } from "../../system/exact-math.js";
import { BINS, type Kernels } from "./kernels.js";

/** What is exported as a global: the arrays' byte offsets, and the numbers. */
type Global = "CONSTANTS" | keyof Omit<Kernels, Pass>;
type Pass = {
  [K in keyof Kernels]: Kernels[K] extends (...args: never[]) => unknown ? K : never;
}[keyof Kernels];

/** The exports of assembly/sampling/. */
type Exports = Record<Global, { readonly value: number }> &
  Pick<Kernels, Pass> & {
    readonly memory: WebAssembly.Memory;
    reserve(n_vocab: number, bins: number): void;
  };

let compiled: WebAssembly.Module | undefined;

/** The kernels in WebAssembly. @throws WebAssembly.CompileError where this Node has no SIMD */
export function vectorKernels(n_vocab: number): Kernels {
  compiled ??= new WebAssembly.Module(readFileSync(new URL("kernels.wasm", import.meta.url)));
  const exports = new WebAssembly.Instance(compiled, {}).exports as unknown as Exports;
  exports.reserve(n_vocab, BINS);
  const { buffer } = exports.memory;
  const at = (name: Global): number => exports[name].value;
  new Float64Array(buffer, at("CONSTANTS"), 2 * EXP.length).set(EXP.flatMap((value) => [value, value]));
  new Float32Array(buffer, at("CONSTANTS") + 16 * EXP.length, 4 * EXP_FLOAT.length).set(
    EXP_FLOAT.flatMap((value) => [value, value, value, value]),
  );
  const { argmax, widen, keepAll, keepLargest, keepAbove, weigh, findHeavy, keepPlaces, measure } = exports;
  const { findBin, countNear, keepNear, walk, drawRoughly, sumOfExp, sumOfRest, rankOf } = exports;
  return {
    logits: new Float32Array(buffer, at("logits"), n_vocab),
    adjusted: new Float64Array(buffer, at("adjusted"), n_vocab),
    kept: new Float64Array(buffer, at("kept"), n_vocab),
    ids: new Uint32Array(buffer, at("ids"), n_vocab),
    weights: new Float64Array(buffer, at("weights"), n_vocab),
    exponents: new Float64Array(buffer, at("exponents"), n_vocab),
    places: new Uint32Array(buffer, at("places"), n_vocab),
    bins: new Float64Array(buffer, at("bins"), BINS),
    get total() {
      return at("total");
    },
    get moment() {
      return at("moment");
    },
    get lowest() {
      return at("lowest");
    },
    get rest() {
      return at("rest");
    },
    get error() {
      return at("error");
    },
    get restMoment() {
      return at("restMoment");
    },
    get momentError() {
      return at("momentError");
    },
    ...{ argmax, widen, keepAll, keepLargest, keepAbove, weigh, findHeavy, keepPlaces, measure },
    ...{ findBin, countNear, keepNear, walk, drawRoughly, sumOfExp, sumOfRest, rankOf },
  };
}
