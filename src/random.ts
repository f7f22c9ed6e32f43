/**
 * Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). A number is a pure function of its key and counter, so a sample's text does not depend on which other
 * samples are drawn with it, nor on their order.
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;
const ROUNDS = 10;

/** High 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = aLow * bLow;
  const middle = aHigh * bLow + (low >>> 16); // below 2^32
  const cross = aLow * bHigh + (middle & 0xffff); // below 2^32
  return (aHigh * bHigh + (middle >>> 16) + (cross >>> 16)) >>> 0;
}

/**
 * One block of Philox 4x32-10.
 * @param counter four unsigned 32-bit words, low word first
 * @param key two unsigned 32-bit words, low word first
 * @returns four random 32-bit words
 */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = mulHigh(M0, c0);
    const low0 = Math.imul(M0, c0) >>> 0;
    const high1 = mulHigh(M1, c2);
    const low1 = Math.imul(M1, c2) >>> 0;
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The number in [0, 1) made of two random 32-bit words: the high 27 bits of one, then 26 of the other. */
export function fraction(a: number, b: number): number {
  return ((a >>> 5) * 2 ** 26 + (b >>> 6)) / 2 ** 53;
}

const low32 = (n: number): number => n >>> 0;
const high32 = (n: number): number => Math.floor(n / 2 ** 32) >>> 0;

/**
 * The uniform random number in [0, 1) for one token: 53 bits of Philox with key = seed and
 * counter = (token, sample).
 * @param seed 0 to 2^53 - 1
 * @param sample the sample's number, counted from 0
 * @param token the token's place among the sample's new tokens, counted from 0
 */
export function uniform(seed: number, sample: number, token: number): number {
  const [a, b] = philox4x32(
    [low32(token), high32(token), low32(sample), high32(sample)],
    [low32(seed), high32(seed)],
  );
  return fraction(a, b);
}

/** The largest seed: the largest whole number that a double holds exactly with all its neighbours. */
export const MAX_SEED = Number.MAX_SAFE_INTEGER;

/** A seed that differs from run to run; short, so that it is easy to retype. */
export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}
