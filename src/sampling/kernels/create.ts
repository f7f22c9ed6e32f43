import type { Kernels } from "./kernels.js";
import { PlainKernels } from "./plain.js";
import { vectorKernels } from "./vector.js";

const SMALLEST = 1024;
let current: Kernels | undefined;

/** The kernels with room for n_vocab tokens. Their arrays are shared: they are valid until the next draw. */
export function kernelsFor(n_vocab: number): Kernels {
  if (current && current.logits.length >= n_vocab) return current;
  current = create(Math.max(n_vocab, SMALLEST));
  return current;
}

function create(n_vocab: number): Kernels {
  // With node --jitless, or on a processor without SIMD: slower, the same bits.
  if (typeof WebAssembly === "undefined") return new PlainKernels(n_vocab);
  try {
    return vectorKernels(n_vocab);
  } catch (error) {
    if ((error as Error).name === "CompileError") return new PlainKernels(n_vocab);
    throw error;
  }
}
