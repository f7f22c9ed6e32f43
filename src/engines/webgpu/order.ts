/**
 * The order of a product's inputs in the GPU's memory.
 *
 * A product's sum over k is cut into slices, one per thread: thread t adds the inputs k = t * chunk .. t * chunk +
 * chunk - 1, in that order; the slices' sums are then added in one fixed order. So that neighbouring threads read
 * neighbouring numbers, input k lies at (k % chunk) * slices + floor(k / chunk). Places without an input hold 0.
 */
export interface Order {
  /** Inputs. */
  readonly n: number;
  /** Threads that share a sum, a multiple of 8. */
  readonly slices: number;
  /** Inputs per thread. */
  readonly chunk: number;
  /** slices * chunk, at least n. */
  readonly size: number;
}

/** The fewest inputs worth a thread. */
const CHUNK = 8;

/**
 * The order for n inputs, with as many threads as have enough work and as little padding as possible.
 * @param most threads that may share a sum, a multiple of 8
 */
export function orderOf(n: number, most: number): Order {
  const step = n >= 256 && most >= 32 ? 32 : 8;
  let best: Order | undefined;
  for (let slices = step; slices <= most; slices += step) {
    const chunk = Math.ceil(n / slices);
    if (chunk < CHUNK && best) break;
    if (!best || slices * chunk <= best.size) best = { n, slices, chunk, size: slices * chunk };
  }
  if (!best) throw new RangeError(`${most} threads cannot share a sum`);
  return best;
}

/** The place of input k. */
export function placeOf(k: number, { slices, chunk }: Order): number {
  return (k % chunk) * slices + Math.floor(k / chunk);
}

/** Values in this order, with 0 in places without an input. [n] -> [size] */
export function ordered(values: Float32Array, order: Order): Float32Array {
  const result = new Float32Array(order.size);
  for (let k = 0; k < order.n; k++) result[placeOf(k, order)] = values[k];
  return result;
}
