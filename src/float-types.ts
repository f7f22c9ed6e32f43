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
