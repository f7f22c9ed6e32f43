/** A tensor as a file describes it. */
export interface TensorInfo {
  readonly shape: readonly number[];
  /** The type of the stored values, e.g. "float32" or "float16". */
  readonly dtype: string;
}

/** Where parameters come from: a TensorFlow checkpoint or tfjs weights. */
export interface WeightSource {
  /** The path, for messages. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * Reads one tensor as float32 into the caller's memory (which may be shared memory).
   * @param target exactly as many values as the tensor has
   * @throws UserError when the file is too short or its checksum does not fit
   */
  read(name: string, target: Float32Array): Promise<void>;
  close(): Promise<void>;
}

/** A source that hands a tensor's values on in pieces too: no tensor need be in memory whole. */
export interface ScannableSource extends WeightSource {
  /** The kind of check that comes with the tensors, e.g. "CRC-32C"; undefined where they have none. */
  readonly checksum: string | undefined;
  /**
   * Hands all values of a tensor on, in order and some at a time.
   * @param visit called with values that are valid during the call; what it throws ends the reading
   * @throws UserError as read(); a checksum that does not fit shows after the last piece
   */
  scan(name: string, visit: (values: Float32Array) => void): Promise<void>;
}
