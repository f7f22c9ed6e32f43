/** Below this are the program's own globals. The constants of exp.ts come first; src/sampling/kernels/vector.ts puts them there. */
export const CONSTANTS: usize = 0x1000;

/** The last vectors may reach beyond the values by so many. */
export const PAD: usize = 16;

const CONSTANTS_LENGTH: usize = 0x400;

export function constantsEnd(): usize {
  return CONSTANTS + CONSTANTS_LENGTH;
}
