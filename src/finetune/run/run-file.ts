import { join } from "node:path";
import { crc32 } from "../../formats/crc.js";
import { quote, UserError } from "../../system/errors.js";
import { readSmallFile } from "../../system/files.js";
import { isObject, parseJson } from "../../system/json.js";
import type { TrainingOptions } from "./options.js";

/** The file in a save that records how far the run is. */
export const RUN_FILE = "run.json";
const FORMAT = 1;
/** A run.json is about 2 KB. */
const RUN_BYTES = 1 << 20;

/** How far a run is, and what its next steps depend on besides the weights and the optimizer's state. */
export interface RunProgress {
  /** 1, plus one each time the run was overwritten from the beginning. */
  readonly run: number;
  readonly step: number;
  /** The optimizer's steps: fewer than `step` if it started anew. */
  readonly updates: number;
  /** Whether the save has an optimizer's state. */
  readonly hasState: boolean;
  /** Of training, over all sessions. */
  readonly seconds: number;
  /** The moving average's numerator and denominator. */
  readonly average: readonly [number, number];
  readonly options: TrainingOptions;
  /** Tokens per row, fitted to the dataset. */
  readonly context: number;
  /** Of the dataset's tokens. */
  readonly fingerprint: string;
  /** What the run started from. */
  readonly base: string;
  /** What computed it, e.g. "wasm". */
  readonly trainer: string;
}

/** run.json's text, with checksums of itself and of the small files next to it. */
export function describeRun(progress: RunProgress, files: ReadonlyMap<string, Uint8Array>): string {
  const run = {
    progress,
    files: Object.fromEntries([...files].map(([name, bytes]) => [name, crc32(bytes)])),
  };
  return `${JSON.stringify({ format: FORMAT, crc32: crc32(Buffer.from(JSON.stringify(run))), ...run }, null, 2)}\n`;
}

/** run.json's own checksum; undefined for something too deeply nested, which we never write. */
function checkOf(run: unknown): number | undefined {
  try {
    return crc32(Buffer.from(JSON.stringify(run)));
  } catch {
    return undefined;
  }
}

/**
 * Reads a save's run.json.
 * @throws UserError when it is missing, altered, or of another version of this program
 */
export async function readRun(
  folder: string,
): Promise<{ progress: RunProgress; files: Readonly<Record<string, number>> }> {
  const path = join(folder, RUN_FILE);
  const text = (await readSmallFile(path, RUN_BYTES, "delete this save")).toString("utf8");
  const json = parseJson(text, path) as {
    format?: unknown;
    crc32?: unknown;
    progress: RunProgress;
    files: Record<string, number>;
  } | null;
  if (json?.format !== FORMAT) throw new UserError(`${path} was written by another version of gpt2`);
  const { progress, files } = json;
  if (!isObject(progress) || !isObject(files) || checkOf({ progress, files }) !== json.crc32) {
    throw new UserError(`${path} is damaged: its checksum does not match`);
  }
  // A save may come from anywhere, its checksum too: no file outside its folder is read or replaced.
  const odd = Object.keys(files).find((name) => !/^\w[\w.-]*$/.test(name));
  if (odd !== undefined) throw new UserError(`${path}: ${quote(odd)} is not the name of a file beside it`);
  return { progress, files };
}
