// Fetches a model by name, wherever it comes from, into a folder that every command accepts.
import { existsSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { checkTokenizerFiles } from "../formats/huggingface/open.js";
import type { WeightsDtype } from "../formats/tfjs/manifest.js";
import { hasWeights, openWeights } from "../formats/tfjs/read.js";
import { canonicalName } from "../models/catalog.js";
import { type Converted, convert } from "../models/convert.js";
import { CONFIG, HUB_FILE, modelFilesIn, STAGING } from "../models/files.js";
import { loadHparams, loadVocabulary } from "../models/folder.js";
import {
  folderNames,
  type HubName,
  type HubRecord,
  hubRecordJson,
  isRecordOf,
  parseHubName,
  readHubRecord,
  showHubName,
} from "../models/hub-name.js";
import { checkConfig, importModel } from "../models/import.js";
import { DEMOS, isModelFolder, modelsDirs } from "../models/store.js";
import { EXIT, option, UsageError, UserError } from "../system/errors.js";
import { elsewhereIfReadOnly, exists, replaceFile } from "../system/files.js";
import {
  type DownloadEvent,
  downloadModel,
  inFolder,
  interruptible,
  type TransferOptions,
  transferOf,
} from "./download.js";
import { fetchFile } from "./fetch-file.js";
import { type Hub, hubOf, isOffline, type Listing, listRepository, refusal } from "./hub.js";
import { cachedSnapshot, hubCache } from "./hub-cache.js";
import { neededFiles } from "./hub-files.js";

/** How a model is fetched and stored. */
export interface FetchOptions extends TransferOptions {
  readonly models_dir?: string;
  /** The address above the folders of OpenAI's files. */
  readonly baseUrl?: string;
  /** How to store the weights. */
  readonly dtype: WeightsDtype;
  /** Called with the bytes of weights written so far, and their total. */
  readonly onConvert?: (done: number, total: number) => void;
}

/** A fetched model. */
export interface Fetched {
  readonly folder: string;
  /** What was written; undefined if everything existed already. */
  readonly written?: Converted;
  /** Which model of the hub it is. */
  readonly hub?: HubRecord;
  /** What the user should know, one line each. */
  readonly notices: readonly string[];
}

/**
 * Fetches a model, checks it and makes it ready to use: one of OpenAI's, one from the user's own host (baseUrl), or one
 * from the Hugging Face hub (USER/NAME, hf:NAME, distilgpt2 ..., each with or without @REVISION). Fetches only what is
 * missing, and resumes unfinished downloads.
 * @throws UserError with one line on what failed and the next step, with exit code 130 when the signal aborted
 */
export async function fetchModel(name: string, options: FetchOptions): Promise<Fetched> {
  const hubName = parseHubName(name);
  if (hubName && (options.baseUrl === undefined || /[:/]/.test(name))) return fetchFromHub(hubName, options);
  return fetchOpenAi(name, options);
}

/** The folder for one of OpenAI's models: in the first models folder, under its older name unless the newer exists. */
function openAiFolder(name: string, models_dir: string | undefined): string {
  const [dir] = modelsDirs(models_dir);
  const own = join(dir, name);
  const canonical = join(dir, canonicalName(name) ?? name);
  return existsSync(own) && !existsSync(canonical) ? own : canonical;
}

async function fetchOpenAi(name: string, options: FetchOptions): Promise<Fetched> {
  const folder = openAiFolder(name, options.models_dir);
  const { bytes } = await elsewhere(() => downloadModel(name, folder, options));
  // A host may have sent an error page, or a cut file: no checksum covers these files.
  await loadVocabulary(folder, await loadHparams(folder));
  if (bytes === 0 && (await isWhole(folder))) return { folder, notices: [] };
  const { dtype, onConvert: onProgress, signal } = options;
  const written = await converting(signal, () => convert(folder, { dtype, onProgress, signal }));
  return { folder, written, notices: [] };
}

/** Whether the folder's weights are complete. */
async function isWhole(folder: string): Promise<boolean> {
  if (!(await hasWeights(folder))) return false;
  try {
    await (await openWeights(folder)).close();
    return true;
  } catch {
    return false;
  }
}

function elsewhere<T>(work: () => Promise<T>): Promise<T> {
  return elsewhereIfReadOnly(`choose another folder with ${option("models_dir")}`, work);
}

async function converting<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await elsewhere(work);
  } catch (error) {
    if (!signal?.aborted || error instanceof UserError) throw error;
    throw new UserError("conversion stopped; nothing was changed", {
      exitCode: EXIT.interrupted,
      cause: error,
    });
  }
}

async function fetchFromHub(asked: HubName, options: FetchOptions): Promise<Fetched> {
  const snapshot = cachedSnapshot(asked);
  if (snapshot) {
    const record = { ...asked, commit: snapshot.commit };
    return importFrom(snapshot.folder, hubFolder(record, options.models_dir), record, options);
  }
  if (isOffline()) {
    const record = readHubRecord(hubFolder(asked, options.models_dir));
    const folder = hubFolder(asked, options.models_dir);
    if (isRecordOf(record, asked) && isModelFolder(folder)) return { folder, hub: record, notices: [] };
    throw new UserError(
      `${showHubName(asked)} is not in the hub's cache ${hubCache()}, and HF_HUB_OFFLINE is set`,
      {
        next: "unset it to download",
      },
    );
  }
  const title = showHubName(asked);
  const { onFile, ...transfer } = transferOf(options);
  const hub = hubOf();
  const listing = await interruptible(title, transfer.signal, () =>
    listRepository(hub, asked, {
      ...transfer,
      onRetry: (reason) => onFile({ file: title, type: "retry", url: hub.endpoint, reason, delay: 0 }),
    }),
  );
  const { repository, commit } = listing;
  const isRenamed = repository !== asked.repository;
  if (isRenamed) {
    onFile({ file: asked.repository, type: "warning", message: `the hub calls it ${repository} now` });
  }
  const record = { ...asked, repository, commit, ...(isRenamed && { asked: asked.repository }) };
  const folder = hubFolder(record, options.models_dir);
  if (isAt(folder, record)) return { folder, hub: record, notices: [] };
  const staging = join(folder, STAGING);
  try {
    await elsewhere(() => fetchFiles(staging, record, listing, hub, options));
    return await importFrom(staging, folder, record, options);
  } finally {
    await rmdir(folder).catch(() => undefined); // removes it only if it is empty
  }
}

const isAt = (folder: string, { commit }: HubRecord): boolean =>
  isModelFolder(folder) && readHubRecord(folder)?.commit === commit;

/**
 * The folder for a model of the hub: the one that already has it, else the first of its names that is free.
 * @throws UsageError when all are taken
 */
function hubFolder(model: HubName & { readonly asked?: string }, models_dir: string | undefined): string {
  const [dir] = modelsDirs(models_dir);
  // The user knows the name that was typed, not the hub's present one.
  const typed = { ...model, repository: model.asked ?? model.repository };
  const isOther = (name: string): boolean => canonicalName(name) !== undefined || DEMOS.includes(name);
  const places = folderNames(typed, isOther).map((name) => join(dir, name));
  const isOurs = (place: string): boolean =>
    isRecordOf(readHubRecord(place), typed) || isRecordOf(readHubRecord(place), model);
  const place = places.find(isOurs) ?? places.find((each) => !existsSync(each));
  if (place !== undefined) return place;
  throw new UsageError(`${places.join(" and ")} already exist and hold another model`, {
    next: `rename them, or choose another folder with ${option("models_dir")}`,
  });
}

/** Fetches the needed files of a repository, small ones first, because they show whether the rest is usable. */
async function fetchFiles(
  staging: string,
  record: HubRecord,
  { files }: Listing,
  hub: Hub,
  options: FetchOptions,
): Promise<void> {
  const { repository, commit } = record;
  const needed = neededFiles([...files.keys()]);
  if (!needed) throw noModel(repository, [...files.keys()]);
  checkTokenizerFiles(repository, [...files.keys()]);
  const { onFile, ...transfer } = transferOf(options);
  const next = "run the same command again to resume, or set HF_ENDPOINT to a mirror";
  const fetchOne = async (file: string, check: () => Promise<void>): Promise<void> => {
    const result = await fetchFile({
      title: `${file} of ${repository}`,
      owner: repository,
      path: join(staging, file),
      urls: [new URL(`${hub.endpoint}/${repository}/resolve/${commit}/${file}`)],
      headers: hub.headers,
      expected: files.get(file) ?? {},
      ...transfer,
      onEvent: (event) => onFile({ ...event, file } as DownloadEvent),
      next,
      // A file that is listed but missing is not a refusal: its own message says so.
      explain: (error) => (error.missing ? undefined : refusal(error, record, hub)),
      beforeCommit: check,
    });
    if (result.outcome === "missing") {
      throw new UserError(`cannot download ${file} of ${repository}: ${result.reason}`, { next });
    }
  };
  await interruptible(showHubName(record), transfer.signal, () =>
    inFolder(staging, async (check) => {
      if (readHubRecord(staging)?.commit !== commit) {
        // Of another commit: without a sha256, its files cannot be told from ours.
        for (const file of [...needed.small, ...needed.weights]) {
          if (files.get(file)?.sha256 === undefined) await removeStaged(staging, file);
        }
        await replaceFile(join(staging, HUB_FILE), hubRecordJson(record));
      }
      for (const file of needed.small) await fetchOne(file, check);
      try {
        await checkConfig(join(staging, CONFIG), `${CONFIG} of ${repository}`);
      } catch (error) {
        for (const file of [...needed.small, HUB_FILE]) await removeStaged(staging, file);
        throw error;
      }
      for (const file of needed.weights) await fetchOne(file, check);
    }),
  );
}

async function removeStaged(staging: string, file: string): Promise<void> {
  for (const end of ["", ".part", ".part.json"]) await rm(join(staging, file + end), { force: true });
}

function noModel(repository: string, names: readonly string[]): UserError {
  const gguf = names.find((name) => name.endsWith(".gguf"));
  if (gguf !== undefined) {
    return new UserError(`${repository} has no model.safetensors and no pytorch_model.bin, but ${gguf}`, {
      next: "download that file and import it",
    });
  }
  if (names.includes("adapter_config.json")) {
    return new UserError(`${repository} is an adapter, not a model`, {
      next: "download the model that it was made for",
    });
  }
  return new UserError(
    `${repository} holds no model that can be read: it needs ${CONFIG} and model.safetensors or pytorch_model.bin`,
    { next: "choose another repository or revision" },
  );
}

/** Imports the fetched files, replacing an older commit's model in the folder; then removes them. */
async function importFrom(
  from: string,
  folder: string,
  record: HubRecord,
  { dtype, signal, onConvert: onProgress }: FetchOptions,
): Promise<Fetched> {
  if (isAt(folder, record)) return { folder, hub: record, notices: [] };
  const { notices, ...written } = await converting(signal, () =>
    importModel(from, folder, {
      dtype,
      signal,
      onProgress,
      overwrite: true,
      companions: new Map([[HUB_FILE, Buffer.from(hubRecordJson(record))]]),
    }),
  );
  const staged = modelFilesIn(folder).names.filter((name) => name.startsWith(`${STAGING}/`));
  for (const name of staged) await rm(join(folder, name), { force: true });
  if (await exists(join(folder, STAGING))) await rmdir(join(folder, STAGING)).catch(() => undefined);
  return { folder, written, hub: record, notices };
}
