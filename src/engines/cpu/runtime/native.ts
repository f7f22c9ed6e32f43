/**
 * The native kernels: an addon for this platform that does the hot functions over the WebAssembly program's own
 * memory. native/ has its source, prebuilds/ the files. Without it everything works the same, by WebAssembly's kernels.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { messageOf } from "../../../system/errors.js";
import { PACKAGE_ROOT } from "../../../system/package.js";

/** A function that a WebAssembly program imports: numbers in, a number or nothing out. Throws RangeError at a fault. */
export type NativeFunction = (...args: number[]) => number | undefined;

/** A set of kernels that this processor can run. */
export interface Native {
  /** Which: "avx512+vnni", "avx512", "avx2+vnni", "avx2" or "neon". */
  readonly description: string;
  /**
   * The kernels of one thread over one memory.
   * @param memory all of a shared WebAssembly memory; it may grow later
   * @param control address of the control words (assembly/threads.ts)
   */
  kernels(memory: Uint8Array, control: number, thread: number): Record<string, NativeFunction>;
}

/** Where the files are; prebuilds/sha256.json has their digests. */
const PREBUILDS = join(PACKAGE_ROOT, "prebuilds");

let loaded: Native | string | undefined;

/** The best kernels for this processor, or those that $GPT2_KERNELS names; or why there are none: one line. */
export function loadNative(): Native | string {
  try {
    loaded ??= choose(openAddon(PREBUILDS, `${process.platform}-${process.arch}`), process.env.GPT2_KERNELS);
  } catch (error) {
    loaded = messageOf(error);
  }
  return loaded;
}

/**
 * Loads a platform's file: every set of kernels that this processor can run, the best first.
 * @throws Error when there is no such file, or it is not the one that belongs to this package
 */
export function openAddon(folder: string, platform: string): Native[] {
  const file = join(folder, platform, "gpt2.node");
  // A file that has been cut would end the process when its missing pages are touched: nothing unknown is loaded.
  const digests = JSON.parse(readFileSync(join(folder, "sha256.json"), "utf8")) as Record<string, string>;
  const digest = digests[platform];
  if (digest === undefined) throw new Error(`there are no native kernels for ${platform}`);
  if (createHash("sha256").update(readFileSync(file)).digest("hex") !== digest)
    throw new Error(`${file} is not the file of this version: install gpt2 again`);
  const sets = createRequire(import.meta.url)(file) as Record<string, Native["kernels"]>;
  return Object.entries(sets).map(([description, kernels]) => ({ description, kernels }));
}

/** The first, or the first of a name: avx2 means avx2+vnni too, where that is there. */
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
