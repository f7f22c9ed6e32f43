import { crc32c } from "../formats/crc.js";
import { BFLOAT16, decodeFloat16, encodeFloat16, FLOAT16, FLOAT64 } from "../formats/floats.js";
import { sizeOf } from "../model/parameters.js";
import type { ScannableSource, TensorInfo } from "../model/weight-source.js";
import { messageOf, UserError } from "../system/errors.js";
import { showCount } from "./check.js";
import { fingerprint } from "./fingerprint.js";

/** What the numbers of a model's weights are. */
export interface Numbers {
  /** How they are stored, e.g. "float32" or "float16". */
  readonly dtype: string;
  readonly fingerprint: string;
  /** What the fingerprint would be, had they been rounded to float16; when asked for. */
  readonly rounded?: string;
}

/** What reading every tensor showed. */
export interface Scan {
  readonly numbers: Numbers;
  /** A message for each tensor that cannot be read or whose checksum does not fit. */
  readonly damaged: readonly string[];
  /** A message for each tensor that holds a NaN or an infinity; of many, the first ones. */
  readonly strange: readonly string[];
}

const MESSAGES = 3;
/** Bytes of a stored value where they are not four. */
const WIDTHS = new Map([FLOAT16, BFLOAT16, FLOAT64].map(({ name, width }) => [name, width]));
const bytesIn = ({ shape, dtype }: TensorInfo): number => sizeOf(shape) * (WIDTHS.get(dtype) ?? 4);
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/**
 * Reads every tensor of a source, a few megabytes at a time.
 * @param onProgress told the stored bytes that are read, and their total
 * @throws the signal's reason on an abort
 */
export async function scanTensors(
  source: ScannableSource,
  options: {
    rounded: boolean;
    onProgress: (done: number, total: number) => void;
    signal?: AbortSignal;
  },
): Promise<Scan> {
  const { onProgress, signal } = options;
  const checks = new Map<string, number>();
  const rounded = new Map<string, number>();
  const damaged: string[] = [];
  const strange: string[] = [];
  const infos = [...source.tensors.values()];
  const total = infos.reduce((sum, info) => sum + bytesIn(info), 0);
  let before = 0;
  for (const [name, info] of source.tensors) {
    let crc = 0;
    let roundedCrc = 0;
    let done = 0; // values
    let oddities = 0;
    let firstOdd = 0;
    try {
      await source.scan(name, (values) => {
        signal?.throwIfAborted();
        crc = crc32c(bytesOf(values), crc);
        if (options.rounded) roundedCrc = crc32c(bytesOf(throughFloat16(values)), roundedCrc);
        const odd = findOdd(values);
        if (oddities === 0) firstOdd = odd.first;
        oddities += odd.count;
        done += values.length;
        onProgress(before + (bytesIn(info) * done) / sizeOf(info.shape), total);
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof UserError)) throw error;
      damaged.push(messageOf(error));
    }
    before += bytesIn(info);
    checks.set(name, crc);
    rounded.set(name, roundedCrc);
    if (oddities > 0 && strange.length < MESSAGES) {
      strange.push(
        `${name} has ${firstOdd} (${showCount(oddities)} of ${showCount(sizeOf(info.shape))} values)`,
      );
    }
  }
  const numbers: Numbers = {
    dtype: [...new Set(infos.map(({ dtype }) => dtype))].join(", "),
    fingerprint: fingerprint(checks),
    ...(options.rounded && { rounded: fingerprint(rounded) }),
  };
  return { numbers, damaged, strange };
}

/** The values that are a NaN or an infinity: how many, and the first. */
function findOdd(values: Float32Array): { count: number; first: number } {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let count = 0;
  let first = 0;
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i] & 0x7f800000) !== 0x7f800000) continue;
    if (count === 0) first = values[i];
    count += 1;
  }
  return { count, first };
}

/** The values as a file of float16 gives them back. */
function throughFloat16(values: Float32Array): Float32Array {
  const halves = new Uint16Array(values.length);
  encodeFloat16(values, halves);
  const again = new Float32Array(values.length);
  decodeFloat16(halves, again);
  return again;
}
