/** A tensor as a file describes it. */
export interface TensorInfo {
  readonly shape: readonly number[];
  /** The type of the stored values, e.g. "float32" or "float16". */
  readonly dtype: string;
}

/** Where parameters come from: a TensorFlow checkpoint, tfjs weights, ... */
export interface WeightSource {
  /** The path, for messages. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * Reads one tensor as float32 into the caller's memory (which may be shared memory).
   * @param target exactly as many values as the tensor has
   * @throws UserError when the file is too short or its checksum is wrong
   */
  read(name: string, target: Float32Array): Promise<void>;
  /** Closes the files; read() must not be called afterwards. */
  close(): Promise<void>;
}

/** A source that can also deliver a tensor in pieces: no tensor need be in memory whole. */
export interface ScannableSource extends WeightSource {
  /** The kind of checksum that the tensors have, e.g. "CRC-32C"; undefined if they have none. */
  readonly checksum: string | undefined;
  /**
   * Delivers all values of a tensor, in order, some at a time.
   * @param visit called with values that are valid during the call; if it throws, reading ends
   * @throws UserError like read(); a wrong checksum shows after the last piece
   */
  scan(name: string, visit: (values: Float32Array) => void): Promise<void>;
}
