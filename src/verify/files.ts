import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { TOKENIZER_FILE } from "../encoder/special-tokens.js";
import { sha256Of } from "../formats/byte-ranges.js";
import { type Hparams, parseHparams, unlikeOpenAi } from "../model/hparams.js";
import { type KnownFile, type KnownModel, OPTIONAL_FILE } from "../models/catalog.js";
import { HPARAMS, isWeightsOf, OPENAI_FILES, VOCABULARY } from "../models/files.js";
import { messageOf, UserError } from "../system/errors.js";
import { fileError } from "../system/files.js";
import { decodeText } from "../system/text-encoding.js";
import { type Check, checksOf, type OnProgress, showCount } from "./check.js";
import { saysTheSame } from "./vocabulary.js";

const { ok, failed, leftOut } = checksOf("files");

/** Files that a folder has even without a checkpoint. */
const SHARED: readonly string[] = [HPARAMS, ...VOCABULARY];

/** What a model folder holds, by file names. */
export interface Contents {
  readonly names: readonly string[];
  /** A TensorFlow checkpoint, or parts of one; `checkpoint` alone is what is left of a deleted one. */
  readonly hasCheckpoint: boolean;
  /** tfjs weights, or parts of them. */
  readonly hasWeights: boolean;
}

/** What a folder with files of these names holds. */
export function contentsOf(names: readonly string[]): Contents {
  const hasWeights = names.some((name) => isWeightsOf("tfjs", name));
  const hasCheckpoint = names.some((name) => isWeightsOf("tensorflow", name) && !name.endsWith(".meta"));
  return { names, hasWeights, hasCheckpoint: hasCheckpoint || (names.includes("checkpoint") && !hasWeights) };
}

/**
 * Checks the files of a folder that are known by name: whether they exist and, in a folder named after one of OpenAI's
 * models, whether they are the published ones.
 * @param expected the model that the folder should hold
 * @throws the signal's reason on an abort
 */
export async function* checkFiles(
  folder: string,
  { names, hasCheckpoint }: Contents,
  expected: KnownModel | undefined,
  { onProgress, signal }: { onProgress?: OnProgress; signal?: AbortSignal },
): AsyncGenerator<Check> {
  for (const name of OPENAI_FILES) {
    const isThere = names.includes(name);
    // A folder without a checkpoint need not list each missing file of one; nor need one with other names (model-100.index).
    if (!isThere && !SHARED.includes(name) && !(hasCheckpoint && expected)) continue;
    if (!isThere) yield missing(name, names);
    else yield await checkFile(join(folder, name), name, expected, onProgress, signal);
  }
  for (const name of names.filter((each) => each.endsWith(".part"))) {
    yield leftOut(name, "part of a file, left by an unfinished download or conversion");
  }
}

function missing(name: string, names: readonly string[]): Check {
  if (name === OPTIONAL_FILE) return leftOut(name, "missing, and nothing here needs it");
  const [vocabulary] = ["encoder.json", "vocab.bpe"].filter((each) => names.includes(each));
  if (["encoder.json", "vocab.bpe"].includes(name)) {
    if (vocabulary) return failed(name, `missing, although there is ${vocabulary}`);
    if (names.includes(TOKENIZER_FILE)) return leftOut(name, `missing: ${TOKENIZER_FILE} is used`);
    return leftOut(name, "missing: OpenAI's, which comes with gpt2, is used");
  }
  return failed(name, "it is missing");
}

async function checkFile(
  path: string,
  name: (typeof OPENAI_FILES)[number],
  expected: KnownModel | undefined,
  onProgress?: OnProgress,
  signal?: AbortSignal,
): Promise<Check> {
  const known: KnownFile = expected?.files[name] ?? {};
  const owner = `OpenAI's ${expected?.name}`;
  try {
    const found = await stat(path);
    if (!found.isFile()) return failed(name, "it is not a file");
    const size = `${showCount(found.size)} bytes`;
    const wrong = name === "hparams.json" ? await wrongSize(path, expected) : undefined;
    if (wrong) return failed(name, wrong);
    const isSize = known.bytes === undefined || found.size === known.bytes;
    if (known.sha256 === undefined) {
      if (!isSize) return failed(name, `it has ${size}, and ${owner} has ${showCount(known.bytes ?? 0)}`);
      if (known.bytes !== undefined) return ok(name, `${size} as published; its sha256 is not published`);
      return ok(name, size);
    }
    const onRead = (done: number): void => onProgress?.(name, done, found.size);
    const sha256 = isSize ? await sha256Of(path, found.size, { onProgress: onRead, signal }) : "";
    if (sha256 === known.sha256) return ok(name, `${size}, sha256 as published`);
    if (await meansTheSame(path, name)) return ok(name, `${size}, ${owner} written another way`);
    if (!isSize) return failed(name, `it has ${size}, and ${owner} has ${showCount(known.bytes ?? 0)}`);
    return failed(name, `its sha256 is ${sha256}, and that of ${owner} ${known.sha256}`);
  } catch (error) {
    signal?.throwIfAborted();
    return failed(name, messageOf(error instanceof UserError ? error : fileError("read", path, error)));
  }
}

/** What is wrong in hparams.json, or undefined. */
async function wrongSize(path: string, expected: KnownModel | undefined): Promise<string | undefined> {
  const found = parseHparams(decodeText(await readFile(path)), path);
  const [own] = Object.keys(unlikeOpenAi(found));
  if (own && expected?.hparams) return `it sets ${own}, which OpenAI's models do not`;
  const names = Object.keys(expected?.hparams ?? {}) as (keyof Hparams)[];
  const wrong = names.find((name) => found[name] !== expected?.hparams?.[name]);
  return (
    wrong && `${wrong} is ${found[wrong]}, and OpenAI's ${expected?.name} has ${expected?.hparams?.[wrong]}`
  );
}

/** Whether a file that other programs write differently says the same as OpenAI's. */
async function meansTheSame(path: string, name: string): Promise<boolean> {
  if (name === "hparams.json") return true; // its values have been checked
  if (name !== "encoder.json" && name !== "vocab.bpe") return false;
  return saysTheSame(name, await readFile(path)).catch(() => false);
}
