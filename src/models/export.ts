import { realpath, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { TOKENIZER_FILE } from "../encoder/special-tokens.js";
import { isGguf } from "../formats/gguf/gguf-file.js";
import { type GgufDtype, writeGguf } from "../formats/gguf/write.js";
import { writeHuggingFace } from "../formats/huggingface/write.js";
import { CHECKPOINT_STATE, writeCheckpoint } from "../formats/tensorflow/write-checkpoint.js";
import { unlikeOpenAi } from "../model/hparams.js";
import { checkParameters, countParameters } from "../model/parameters.js";
import { option, quote, UsageError, UserError } from "../system/errors.js";
import { listFolder, makeFolder, readSmallFileIfThere, refuseLinkedFolder } from "../system/files.js";
import { COUNTER, type FolderFormat, isFileOf, isLeftover } from "./files.js";
import { modelFiles, type OpenFolder, openFolder } from "./folder.js";

/** Formats for gpt-2-simple and other readers of OpenAI's files; for transformers; for llama.cpp and ollama. */
export const EXPORT_FORMATS = ["tensorflow", "huggingface", "gguf"] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** How a model is exported. */
export interface ExportOptions {
  readonly format: ExportFormat;
  /** How a GGUF file stores matrices (default: float32); the other formats always use float32. */
  readonly dtype?: GgufDtype;
  /** Whether to replace an older export of the same format. */
  readonly overwrite?: boolean;
  /** Called from time to time with the bytes written so far, and their total. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** What exportModel() wrote. */
export interface Exported {
  /** The file that names or contains the rest. */
  readonly path: string;
  readonly parameters: number;
  readonly tensors: number;
  /** Bytes of all weights. */
  readonly bytes: number;
  /** What the user should know, one line each. */
  readonly notices: readonly string[];
}

/** A model folder that is being exported. */
interface Opened extends OpenFolder {
  /** A run's number of steps, from its file `counter`. */
  readonly step: number | undefined;
}

/**
 * Writes a folder's model for other programs, whole or not at all.
 * * tensorflow: `checkpoint`, `model-<step>.*` (`model.ckpt.*` if it is not a run), hparams.json,
 *   encoder.json, vocab.bpe and a run's counter, as gpt-2-simple leaves them;
 * * huggingface: config.json, model.safetensors in float32, vocab.json and merges.txt (or tokenizer.json) and two
 *   small files;
 * * gguf: one file with everything.
 * @param out a folder that is new, empty or, with overwrite, holds an older export; for GGUF, a new file or, with
 *   overwrite, an older GGUF file
 * @throws UserError when the model is damaged or the folder holds something else; the signal's reason on an abort
 */
export async function exportModel(folder: string, out: string, options: ExportOptions): Promise<Exported> {
  const { format, overwrite = false } = options;
  const isNew =
    format === "gguf" ? await checkFile(out, overwrite) : await checkOut(folder, out, format, overwrite);
  const model = await openToExport(folder);
  const { hparams, source } = model;
  try {
    checkParameters(hparams, source);
    const { path, bytes, notices = [] } = await WRITERS[format](out, model, options);
    return { path, parameters: countParameters(hparams), tensors: source.tensors.size, bytes, notices };
  } catch (error) {
    if (isNew) await rmdir(out).catch(() => undefined); // created for this; removes it only if it is empty
    throw error;
  } finally {
    await source.close();
  }
}

type Writer = (
  out: string,
  model: Opened,
  options: ExportOptions,
) => Promise<{ path: string; bytes: number; notices?: readonly string[] }>;

const WRITERS: Readonly<Record<ExportFormat, Writer>> = {
  tensorflow: writeTensorFlow,
  huggingface: (out, model, { onProgress, signal }) =>
    // An older export may have had another tokenizer's files.
    writeHuggingFace(out, model, { onProgress, signal, isOld: (name) => isFileOf("huggingface", name) }),
  gguf: async (out, model, { dtype = "float32", overwrite = false, onProgress, signal }) => {
    refuseTokenizer("a GGUF file", model);
    makeFolder(dirname(out));
    const name = basename(out, ".gguf");
    const bytes = await writeGguf(out, model, { dtype, name, overwrite, onProgress, signal });
    const notices =
      model.encoder.endOfText === undefined
        ? ["no token of the vocabulary ends a text: llama.cpp will use token 11"]
        : [];
    return { path: out, bytes, notices };
  },
};

/** @throws UserError when a format's readers lack the model's tokenizer */
function refuseTokenizer(reader: string, { vocabulary }: Opened): void {
  if (!vocabulary.has(TOKENIZER_FILE)) return;
  throw new UserError(`${reader} supports only byte-level BPE, and this model has another tokenizer`, {
    next: `pass ${option("format", "huggingface")}`,
  });
}

async function writeTensorFlow(
  out: string,
  model: Opened,
  { onProgress, signal }: ExportOptions,
): Promise<{ path: string; bytes: number }> {
  const { hparams, source, encoder, step } = model;
  refuseTokenizer("OpenAI's code", model);
  const [own] = Object.keys(unlikeOpenAi(hparams));
  if (own !== undefined)
    throw new UserError(`OpenAI's code has no ${own} option, and this model sets it`, {
      next: `pass ${option("format", "huggingface")}`,
    });
  const companions = modelFiles(hparams, model, encoder.special);
  if (step !== undefined) companions.set(COUNTER, Buffer.from(`${step}\n`));
  const prefix = step === undefined ? "model.ckpt" : `model-${step}`;
  const isOld = (name: string): boolean => isFileOf("tensorflow", name);
  const bytes = await writeCheckpoint(out, prefix, source, { onProgress, signal, companions, isOld });
  return { path: join(out, CHECKPOINT_STATE), bytes };
}

/** Checks that the export may be this file. @returns false: it makes no folder */
async function checkFile(out: string, overwrite: boolean): Promise<false> {
  const found = await stat(out).catch(() => undefined);
  const fail = (reason: string, next = `choose another ${option("out")}`): never => {
    throw new UserError(`${out} ${reason}`, { next });
  };
  if (found?.isDirectory()) {
    fail("is a folder", `name a file in it, ${option("out", join(out, "model.gguf"))}`);
  }
  if (found && !(await isGguf(out))) fail("is not a GGUF file");
  if (found && !overwrite) {
    fail("already exists", `choose another ${option("out")}, or pass ${option("overwrite", true)}`);
  }
  return false;
}

/** Checks that the export may go there. @returns whether the folder is new */
async function checkOut(
  folder: string,
  out: string,
  format: FolderFormat,
  overwrite: boolean,
): Promise<boolean> {
  const found = await stat(out).catch(() => undefined);
  if (!found) return true;
  if (!found.isDirectory())
    throw new UserError(`${out} is a file`, { next: `choose another ${option("out")}` });
  if ((await realpath(out)) === (await realpath(folder))) {
    throw new UsageError(`${out} is the model's own folder`, { next: `choose another ${option("out")}` });
  }
  const names = (await listFolder(out)).filter((name) => !isLeftover(name));
  const other = names.find((name) => !isFileOf(format, name));
  if (other !== undefined) {
    throw new UserError(`${out} holds a file that is not part of an export, ${JSON.stringify(other)}`, {
      next: `choose another ${option("out")}`,
    });
  }
  if (names.length > 0 && !overwrite) {
    throw new UserError(`${out} already holds an export`, {
      next: `choose another ${option("out")}, or pass ${option("overwrite", true)}`,
    });
  }
  if (names.length > 0) await refuseLinkedFolder(out);
  return false;
}

async function openToExport(folder: string): Promise<Opened> {
  const step = await readCounter(join(folder, COUNTER));
  return { ...(await openFolder(folder)), step };
}

/** The number in a run's file `counter`; undefined if there is none. */
async function readCounter(path: string): Promise<number | undefined> {
  const bytes = await readSmallFileIfThere(path, 1 << 10, "begin the run again");
  if (!bytes) return undefined;
  const text = bytes.toString("utf8").trim();
  if (/^\d{1,12}$/.test(text)) return Number(text);
  throw new UserError(`${path} should hold the number of steps, not ${quote(text, 40)}`);
}
