import type { Kernels } from "./kernels.js";
import { PlainKernels } from "./plain.js";
import { vectorKernels } from "./vector.js";

const SMALLEST = 1024;
let current: Kernels | undefined;

/** The kernels with room for n_vocab tokens. What lies there is anyone's: it is valid until something else is drawn. */
export function kernelsFor(n_vocab: number): Kernels {
  if (current && current.logits.length >= n_vocab) return current;
  current = create(Math.max(n_vocab, SMALLEST));
  return current;
}

function create(n_vocab: number): Kernels {
  // Node started with --jitless, or on a processor without vectors: slower, the same bits.
  if (typeof WebAssembly === "undefined") return new PlainKernels(n_vocab);
  try {
    return vectorKernels(n_vocab);
  } catch (error) {
    if ((error as Error).name === "CompileError") return new PlainKernels(n_vocab);
    throw error;
  }
}
