/** A number type that can be read as float32. */
export interface FloatType {
  readonly name: string;
  /** Bytes per value. */
  readonly width: number;
  /**
   * Converts stored values (little-endian, aligned to their width) to float32; absent where they are float32 already.
   */
  readonly decode?: (bytes: Uint8Array, target: Float32Array) => void;
}

/** Stored values (little-endian, aligned to their width) as float32; a view of the bytes where they are float32. */
export function asFloat32(bytes: Uint8Array, { width, decode }: FloatType): Float32Array {
  const length = bytes.length / width;
  if (!decode) return new Float32Array(bytes.buffer, bytes.byteOffset, length);
  const values = new Float32Array(length);
  decode(bytes, values);
  return values;
}

export const FLOAT32: FloatType = { name: "float32", width: 4 };

export const FLOAT64: FloatType = {
  name: "float64",
  width: 8,
  decode: (bytes, target) => target.set(new Float64Array(bytes.buffer, bytes.byteOffset, target.length)),
};

/** A bfloat16 is the upper half of a float32. */
export const BFLOAT16: FloatType = {
  name: "bfloat16",
  width: 2,
  decode: (bytes, target) => {
    const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, target.length);
    const bits = new Uint32Array(target.buffer, target.byteOffset, target.length);
    for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
  },
};

export const FLOAT16: FloatType = {
  name: "float16",
  width: 2,
  decode: (bytes, target) =>
    decodeFloat16(new Uint16Array(bytes.buffer, bytes.byteOffset, target.length), target),
};

/** The value of every float16, by its 16 bits; built when first needed. */
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

/** Converts float16 bits to float32 exactly: target[i] = value of source[i]. [n] -> [n] */
export function decodeFloat16(source: Uint16Array, target: Float32Array): void {
  decoded ??= decodeTable();
  const table = decoded;
  for (let i = 0; i < source.length; i++) target[i] = table[source[i]];
}

/**
 * Rounds float32 values to the nearest float16, ties to even (IEEE 754): target[i] = bits of source[i]. [n] -> [n]
 * @returns the index of the first value too large for float16 (infinity included), where writing stopped; or -1
 */
export function encodeFloat16(source: Float32Array, target: Uint16Array): number {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  const sum = new Float32Array(1);
  const sumBits = new Uint32Array(sum.buffer);
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i] >>> 16) & 0x8000;
    const magnitude = bits[i] & 0x7fffffff;
    if (magnitude >= 0x38800000) {
      // From 65520 on, halfway between float16's largest value, 65504, and 65536, values round to infinity.
      if (magnitude >= 0x477ff000) {
        if (magnitude <= 0x7f800000) return i;
        target[i] = sign | 0x7e00; // not a number
        continue;
      }
      // The exponent's bias drops from 127 to 15 and 13 fraction bits are rounded off, carrying into the exponent.
      const rebiased = magnitude - (112 << 23);
      target[i] = sign | ((rebiased + 0x0fff + ((rebiased >>> 13) & 1)) >>> 13);
    } else {
      // Below 2^-14 float16 has steps of 2^-24, as float32 has between 0.5 and 1: adding 0.5 rounds to such a
      // step and leaves the number of steps in the lowest bits.
      sum[0] = Math.abs(source[i]) + 0.5;
      target[i] = sign | (sumBits[0] - 0x3f000000);
    }
  }
  return -1;
}
