import { readProgram } from "./pool.js";
import { enableRelaxedSimd } from "./support.js";
import { isWideFaster, type Trial } from "./trial.js";
import { canWiden, compileWide } from "./widen.js";

/** A program in its builds, and how its wide kernels are tried. */
export interface Builds {
  readonly plain: string;
  readonly relaxed: string;
  /** The build with wide kernels alone, where that is another one than `relaxed`. */
  readonly wide?: string;
  readonly tryKernels: (module: WebAssembly.Module) => Trial;
}

export interface ProgramOptions {
  /** Fused multiply-add, and eight values at a time, where this Node has them. */
  readonly fastMath: boolean;
  /** Default: canWiden(). */
  readonly widen?: boolean;
  /** Default: whether the wide kernels are faster here. */
  readonly wide?: boolean;
}

/**
 * What the threads run, and whether it should use its wide kernels. Which of them is chosen changes the speed
 * alone, but for fused multiply-add.
 */
export async function chooseProgram(
  { plain, relaxed, wide: wideBuild = relaxed, tryKernels }: Builds,
  { fastMath, widen = canWiden(), wide }: ProgramOptions,
): Promise<{ program: string | WebAssembly.Module; wide: boolean }> {
  if (!fastMath || !enableRelaxedSimd()) return { program: plain, wide: wide ?? false };
  if (widen) {
    const program = compileWide(await readProgram(wideBuild));
    const trial = tryKernels(program);
    if (trial.right && (wide ?? isWideFaster(trial))) return { program, wide: true };
  }
  return wide ? { program: wideBuild, wide } : { program: relaxed, wide: false };
}
