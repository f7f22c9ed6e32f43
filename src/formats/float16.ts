/** The least magnitude that rounds to infinity in float16: halfway between 65504, its largest, and 65536. */
export const FLOAT16_OVERFLOW = 65520;

/** Value of every float16, by its 16 bits; made when first needed. */
let decoded: Float32Array | undefined;

function decodeTable(): Float32Array {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    let value: number;
    if (exponent === 31) value = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
    else if (exponent === 0) value = fraction * 2 ** -24;
    else value = (1024 + fraction) * 2 ** (exponent - 25);
    table[bits] = sign * value;
  }
  return table;
}

/** Turns float16 values (their bits) into float32, exactly: target[i] is the value of source[i]. */
export function decodeFloat16(source: Uint16Array, target: Float32Array): void {
  decoded ??= decodeTable();
  const table = decoded;
  for (let i = 0; i < source.length; i++) target[i] = table[source[i]];
}

/**
 * Rounds float32 values to the nearest float16, a tie to the even one (IEEE 754): target[i] becomes the bits
 * of source[i].
 * @returns the index of the first value too large for float16 (infinity included), or -1; target is then
 *   complete up to that index only
 */
export function encodeFloat16(source: Float32Array, target: Uint16Array): number {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  const sum = new Float32Array(1);
  const sumBits = new Uint32Array(sum.buffer);
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i] >>> 16) & 0x8000;
    const magnitude = bits[i] & 0x7fffffff;
    if (magnitude >= 0x38800000) {
      if (magnitude >= 0x477ff000) {
        if (magnitude <= 0x7f800000) return i;
        target[i] = sign | 0x7e00; // not a number
        continue;
      }
      // The exponent's bias goes from 127 to 15 and 13 bits of the fraction go; a carry runs into the exponent.
      const rebiased = magnitude - (112 << 23);
      target[i] = sign | ((rebiased + 0x0fff + ((rebiased >>> 13) & 1)) >>> 13);
    } else {
      // Below 2^-14 float16 counts in steps of 2^-24, which is what a float32 between 0.5 and 1 can hold:
      // adding 0.5 rounds as wanted, and leaves the number of steps in the lowest bits.
      sum[0] = Math.abs(source[i]) + 0.5;
      target[i] = sign | (sumBits[0] - 0x3f000000);
    }
  }
  return -1;
}
