import { BFLOAT16, FLOAT16, FLOAT32, FLOAT64, type FloatType } from "../floats.js";

/** By TensorFlow's number of the type. Source: tensorflow/core/framework/types.proto. */
export const FLOAT_TYPES: ReadonlyMap<number, FloatType> = new Map([
  [1, FLOAT32],
  [2, FLOAT64],
  [14, BFLOAT16],
  [19, FLOAT16],
]);
