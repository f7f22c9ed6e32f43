/** Where the constants of exp.ts lie; src/sampling/kernels/vector.ts writes them. Below are the program's own globals. */
export const CONSTANTS: usize = 0x1000;

/** How many values the last vectors may reach beyond the end. */
export const PAD: usize = 16;

const CONSTANTS_LENGTH: usize = 0x400;

/** Where the arrays begin, each with room for n_vocab values and PAD more. */
export let logits: usize = 0; // float32
export let adjusted: usize = 0; // float64
export let weights: usize = 0; // float64
export let exponents: usize = 0; // float64
export let ids: usize = 0; // uint32
export let places: usize = 0; // uint32
export let bins: usize = 0; // float64 [n_bins]
export let kept: usize = 0; // float64
export let heap: usize = 0; // float64

/** Where values are read, as Source of src/sampling/kernels/kernels.ts. */
export namespace Source {
  export const LOGITS: i32 = 0;
  export const ADJUSTED: i32 = 1;
}

function room(from: usize, length: usize): usize {
  return (from + length + 15) & ~15;
}

/** Lays the arrays out, once. */
export function reserve(n_vocab: i32, n_bins: i32): void {
  const length = <usize>n_vocab + PAD;
  logits = CONSTANTS + CONSTANTS_LENGTH;
  adjusted = room(logits, length << 2);
  weights = room(adjusted, length << 3);
  exponents = room(weights, length << 3);
  kept = room(exponents, length << 3);
  heap = room(kept, length << 3);
  ids = room(heap, length << 3);
  places = room(ids, length << 2);
  bins = room(places, length << 2);
  const end = room(bins, <usize>n_bins << 3);
  const pages = <i32>((end + 0xffff) >>> 16) - memory.size();
  if (pages > 0 && memory.grow(pages) < 0) unreachable();
}

/** Where the i-th value of an array lies. */
// @ts-ignore: decorator
@inline
export function at<T>(array: usize, i: i32): usize {
  return array + <usize>i * sizeof<T>();
}

/** Puts a value behind n others, as often as a vector may reach beyond them. */
// @ts-ignore: decorator
@inline
export function pad<T>(x: usize, n: i32, value: T): void {
  for (let i = 0; i < <i32>PAD; i++) store<T>(at<T>(x, n + i), value);
}

/** The float64 values of a source that is not LOGITS. */
export function wide(source: i32): usize {
  return source == Source.ADJUSTED ? adjusted : kept;
}
