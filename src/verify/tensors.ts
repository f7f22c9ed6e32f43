import { createHash } from "node:crypto";
import { crc32c } from "../formats/crc.js";
import { BFLOAT16, decodeFloat16, encodeFloat16, FLOAT16, FLOAT64 } from "../formats/floats.js";
import type { Hparams } from "../model/hparams.js";
import { checkParameters, countParameters, sizeOf } from "../model/parameters.js";
import type { ScannableSource, TensorInfo } from "../model/weight-source.js";
import { messageOf, UserError } from "../system/errors.js";
import { type Check, checksOf, type OnProgress, showCount } from "./check.js";

/** How weights are read to check them. */
export interface TensorOptions {
  /** Undefined where hparams.json cannot be read. */
  readonly hparams: Hparams | undefined;
  /** Whether to find out what the numbers would be if rounded to float16. */
  readonly rounded: boolean;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Reads all weights of one format and checks them: names and shapes, every checksum, every number. Only a few megabytes
 * are in memory at a time.
 * @param part "checkpoint" or "weights"
 * @param open opens them; if it throws, that is a failed check
 * @returns their numbers; undefined if something is wrong with them
 * @throws the signal's reason on an abort
 */
export async function* checkTensors(
  part: "checkpoint" | "weights",
  open: () => Promise<ScannableSource>,
  { hparams, rounded, onProgress, signal }: TensorOptions,
): AsyncGenerator<Check, Numbers | undefined> {
  const { ok, failed, leftOut } = checksOf(part);
  let source: ScannableSource;
  try {
    source = await open();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    yield failed(`${part}: tensors`, messageOf(error));
    return undefined;
  }
  try {
    const fit = checkShapes(part, source, hparams);
    yield fit;
    const report = (done: number, total: number): void => onProgress?.(part, done, total);
    const { numbers, damaged, strange } = await scanTensors(source, { rounded, onProgress: report, signal });
    const count = showCount(source.tensors.size);
    if (damaged.length > 0)
      yield failed(`${part}: checksums`, `${damaged.length} of ${count}: ${damaged[0]}`);
    else if (source.checksum) yield ok(`${part}: checksums`, `${source.checksum} of all ${count} tensors`);
    else yield leftOut(`${part}: checksums`, "model.json carries none: another program wrote it");
    if (strange.length > 0) yield failed(`${part}: numbers`, strange.join("; "));
    else if (damaged.length === 0) yield ok(`${part}: numbers`, "no NaN and no infinity");
    else yield leftOut(`${part}: numbers`, "not checked: the checksums are wrong");
    return fit.result === "ok" && damaged.length + strange.length === 0 ? numbers : undefined;
  } finally {
    await source.close();
  }
}

function checkShapes(part: "checkpoint" | "weights", source: ScannableSource, hparams?: Hparams): Check {
  const { ok, failed, leftOut } = checksOf(part);
  const name = `${part}: tensors`;
  if (!hparams) return leftOut(name, "hparams.json does not say what should be there");
  try {
    checkParameters(hparams, source);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return failed(name, messageOf(error));
  }
  const dtypes = [...new Set([...source.tensors.values()].map(({ dtype }) => dtype))].join(", ");
  const parameters = `${showCount(countParameters(hparams))} parameters`;
  return ok(
    name,
    `${source.tensors.size} tensors, ${parameters} in ${dtypes}: names and shapes are those of hparams.json`,
  );
}

/** The numbers of a model's weights, in short. */
export interface Numbers {
  /** How they are stored, e.g. "float32" or "float16". */
  readonly dtype: string;
  readonly fingerprint: string;
  /** What the fingerprint would be if they were rounded to float16; only if asked for. */
  readonly rounded?: string;
}

/** What reading every tensor showed. */
export interface Scan {
  readonly numbers: Numbers;
  /** A message for each tensor that cannot be read or whose checksum is wrong. */
  readonly damaged: readonly string[];
  /** A message for each tensor with a NaN or an infinity; only the first few. */
  readonly strange: readonly string[];
}

const MESSAGES = 3;
/** Bytes of a stored value, where not four. */
const WIDTHS = new Map([FLOAT16, BFLOAT16, FLOAT64].map(({ name, width }) => [name, width]));
const bytesIn = ({ shape, dtype }: TensorInfo): number => sizeOf(shape) * (WIDTHS.get(dtype) ?? 4);
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/**
 * Reads every tensor of a source, a few megabytes at a time.
 * @param onProgress called with the stored bytes read so far, and their total
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

/** How many values are a NaN or an infinity, and the first of them. */
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

/** The values as they come back from a float16 file. */
function throughFloat16(values: Float32Array): Float32Array {
  const halves = new Uint16Array(values.length);
  encodeFloat16(values, halves);
  const again = new Float32Array(values.length);
  decodeFloat16(halves, again);
  return again;
}

/**
 * A name for a model's numbers, the same however they are stored: the SHA-256 of one line `<name> <checksum>` per
 * tensor, in the order of the names.
 * @param checks the CRC-32C (not masked, unlike TensorFlow's) of each tensor's values as little-endian float32: as in
 *   the index of a float32 checkpoint
 * @returns lower-case hexadecimal
 */
export function fingerprint(checks: ReadonlyMap<string, number>): string {
  const lines = [...checks].map(([name, check]) => `${name} ${check.toString(16).padStart(8, "0")}\n`);
  return createHash("sha256").update(lines.sort().join("")).digest("hex");
}
