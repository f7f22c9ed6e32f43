import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import {
  CATALOG,
  type Catalog,
  catalogEntry,
  MOST_BYTES,
  type ModelFile,
  OPTIONAL_FILE,
} from "../models/catalog.js";
import { OPENAI_FILES } from "../models/files.js";
import { EXIT, option, UserError } from "../system/errors.js";
import { makeFolder } from "../system/files.js";
import { lockFolder } from "../system/lock.js";
import { fetchFile } from "./fetch-file.js";
import { below, sourcesOf } from "./hosts.js";
import type { Timeouts } from "./http.js";
import { type FileEvent, PATIENCE, type Patience } from "./transfer.js";

/** An event of a download: about a file, or a warning that does not end it. */
export type DownloadEvent =
  | ({ readonly file: string } & FileEvent)
  | { readonly file: string; readonly type: "warning"; readonly message: string };

/** How to download. */
export interface TransferOptions {
  readonly onFile?: (event: DownloadEvent) => void;
  /** Stops the download at once; what has arrived is kept for the next time. */
  readonly signal?: AbortSignal;
  readonly retries?: number;
  /** Milliseconds before the first retry. */
  readonly retryDelay?: number;
  /** The longest wait that a host may ask for, in milliseconds. */
  readonly maxRetryAfter?: number;
  readonly timeouts?: Partial<Timeouts>;
}

/** How OpenAI's files are downloaded. */
export interface DownloadOptions extends TransferOptions {
  /** The address above the models' folders; default: OpenAI's host and its mirror. */
  readonly baseUrl?: string;
  /** For tests. */
  readonly catalog?: Catalog;
}

/** One of a model's files. */
export interface DownloadedFile {
  readonly file: ModelFile;
  readonly bytes: number;
  /** Whether it existed already. */
  readonly skipped: boolean;
}

/** What downloadModel() left in the folder. */
export interface DownloadResult {
  readonly folder: string;
  /** The files now in the folder; without model.ckpt.meta if no host has it. */
  readonly files: readonly DownloadedFile[];
  /** Bytes that came over the network. */
  readonly bytes: number;
}

/**
 * Downloads a model's seven files into a folder. A file gets its name only when it is complete and its size, and sha256
 * if known, are right; running it again resumes where it stopped and skips finished files.
 * @param name a name in the catalog; with a baseUrl, any name
 * @param folder created if missing
 * @throws UsageError for a wrong name or baseUrl; UserError with one line on what failed and the next step, with exit
 *   code 130 when the signal aborted
 */
export async function downloadModel(
  name: string,
  folder: string,
  options: DownloadOptions = {},
): Promise<DownloadResult> {
  const catalog = options.catalog ?? CATALOG;
  let sources = sourcesOf(name, options.baseUrl, catalog);
  const known = catalogEntry(name, catalog);
  const { onFile, ...transfer } = transferOf(options);
  const { signal } = transfer;
  const files: DownloadedFile[] = [];
  let bytes = 0;
  await interruptible(name, signal, () =>
    inFolder(folder, async (check) => {
      for (const file of OPENAI_FILES) {
        const result = await fetchFile({
          title: `${file} of ${name}`,
          owner: `OpenAI's ${known?.name} (give a model of your own a name of its own)`,
          path: join(folder, file),
          urls: sources.map((source) => below(source, file)),
          expected: { most: MOST_BYTES[file], ...known?.files[file] },
          ...transfer,
          onEvent: (event) => onFile({ ...event, file }),
          next: `run the same command again to resume, or name another host with ${option("base_url")}`,
          beforeCommit: check,
        });
        if (result.outcome === "missing") {
          const { reason } = result;
          if (file !== OPTIONAL_FILE) throw missingError(file, name, reason, options.baseUrl !== undefined);
          onFile({
            file,
            type: "warning",
            message: `${file} is missing there (${reason}): nothing here needs it`,
          });
          continue;
        }
        files.push({ file, bytes: result.bytes, skipped: result.outcome === "unchanged" });
        bytes += result.fetched;
        // Ask the host that had this file first for the next one.
        const from = sources.find((source) => result.url && below(source, file).href === result.url.href);
        if (from) sources = [from, ...sources.filter((source) => source !== from)];
      }
    }),
  );
  return { folder, files, bytes };
}

/** The options that all transfers of one download share. */
export function transferOf(options: TransferOptions) {
  const patience: Patience = {
    retries: options.retries ?? PATIENCE.retries,
    retryDelay: options.retryDelay ?? PATIENCE.retryDelay,
    maxRetryAfter: options.maxRetryAfter ?? PATIENCE.maxRetryAfter,
    timeouts: { ...PATIENCE.timeouts, ...options.timeouts },
  };
  const signal = options.signal ?? new AbortController().signal;
  return { patience, signal, onFile: options.onFile ?? (() => undefined), answered: new Set<string>() };
}

/** Runs a download; after an abort, throws the message for it. */
export async function interruptible<T>(
  name: string,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  try {
    signal.throwIfAborted();
    return await work();
  } catch (error) {
    if (!signal.aborted || error instanceof UserError) throw error;
    throw new UserError(`the download of ${name} was interrupted`, {
      next: "run the same command again to resume",
      exitCode: EXIT.interrupted,
      cause: error,
    });
  }
}

function missingError(file: ModelFile, name: string, reason: string, ownHost: boolean): UserError {
  const next = ownHost
    ? `check the name and ${option("base_url")}`
    : `run the same command again later, or name another host with ${option("base_url")}`;
  return new UserError(`cannot download ${file} of ${name}: ${reason}`, { next });
}

/** Runs work in a locked folder; a folder created for it that stays empty is removed. */
export async function inFolder(
  folder: string,
  work: (check: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const created = makeFolder(folder);
  try {
    const lock = await lockFolder(folder, { file: ".download.lock", name: "download" });
    try {
      await work(() => lock.check());
    } finally {
      await lock.release();
    }
  } catch (error) {
    // Removes it only if it is empty.
    if (created) await rmdir(folder).catch(() => undefined);
    throw error;
  }
}
