import { readdir } from "node:fs/promises";
import { isAbsolute, join, normalize, win32 } from "node:path";
import { showShape, sizeOf } from "../../model/parameters.js";
import { DOWNLOAD_AGAIN as AGAIN, shorten, UserError } from "../../system/errors.js";
import { fileError, readSmallFile } from "../../system/files.js";
import { refuseLfsPointer } from "../../system/lfs.js";
import { decodeText } from "../../system/text-encoding.js";
import { crc32c, unmaskCrc } from "../crc.js";
import { BFLOAT16, FLOAT16, FLOAT32, FLOAT64, type FloatType } from "../floats.js";
import { fileSize } from "../open-file.js";
import { type StoredTensor, type StoredTensors, storedTensors } from "../stored-tensors.js";
import { type BundleEntry, type BundleIndex, readIndex } from "./bundle.js";

/** By TensorFlow's number of the type. Source: tensorflow/core/framework/types.proto. */
const FLOAT_TYPES: ReadonlyMap<number, FloatType> = new Map([
  [1, FLOAT32],
  [2, FLOAT64],
  [14, BFLOAT16],
  [19, FLOAT16],
]);
const INDEX = ".index";
/** The text file `checkpoint` has a few lines; an error page saved under its name may have more. */
const STATE_LIMIT = 1 << 20;
/** Far more than any checkpoint's path. */
const PATH_LIMIT = 4096;
/** File systems allow 255, and `.index` is added. */
const NAME_LIMIT = 249;

/** Whether a folder seems to hold a checkpoint; openCheckpoint() checks it. */
export async function hasCheckpoint(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).some((name) => name === "checkpoint" || name.endsWith(INDEX));
  } catch {
    return false;
  }
}

/**
 * Finds a folder's checkpoint: the newest according to its file `checkpoint`, or the only `*.index`.
 * @returns the prefix of the paths of the checkpoint's files, always inside the folder
 * @throws UserError when there is none, or there are several and nothing says which is meant
 */
export async function findCheckpoint(folder: string): Promise<string> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    throw fileError("read", folder, error);
  }
  const indexes = names.filter((name) => name.endsWith(INDEX));
  if (names.includes("checkpoint")) {
    const named = await readState(join(folder, "checkpoint"), folder);
    const isGone = !named.includes("/") && !names.includes(`${named}${INDEX}`);
    if (isGone && indexes.length > 0) throw staleState(folder, named, indexes);
    return join(folder, named);
  }
  if (indexes.length === 1) return join(folder, indexes[0].slice(0, -INDEX.length));
  if (indexes.length === 0) {
    throw new UserError(`${folder} holds no TensorFlow checkpoint`, {
      next: `name another folder, or ${AGAIN}`,
    });
  }
  throw new UserError(
    `${folder} holds ${indexes.length} checkpoints and no file named checkpoint that says which is meant`,
    { next: "move the others away" },
  );
}

/** The error when the file `checkpoint` names a save that is gone and others are there. */
function staleState(folder: string, named: string, indexes: readonly string[]): UserError {
  const others = indexes.map((name) => shorten(name.slice(0, -INDEX.length)));
  const [other] = others;
  const there = `${others.slice(0, 3).join(", ")} ${others.length === 1 ? "is" : "are"} there`;
  return new UserError(`${join(folder, "checkpoint")} names ${shorten(named)}, which is gone; ${there}`, {
    next: `to use it, change its first line to model_checkpoint_path: ${JSON.stringify(other)}`,
  });
}

/** The prefix that the text file `checkpoint` names, as a path in its folder. */
async function readState(path: string, folder: string): Promise<string> {
  const text = decodeText(await readSmallFile(path, STATE_LIMIT, AGAIN));
  const quoted = /^\s*model_checkpoint_path:\s*"((?:[^"\\\n]|\\.)*)"/m.exec(text)?.[1];
  const named = quoted && unescapeC(quoted);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: no path contains such characters
  const isPath = named && !/[\0-\x1f]/.test(named) && !/^\.*$/.test(win32.basename(named));
  if (!isPath || named.length > PATH_LIMIT) {
    throw new UserError(`${path} does not say which checkpoint ${folder} holds`, { next: AGAIN });
  }
  // Checkpoints get moved: a path elsewhere means a file of that name in this folder.
  const relative = normalize(named);
  const outside = isAbsolute(named) || win32.isAbsolute(named) || relative.startsWith("..");
  const inside = outside ? win32.basename(named) : relative;
  if (inside.length <= NAME_LIMIT) return inside;
  throw new UserError(`${path} names a checkpoint of ${inside.length} characters`, { next: AGAIN });
}

/** Undoes the escapes of a quoted string in a text-format protocol buffer. */
function unescapeC(text: string): string {
  const bytes: number[] = [];
  const letters: Record<string, number> = { n: 10, r: 13, t: 9, a: 7, b: 8, f: 12, v: 11 };
  for (const [part, octal, hex, letter] of text.matchAll(
    /\\([0-7]{1,3})|\\x([0-9a-fA-F]{1,2})|\\(.)|[^\\]+/gu,
  )) {
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8) & 255);
    else if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (letter === undefined) bytes.push(...Buffer.from(part));
    else bytes.push(...(letter in letters ? [letters[letter]] : Buffer.from(letter)));
  }
  return Buffer.from(bytes).toString("utf8");
}

/**
 * Opens a TensorFlow V2 checkpoint to read a model's parameters. Tensors that are not parameters (the optimizer's,
 * counters, strings) are left out. Data files are read in chunks.
 * @throws UserError that names the file when one is missing, too short, altered or of another kind
 */
export async function openCheckpoint(folder: string): Promise<StoredTensors> {
  const prefix = await findCheckpoint(folder);
  const path = `${prefix}${INDEX}`;
  const index = await readIndex(path);
  const stored = new Map<string, StoredTensor>();
  for (const [name, entry] of index.entries) {
    const type = FLOAT_TYPES.get(entry.dtype);
    if (!type || !isParameter(name, index)) continue;
    stored.set(name, describe(name, entry, type, path, dataPath(prefix, entry.shard, index.shards)));
  }
  if (stored.size === 0) {
    throw new UserError(`${path} holds no parameter of a GPT-2 (their names begin with model/)`, {
      next: AGAIN,
    });
  }
  await checkDataFiles(stored);
  return storedTensors(path, stored, { name: "CRC-32C", update: crc32c, next: AGAIN });
}

/** Optimizers append to the parameter's name: model/wte/Adam. */
function isParameter(name: string, index: BundleIndex): boolean {
  if (!name.startsWith("model/") || /\/Adam(_1)?$/.test(name)) return false;
  for (let end = name.lastIndexOf("/"); end > 0; end = name.lastIndexOf("/", end - 1)) {
    if (index.entries.has(name.slice(0, end))) return false;
  }
  return true;
}

function dataPath(prefix: string, shard: number, shards: number): string {
  const digits = (n: number): string => String(n).padStart(5, "0");
  return `${prefix}.data-${digits(shard)}-of-${digits(shards)}`;
}

function describe(
  name: string,
  entry: BundleEntry,
  type: FloatType,
  index: string,
  file: string,
): StoredTensor {
  const { shape, offset, size, sliced, maskedCrc } = entry;
  if (sliced) {
    throw new UserError(`${index}: ${shorten(name)} is stored in slices, which is not supported`, {
      next: "save the checkpoint whole",
    });
  }
  if (!shape || sizeOf(shape) * type.width !== size) {
    const wanted = shape ? showShape(shape) : "unknown shape";
    throw new UserError(
      `${index}: ${shorten(name)} has ${size} bytes, which does not match its shape ${wanted}`,
      { next: AGAIN },
    );
  }
  const ranges = [{ path: file, offset, length: size }];
  return { shape, dtype: type.name, type, ranges, crc: unmaskCrc(maskedCrc) };
}

/** Checks that every data file is as long as the index says, and that tensors do not share bytes. */
async function checkDataFiles(stored: ReadonlyMap<string, StoredTensor>): Promise<void> {
  const ends = new Map<string, { end: number; sum: number }>();
  for (const { path, offset, length } of [...stored.values()].flatMap(({ ranges }) => ranges)) {
    const { end, sum } = ends.get(path) ?? { end: 0, sum: 0 };
    ends.set(path, { end: Math.max(end, offset + length), sum: sum + length });
  }
  for (const [file, { end, sum }] of ends) {
    const size = await fileSize(file, AGAIN);
    if (size < end) {
      await refuseLfsPointer(file);
      throw new UserError(`${file} has ${size} bytes where its index describes ${end}`, { next: AGAIN });
    }
    if (size < sum) {
      throw new UserError(`${file} has ${size} bytes where its index describes tensors of ${sum}`, {
        next: AGAIN,
      });
    }
  }
}
