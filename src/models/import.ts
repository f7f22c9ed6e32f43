import { rmdir, stat } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { TOKENS_FILE } from "../encoder/special-tokens.js";
import type { ForeignModel } from "../formats/foreign-model.js";
import { isGguf } from "../formats/gguf/gguf-file.js";
import { openGguf } from "../formats/gguf/open.js";
import { ADAPTER_CONFIG } from "../formats/huggingface/adapter.js";
import { parseConfig } from "../formats/huggingface/config.js";
import { readSmallText } from "../formats/huggingface/json.js";
import type { Tokenizer } from "../formats/huggingface/meaning.js";
import { openHuggingFace } from "../formats/huggingface/open.js";
import { readTokenizer } from "../formats/huggingface/tokenizer.js";
import { finiteSource } from "../formats/stored-tensors.js";
import { namesInOrder } from "../formats/tensor-chunks.js";
import { hasCheckpoint, openCheckpoint } from "../formats/tensorflow/checkpoint.js";
import type { WeightsDtype } from "../formats/tfjs/manifest.js";
import { hasWeights, openWeights } from "../formats/tfjs/read.js";
import { writeWeights } from "../formats/tfjs/write.js";
import type { Hparams } from "../model/hparams.js";
import { checkParameters, countParameters } from "../model/parameters.js";
import type { TensorInfo, WeightSource } from "../model/weight-source.js";
import { UserError } from "../system/errors.js";
import { listFolder } from "../system/files.js";
import { HPARAMS, VOCABULARY } from "./files.js";
import { loadHparams, loadVocabulary, modelFiles, paddingNotice, withoutPadding } from "./folder.js";
import { foreignModel } from "./foreign.js";
import { hubNameNotPath, showHubName } from "./hub-name.js";
import { checkTarget } from "./target.js";

/** How a model is imported. */
export interface ImportOptions {
  readonly dtype: WeightsDtype;
  /** Whether to replace an existing model. */
  readonly overwrite?: boolean;
  /** Small files that are put in place with it. */
  readonly companions?: ReadonlyMap<string, Uint8Array>;
  /** Called from time to time with the bytes written so far, and their total. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** What importModel() wrote. */
export interface Imported {
  readonly parameters: number;
  readonly tensors: number;
  /** Bytes of all weights, without model.json. */
  readonly bytes: number;
  /** What the user should know, one line each. */
  readonly notices: readonly string[];
}

/**
 * Makes a model folder (hparams.json, encoder.json, vocab.bpe, tfjs weights) from another program's folder, a TensorFlow
 * checkpoint as of OpenAI and gpt-2-simple, or Hugging Face's config.json with safetensors or PyTorch's files; or from a
 * file with all weights: one of these, nanoGPT's ckpt.pt, llm.c's .bin or a GGUF file. Writes all or nothing.
 * @param folder the folder or file
 * @param target the model folder, in which an older model is replaced if the options say so
 * @throws UserError when a file is missing or damaged, the model is not a GPT-2, or the target is taken; the signal's
 *   reason on an abort
 */
export async function importModel(folder: string, target: string, options: ImportOptions): Promise<Imported> {
  const replaced = await checkTarget(folder, target, {
    overwrite: options.overwrite === true,
    named: "name",
  });
  const model = await openForeign(folder);
  const { hparams, source, notices, origin } = model;
  try {
    checkParameters(hparams, source);
    const { dtype, onProgress, signal } = options;
    const isOld = (name: string): boolean => replaced?.has(name) === true;
    // One order for all sources, so that the same model gives the same files.
    const tensors = new Map(
      namesInOrder(source).map((name) => [name, source.tensors.get(name) as TensorInfo]),
    );
    const damaged = (name: string): UserError =>
      new UserError(`${source.path}: ${name} holds values that are not numbers`, {
        next: "the model is damaged; fetch it again",
      });
    const bytes = await writeWeights(
      target,
      { ...finiteSource(source, damaged), tensors },
      {
        dtype,
        onProgress,
        signal,
        companions: new Map([...modelFiles(hparams, model, model.special), ...(options.companions ?? [])]),
        isOld,
        generatedBy: origin,
      },
    );
    return { parameters: countParameters(hparams), tensors: tensors.size, bytes, notices };
  } catch (error) {
    if (!replaced) await rmdir(target).catch(() => undefined); // created for this; removes it only if it is empty
    throw error;
  } finally {
    await source.close();
  }
}

/**
 * Refuses a Hugging Face model by its config.json, before its weights are downloaded.
 * @param title the file's name in messages
 * @throws UserError when it is not a GPT-2 that can be imported
 */
export async function checkConfig(path: string, title: string): Promise<void> {
  parseConfig((await readSmallText(path)) ?? "", title);
}

/** The file that nanoGPT's train.py writes. */
const NANOGPT_FILE = "ckpt.pt";
/** Files that may have all weights: safetensors, PyTorch's, nanoGPT's, llm.c's. */
const WEIGHTS = /\.(bin|pt|pth|ckpt|safetensors)$/i;

/** @param folder a folder or a weight file */
async function openForeign(folder: string): Promise<ForeignModel> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isFile()) {
    if (folder.endsWith(".gguf") || (await isGguf(folder))) {
      return openGguf(folder);
    }
    if (WEIGHTS.test(folder)) return openHuggingFace(dirname(folder), basename(folder));
    throw new UserError(`${folder} ${foreignModel(folder)}`);
  }
  const typed = relative(process.cwd(), folder);
  const hub = found ? undefined : hubNameNotPath(typed);
  if (hub) {
    throw new UserError(`${typed} is not a folder here`, {
      next: `if it is a model of the Hugging Face hub, \`gpt2 download ${showHubName(hub)}\` fetches and imports it`,
    });
  }
  const names = await listFolder(folder);
  const isOurs = names.includes(HPARAMS);
  if (isOurs && (await hasCheckpoint(folder))) {
    return openWithHparams(folder, await openCheckpoint(folder), "TensorFlow checkpoint");
  }
  if (isOurs && (await hasWeights(folder))) {
    return openWithHparams(folder, await openWeights(folder), "tfjs weights");
  }
  const gguf = findGguf(folder, names);
  if (gguf !== undefined) return openGguf(gguf);
  if (names.includes("config.json")) {
    return openHuggingFace(folder);
  }
  if (names.includes(NANOGPT_FILE)) {
    return openHuggingFace(folder, NANOGPT_FILE);
  }
  if (await hasCheckpoint(folder)) {
    throw new UserError(`${join(folder, HPARAMS)} is missing next to the checkpoint`, {
      next: "put the model's hparams.json there",
    });
  }
  if (names.includes(ADAPTER_CONFIG)) {
    throw new UserError(`${folder} holds a PEFT adapter without its base`, {
      next: "put config.json, the weights and the tokenizer of its base next to it, and import that folder",
    });
  }
  throw new UserError(`${folder} holds no model to import`, {
    next: "it needs a TensorFlow checkpoint with hparams.json, config.json with model.safetensors or pytorch_model.bin, or a GGUF file",
  });
}

/** The GGUF file of a folder without other weights. @throws UserError when there are several models */
function findGguf(folder: string, names: readonly string[]): string | undefined {
  const isFirst = (name: string): boolean => !/-\d{5}-of-\d{5}\.gguf$/.test(name) || /-00001-of-/.test(name);
  const ggufs = names.filter((name) => name.endsWith(".gguf") && isFirst(name)).sort();
  if (ggufs.length === 0 || names.some((name) => /\.(safetensors|bin)$/.test(name))) return undefined;
  const first = join(folder, ggufs[0]);
  if (ggufs.length === 1) return first;
  throw new UserError(`${folder} holds ${ggufs.length} models in GGUF`, {
    next: `name the file of one of them, such as ${first}`,
  });
}

/**
 * Opens a folder with hparams.json and a vocabulary: encoder.json and vocab.bpe, else Hugging Face's tokenizer, else
 * OpenAI's if the size matches.
 */
async function openWithHparams(folder: string, source: WeightSource, origin: string): Promise<ForeignModel> {
  const stored = await loadHparams(folder);
  const names = await listFolder(folder);
  const isOurs = [...VOCABULARY, TOKENS_FILE].some((name) => names.includes(name));
  const foreign = isOurs ? undefined : await readTokenizer(folder, stored.n_vocab);
  const { encoder, vocabulary, notices } = foreign ?? (await folderVocabulary(folder, stored));
  const all = [...notices, ...paddingNotice(stored.n_vocab, encoder.n_vocab)];
  const cut = await withoutPadding(stored, source, encoder);
  return { vocabulary, ...cut, special: encoder.special, notices: all, origin };
}

async function folderVocabulary(folder: string, stored: Hparams): Promise<Tokenizer> {
  const { isOwn, ...found } = await loadVocabulary(folder, stored);
  return { ...found, notices: isOwn ? [] : ["it has no encoder.json and vocab.bpe: using OpenAI's"] };
}
