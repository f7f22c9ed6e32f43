import { decodeFloat16 } from "./float16.js";

/** A type of numbers that can be read as float32. */
export interface FloatType {
  readonly name: string;
  /** Bytes a value. */
  readonly width: number;
  /**
   * Turns stored values (little-endian, aligned to their width) into float32; without it the stored bytes are
   * float32 already.
   */
  readonly decode?: (bytes: Uint8Array, target: Float32Array) => void;
}

/** Stored values (little-endian, aligned to their width) as float32: in the same memory where they are that. */
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
