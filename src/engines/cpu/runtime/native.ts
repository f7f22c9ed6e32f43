/** The native kernels: the addon's functions over the WebAssembly program's own memory. */
import { type Addon, loadAddon } from "../../../system/addon.js";
import { messageOf } from "../../../system/errors.js";

/** A function that a WebAssembly program imports: numbers in, a number or nothing out. Throws RangeError on a fault. */
export type NativeFunction = (...args: number[]) => number | undefined;

/** A set of kernels that this processor can run. */
export interface Native {
  /** Its name: "avx512+vnni", "avx512", "avx2+vnni", "avx2" or "neon". */
  readonly description: string;
  /**
   * One thread's kernels over one memory.
   * @param memory all of a shared WebAssembly memory; it may grow later
   * @param control address of the control words (assembly/threads.ts)
   */
  kernels(memory: Uint8Array, control: number, thread: number): Record<string, NativeFunction>;
}

/** The best kernels for this processor, or those $GPT2_KERNELS names; or why there are none, in one line. */
export function loadNative(): Native | string {
  const addon = loadAddon();
  if (typeof addon === "string") return addon;
  try {
    return choose(kernelSets(addon), process.env.GPT2_KERNELS);
  } catch (error) {
    return messageOf(error);
  }
}

/** Every set of kernels that this processor can run, best first. */
export function kernelSets({ kernels }: Addon): Native[] {
  const sets = Object.entries(kernels) as [string, Native["kernels"]][];
  return sets.map(([description, kernels]) => ({ description, kernels }));
}

/** The first, or the first of a name: avx2 also means avx2+vnni, where available. */
function choose(sets: readonly Native[], name: string | undefined): Native {
  const native = name
    ? (sets.find(({ description }) => description === name) ??
      sets.find(({ description }) => description.startsWith(`${name}+`)))
    : sets[0];
  if (native) return native;
  const here = sets.map(({ description }) => description).join(", ") || "none";
  throw new Error(
    name
      ? `no kernels ${name} here ($GPT2_KERNELS); there are: ${here}`
      : "this processor has no AVX2 with FMA",
  );
}
