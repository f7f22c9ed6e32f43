import { sizeOf } from "../model/parameters.js";
import type { ScannableSource, TensorInfo, WeightSource } from "../model/weight-source.js";
import { shorten, UserError } from "../system/errors.js";
import { type ByteRange, readRanges } from "./byte-ranges.js";
import type { Crc } from "./crc.js";
import { asFloat32, type FloatType } from "./floats.js";

/** A tensor stored in files. */
export interface StoredTensor extends TensorInfo {
  /**
   * Where its values are, in order. There may be more of them than the shape has: only the first count. Without ranges
   * they are 0.
   */
  readonly ranges: readonly ByteRange[];
  /** How they are stored; undefined for a type that cannot be read. */
  readonly type: FloatType | undefined;
  /** The checksum of all bytes in `ranges`, if the format stores one. */
  readonly crc?: number | undefined;
  /** Values from one index of each axis to the next; absent for row-major order. */
  readonly strides?: readonly number[];
}

/** How a format checks its tensors. */
export interface Checksum {
  /** E.g. "CRC-32C". */
  readonly name: string;
  readonly update: Crc;
  /** The next step for a damaged file. */
  readonly next: string;
}

/** Tensors in files, ready to be read. */
export interface StoredTensors<T extends StoredTensor = StoredTensor> extends ScannableSource {
  readonly tensors: ReadonlyMap<string, T>;
}

/**
 * A source of tensors stored in files. Several may be read at once; no file stays open between reads.
 * @param path named in messages
 * @param checksum compared whenever a tensor that has one is read
 */
export function storedTensors<T extends StoredTensor>(
  path: string,
  tensors: ReadonlyMap<string, T>,
  checksum?: Checksum,
): StoredTensors<T> {
  const find = (name: string): Readable => {
    const tensor = tensors.get(name);
    if (!tensor) throw new RangeError(`no tensor ${name} in ${path}`);
    if (tensor.type) return { ...tensor, type: tensor.type };
    throw new UserError(
      `${tensor.ranges[0]?.path ?? path}: ${shorten(name)} has the type ${tensor.dtype}, and only floating-point types are read`,
      { next: "save the model in one of them" },
    );
  };
  /** Reads a tensor's stored bytes as readRanges() does, then verifies their checksum, if there is one. */
  const readBytes = async (
    name: string,
    { ranges, crc: wanted }: StoredTensor,
    into: Uint8Array | undefined,
    visit: (chunk: Uint8Array, before: number) => void,
  ): Promise<void> => {
    const check = wanted === undefined ? undefined : checksum;
    let crc = 0;
    await readRanges(ranges, into, (chunk, before) => {
      if (check) crc = check.update(chunk, crc);
      visit(chunk, before);
    });
    if (check && crc !== wanted) {
      const where = ranges[0]?.path ?? path;
      throw new UserError(`${where} is damaged: the checksum of ${shorten(name)} does not match`, {
        next: check.next,
      });
    }
  };
  /** Reads the first target.length values in stored order. */
  const readStored = async (name: string, tensor: Readable, target: Float32Array): Promise<void> => {
    const { type, ranges } = tensor;
    if (ranges.length === 0) target.fill(0);
    const stored = ranges.reduce((sum, { length }) => sum + length, 0);
    const isPlain = !type.decode && stored === target.byteLength;
    const into = isPlain ? new Uint8Array(target.buffer, target.byteOffset, stored) : undefined;
    await readBytes(name, tensor, into, (chunk, before) => {
      if (into) return;
      const part = target.subarray(before / type.width, (before + chunk.length) / type.width);
      const bytes = chunk.subarray(0, part.length * type.width);
      if (type.decode) type.decode(bytes, part);
      else part.set(asFloat32(bytes, type));
    });
  };
  const read = async (name: string, tensor: Readable, target: Float32Array): Promise<void> => {
    if (target.length !== sizeOf(tensor.shape)) {
      throw new RangeError(`${name} has ${sizeOf(tensor.shape)} values, not ${target.length}`);
    }
    const { shape, strides } = tensor;
    if (!strides) return readStored(name, tensor, target);
    const stored = new Float32Array(spanOf(shape, strides));
    await readStored(name, tensor, stored);
    inOrder(stored, shape, strides, target);
  };
  return {
    path,
    tensors,
    checksum: checksum?.name,
    read: async (name, target) => read(name, find(name), target),
    scan: async (name, visit) => {
      const tensor = find(name);
      const { type, strides, shape } = tensor;
      let left = sizeOf(shape);
      if (!strides && tensor.ranges.length > 0) {
        return readBytes(name, tensor, undefined, (chunk) => {
          const values = asFloat32(chunk, type).subarray(0, left);
          left -= values.length;
          visit(values);
        });
      }
      const values = new Float32Array(left);
      await read(name, tensor, values);
      visit(values);
    },
    close: async () => undefined,
  };
}

type Readable = StoredTensor & { readonly type: FloatType };

/** The tensor with its first `rows` rows. */
export function firstRows<T extends StoredTensor>(tensor: T, rows: number): T {
  return { ...tensor, shape: [rows, ...tensor.shape.slice(1)] };
}

/** The transpose of a matrix, read through swapped strides. [rows, columns] -> [columns, rows] */
export function transposed<T extends StoredTensor>(tensor: T): T {
  const [rows, columns] = tensor.shape;
  const [down, across] = tensor.strides ?? [columns, 1];
  return { ...tensor, shape: [columns, rows], strides: [across, down] };
}

/** Stored values from a tensor's first to its last, both included. */
export function spanOf(shape: readonly number[], strides: readonly number[]): number {
  return shape.includes(0) ? 0 : shape.reduce((sum, n, axis) => sum + (n - 1) * strides[axis], 1);
}

/** Puts stored values in row-major order. */
function inOrder(
  stored: Float32Array,
  shape: readonly number[],
  strides: readonly number[],
  target: Float32Array,
): void {
  const columns = shape.at(-1) ?? 1;
  const step = strides.at(-1) ?? 1;
  for (let first = 0; first < target.length; first += columns) {
    let from = 0;
    for (let axis = shape.length - 2, row = first / columns; axis >= 0; axis--) {
      from += (row % shape[axis]) * strides[axis];
      row = Math.floor(row / shape[axis]);
    }
    for (let i = 0; i < columns; i++) target[first + i] = stored[from + i * step];
  }
}

/**
 * The same source, except that reading a tensor with a value that is not finite fails.
 * @param fault makes the error from the tensor's name
 */
export function finiteSource(source: WeightSource, fault: (name: string) => UserError): WeightSource {
  return {
    path: source.path,
    tensors: source.tensors,
    close: () => source.close(),
    read: async (name, target) => {
      await source.read(name, target);
      let sum = 0;
      for (let i = 0; i < target.length; i++) sum += target[i] - target[i]; // x - x is 0, or NaN if x is not finite
      if (sum !== 0) throw fault(name);
    },
  };
}
