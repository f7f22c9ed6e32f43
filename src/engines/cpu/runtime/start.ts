import { option, UserError } from "../../../system/errors.js";
import { defaultThreads } from "./cpu-quota.js";
import { hasWasmFeatures } from "./features.js";
import { createMemory, Heap } from "./heap.js";
import { HEAP_START, Pool } from "./pool.js";
import { loadProgram, type ProgramExports, type ProgramName } from "./program.js";

/** How a program is started, for the CPU engine and the CPU trainer. */
export interface StartOptions {
  /** Default: defaultThreads(). */
  readonly threads?: number;
  /** Whether to use native kernels, which must have passed their trial (native-trial.ts); default: false. */
  readonly native?: boolean;
  /** Called with the number of parameters read so far. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
  /** For tests: the memory's limit, in pages of 64 KiB. */
  readonly maximumPages?: number;
  /** For tests: seconds to wait for a thread that does not answer. */
  readonly patience?: number;
}

/** A running program. */
export interface Started<Exports extends ProgramExports> {
  readonly heap: Heap;
  /** The caller stops it. */
  readonly pool: Pool<Exports>;
  readonly threads: number;
}

/**
 * Starts a program's threads over a memory of their own.
 * @param advice for the message when memory runs out, see Heap
 * @throws UserError when this Node cannot run it, or there is no memory or thread for it; RangeError for a wrong number
 *   of threads
 */
export async function startProgram<Exports extends ProgramExports>(
  name: ProgramName,
  { threads = defaultThreads(), native = false, maximumPages, patience }: StartOptions,
  advice?: string,
): Promise<Started<Exports>> {
  if (!Number.isInteger(threads) || threads < 1)
    throw new RangeError(`${threads} is not a number of threads`);
  if (!hasWasmFeatures()) {
    throw new UserError("this Node has no WebAssembly SIMD or threads", {
      next: `use ${option("backend", "tfjs")}`,
    });
  }
  const memory = createMemory(HEAP_START(threads), maximumPages);
  const program = await loadProgram(name, native);
  const pool = await Pool.start<Exports>({ program, threads, memory, patience });
  return { heap: new Heap(memory, HEAP_START(threads), advice), pool, threads };
}
