import type { TensorInfo, WeightSource } from "../model/weight-source.js";
import type { UserError } from "../system/errors.js";

/** A file of named tensors, whatever its format. */
export interface TensorFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Reads a tensor's values as float32, the first target.length of them. */
  read(name: string, target: Float32Array): Promise<void>;
  /** Hands all values of a tensor on in chunks, as bytes of float32 that are valid during the call. */
  scan(name: string, visit: (bytes: Uint8Array) => void): Promise<void>;
}

/**
 * The source; reading a tensor fails where a value is not a finite number.
 * @param fault what is thrown then, for the tensor's name
 */
export function finiteSource(source: WeightSource, fault: (name: string) => UserError): WeightSource {
  return {
    path: source.path,
    tensors: source.tensors,
    close: () => source.close(),
    read: async (name, target) => {
      await source.read(name, target);
      let sum = 0;
      for (let i = 0; i < target.length; i++) sum += target[i] - target[i]; // 0, or NaN for all that is not finite
      if (sum !== 0) throw fault(name);
    },
  };
}
