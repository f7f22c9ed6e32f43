import { rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { VOCABULARY_BYTES } from "../encoder/encoder.js";
import { TOKENIZER_FILE, TOKENS_FILE } from "../encoder/special-tokens.js";
import { openCheckpoint } from "../formats/tensorflow/checkpoint.js";
import type { WeightsDtype } from "../formats/tfjs/manifest.js";
import { writeWeights } from "../formats/tfjs/write.js";
import { HPARAMS_BYTES, hparamsJson, parseHparams } from "../model/hparams.js";
import { checkParameters, countParameters } from "../model/parameters.js";
import type { WeightSource } from "../model/weight-source.js";
import { DOWNLOAD_AGAIN } from "../system/errors.js";
import { readSmallFile, readSmallFileIfThere } from "../system/files.js";
import { decodeText } from "../system/text-encoding.js";
import { HPARAMS, VOCABULARY } from "./files.js";
import { loadVocabulary, withoutPadding } from "./folder.js";
import { checkTarget } from "./target.js";

/** How a checkpoint is converted. */
export interface ConvertOptions {
  readonly dtype: WeightsDtype;
  /** Where the weights go; default: the checkpoint's own folder. */
  readonly out?: string;
  /** Whether to replace a model in another folder. */
  readonly overwrite?: boolean;
  /** Called from time to time with the bytes written so far, and their total. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** What convert() wrote. */
export interface Converted {
  readonly parameters: number;
  readonly tensors: number;
  /** Bytes of all weights, without model.json. */
  readonly bytes: number;
}

/**
 * Converts a model folder's TensorFlow checkpoint to tfjs weights, after verifying the number of parameters, their names
 * and shapes, and every tensor's checksum. In another folder, the embedding loses rows beyond the vocabulary. Converting
 * twice gives the same files; a failure changes nothing.
 * @throws UserError when the folder holds no checkpoint, a damaged one or another model's, or the other folder is taken;
 *   the signal's reason on an abort
 */
export async function convert(folder: string, options: ConvertOptions): Promise<Converted> {
  const { dtype, out = folder, overwrite = false, onProgress, signal } = options;
  const isElsewhere = resolve(out) !== resolve(folder);
  const replaced = isElsewhere
    ? await checkTarget(folder, out, { overwrite, named: "out" })
    : new Set<string>();
  const checkpoint = await openCheckpoint(folder);
  try {
    const path = join(folder, HPARAMS);
    const json = await readSmallFile(path, HPARAMS_BYTES, DOWNLOAD_AGAIN);
    const stored = parseHparams(decodeText(json), path);
    checkParameters(stored, checkpoint);
    const companions = new Map<string, Uint8Array>();
    let [hparams, source] = [stored, checkpoint as WeightSource];
    if (isElsewhere) {
      for (const name of [...VOCABULARY, TOKENIZER_FILE, TOKENS_FILE]) {
        const content = await readSmallFileIfThere(join(folder, name), VOCABULARY_BYTES, DOWNLOAD_AGAIN);
        if (content) companions.set(name, content);
      }
      // In its own folder the checkpoint stays, with all rows that hparams.json states.
      if (VOCABULARY.every((name) => companions.has(name)) || companions.has(TOKENIZER_FILE)) {
        const { encoder } = await loadVocabulary(folder, stored);
        ({ hparams, source } = await withoutPadding(stored, checkpoint, encoder));
      }
      companions.set(HPARAMS, hparams === stored ? json : Buffer.from(hparamsJson(hparams)));
    }
    const isOld = (name: string): boolean => replaced?.has(name) === true;
    const bytes = await writeWeights(out, source, { dtype, onProgress, signal, companions, isOld });
    return { parameters: countParameters(hparams), tensors: source.tensors.size, bytes };
  } catch (error) {
    if (!replaced) await rmdir(out).catch(() => undefined); // created for this; removes it only if it is empty
    throw error;
  } finally {
    await checkpoint.close();
  }
}
