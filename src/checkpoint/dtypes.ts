import { decodeFloat16 } from "../float16.js";

/** A type of numbers that can be read as float32. */
export interface FloatType {
  readonly name: string;
  /** Bytes a value. */
  readonly width: number;
  /** Turns stored values into float32; without it the stored bytes are float32 already. */
  readonly decode?: (bytes: Uint8Array, target: Float32Array) => void;
}

/** By TensorFlow's number of the type. Source: tensorflow/core/framework/types.proto. */
export const FLOAT_TYPES: ReadonlyMap<number, FloatType> = new Map<number, FloatType>([
  [1, { name: "float32", width: 4 }],
  [
    2,
    {
      name: "float64",
      width: 8,
      decode: (bytes, target) => target.set(new Float64Array(bytes.buffer, bytes.byteOffset, target.length)),
    },
  ],
  [
    14,
    {
      name: "bfloat16",
      width: 2,
      decode: (bytes, target) => {
        // A bfloat16 is the upper half of a float32.
        const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, target.length);
        const bits = new Uint32Array(target.buffer, target.byteOffset, target.length);
        for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
      },
    },
  ],
  [
    19,
    {
      name: "float16",
      width: 2,
      decode: (bytes, target) =>
        decodeFloat16(new Uint16Array(bytes.buffer, bytes.byteOffset, target.length), target),
    },
  ],
]);
