import { type Stats, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { KnownFile } from "../models/catalog.js";
import { option, UserError } from "../system/errors.js";
import {
  type Answer,
  type AnswerHeaders,
  get,
  showUrl,
  statusError,
  type Timeouts,
  TransferError,
} from "./http.js";
import type { Origin, PartFile } from "./part-file.js";

/** An event of a file's download, for progress bars and messages. Sizes in bytes. */
export type FileEvent =
  /** An existing file is being hashed. */
  | { readonly type: "check"; readonly total: number }
  /** Bytes are about to arrive; once per file. `total` is unknown if the host does not say. */
  | { readonly type: "start"; readonly url: string; readonly total?: number; readonly resumedAt: number }
  /** This many bytes have arrived; fewer than before if it had to start over. */
  | { readonly type: "progress"; readonly bytes: number }
  /** It failed and continues after `delay` milliseconds, or starts over or moves to the next host at once. */
  | { readonly type: "retry"; readonly url: string; readonly reason: string; readonly delay: number }
  /** The file is good and in its place; `skipped`: it already was. */
  | { readonly type: "done"; readonly bytes: number; readonly skipped: boolean };

/** How patient a download is. Times in milliseconds. */
export interface Patience {
  /** Retries at the same host without progress. */
  readonly retries: number;
  /** The wait before the first retry, doubled each time, up to 30 seconds. */
  readonly retryDelay: number;
  /** The longest wait that a host may ask for. */
  readonly maxRetryAfter: number;
  readonly timeouts: Timeouts;
}

/** The patience of a download that sets none. */
export const PATIENCE: Patience = {
  retries: 5,
  retryDelay: 1_000,
  maxRetryAfter: 60_000,
  timeouts: { headers: 30_000, idle: 60_000 },
};

/** One file to fetch. */
export interface FileJob {
  /** For messages, e.g. "encoder.json of 117M". */
  readonly title: string;
  /** Whose file it should be, for messages, e.g. "OpenAI's 117M". */
  readonly owner: string;
  readonly path: string;
  /** Addresses of the file, in the order to try them. */
  readonly urls: readonly URL[];
  /** Sent with each request. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly expected: KnownFile;
  readonly patience: Patience;
  readonly signal: AbortSignal;
  readonly onEvent: (event: FileEvent) => void;
  /** Origins that have answered in this run: an outage there is worth a longer wait. */
  readonly answered: Set<string>;
  /** The next step when every address has failed. */
  readonly next: string;
  /** Explains a failure to whoever wants the file; by default its own message is shown. */
  readonly explain?: (error: TransferError) => UserError | undefined;
  /** Called before the file gets its name; throws if it must not. */
  readonly beforeCommit: () => Promise<void>;
}

/** After this many bytes earlier failures are forgotten, because a long download may be interrupted many times. */
const PROGRESS = 1 << 20;
const MAX_DELAY = 30_000;

/** The state of one file's transfer. */
export interface Transfer extends FileJob {
  readonly part: PartFile;
  /** A finished file of an earlier download whose contents have not been verified. */
  readonly existing: Stats | undefined;
  /** Whether the part was assembled from more than one response. */
  spliced: boolean;
  started: boolean;
  fetched: number;
}

/** Fetches from one address, with retries, until the part is complete and right. @throws TransferError */
export async function fetchFrom(url: URL, transfer: Transfer): Promise<"complete" | "unchanged"> {
  const { part, expected, patience, signal, answered } = transfer;
  let failures = 0;
  let furthest = part.size;
  let startedOver = false;
  for (;;) {
    try {
      const outcome = await attempt(url, transfer);
      if (outcome === "unchanged" || !expected.sha256) return outcome;
      if (part.digest() === expected.sha256) return outcome;
      const error = new TransferError(`its sha256 is not that of ${transfer.owner}`);
      const again = transfer.spliced && !startedOver;
      await part.empty();
      if (!again) throw error;
      startedOver = true;
      report(transfer, url, error, 0);
    } catch (error) {
      if (!(error instanceof TransferError) || !error.again) throw error;
      if (part.size >= furthest + PROGRESS) failures = 0;
      furthest = Math.max(furthest, part.size);
      const neverThere = error.unreachable && !answered.has(url.origin);
      const most = neverThere ? Math.min(1, patience.retries) : patience.retries;
      if (failures >= most) throw error;
      const delay = delayAfter(error, failures++, patience);
      report(transfer, url, error, delay);
      await sleep(delay, undefined, { signal });
    }
  }
}

/** Milliseconds to wait before the next attempt: more after each failure, or what the host asks. */
export function delayAfter({ retryAfter }: TransferError, failures: number, patience: Patience): number {
  if (retryAfter !== undefined) return Math.min(retryAfter, patience.maxRetryAfter);
  return Math.min(patience.retryDelay * 2 ** failures, MAX_DELAY);
}

/** Reports a failure that is not the end. */
export function report(transfer: Transfer, url: URL, error: TransferError, delay: number): void {
  transfer.onEvent({ type: "retry", url: showUrl(url), reason: error.message, delay });
}

/** One request for the missing bytes, or for all of them. */
async function attempt(url: URL, transfer: Transfer): Promise<"complete" | "unchanged"> {
  const { part, patience, signal } = transfer;
  const range = await planRange(url, transfer);
  // With a Range, fetch itself requests an uncompressed response.
  const headers: Record<string, string> = {
    ...transfer.headers,
    ...(range
      ? { Range: `bytes=${range.offset}-`, ...(range.validator ? { "If-Range": range.validator } : {}) }
      : { "Accept-Encoding": "identity" }),
  };
  const answer = await get(url, headers, patience.timeouts, signal);
  try {
    transfer.answered.add(url.origin);
    if (range && answer.status !== 416) {
      if (answer.status === 206) {
        refuseOtherThings(answer);
        const size = sizeOfRest(answer, range.offset, transfer);
        if (size !== undefined) {
          transfer.spliced = true;
          return await receive(url, answer, transfer, size, part.size - range.offset);
        }
      }
    }
    if (answer.status === 200) return await receiveWhole(url, answer, transfer);
    if (!range || (answer.status !== 206 && answer.status !== 416)) {
      throw statusError(answer.status, answer.headers);
    }
  } finally {
    answer.cancel();
  }
  // The host has another file now, or fewer bytes: with an empty part, the next request has no Range.
  report(transfer, url, new TransferError("the file has changed there: starting over"), 0);
  await part.empty();
  return attempt(url, transfer);
}

/** Where to resume; undefined: from the beginning, with an empty part. */
async function planRange(
  url: URL,
  { part, expected }: Transfer,
): Promise<{ offset: number; validator?: string } | undefined> {
  if (part.size === 0) return undefined;
  const origin = part.origin;
  const sameUrl = origin?.url === showUrl(url);
  const validator = sameUrl ? (origin.etag ?? origin.lastModified) : undefined;
  const size = expected.bytes ?? (sameUrl ? origin.bytes : undefined);
  // Without a sha256, only the host can say that the rest belongs to the same file.
  if ((validator === undefined && !expected.sha256) || (size !== undefined && part.size > size)) {
    await part.empty();
    return undefined;
  }
  // All bytes have arrived unverified: request the last one again, on condition that nothing changed.
  return { offset: part.size === size ? size - 1 : part.size, validator };
}

/** The whole file's size if the response is the rest of the part's file; else undefined. */
function sizeOfRest({ headers }: Answer, offset: number, transfer: Transfer): number | undefined {
  const { part, expected } = transfer;
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get("content-range") ?? "");
  if (!match || Number(match[1]) !== offset) return undefined;
  const size = Number(match[3]);
  if (expected.bytes !== undefined && size !== expected.bytes) throw sizeError(size, transfer);
  if (expected.sha256 !== undefined) return size;
  // A host without If-Range sends the rest of whatever it has now.
  const now = originOf(headers);
  const before = part.origin;
  const same = size === before?.bytes && now.etag === before.etag && now.lastModified === before.lastModified;
  return same ? size : undefined;
}

async function receiveWhole(url: URL, answer: Answer, transfer: Transfer): Promise<"complete" | "unchanged"> {
  const { part, expected, existing } = transfer;
  refuseOtherThings(answer);
  const length = answer.headers.get("content-length");
  const size = length !== null && /^\d+$/.test(length) ? Number(length) : undefined;
  if (size !== undefined && expected.bytes !== undefined && size !== expected.bytes) {
    throw sizeError(size, transfer);
  }
  if (size === 0) throw new TransferError("an empty file");
  const total = size ?? expected.bytes;
  // A chunked body has an explicit end; one that ends with the connection may be truncated.
  if (total === undefined && !answer.headers.has("transfer-encoding")) {
    throw new TransferError("the host does not say how long the file is (no Content-Length)");
  }
  if (existing && isUnchanged(answer.headers, size, existing)) return "unchanged";
  await part.empty();
  transfer.spliced = false;
  return receive(url, answer, transfer, total, 0);
}

/** Whether the host's file is the one that an earlier download put in place. */
function isUnchanged(headers: AnswerHeaders, size: number | undefined, existing: Stats): boolean {
  if (size !== existing.size) return false;
  const modified = Date.parse(headers.get("last-modified") ?? "");
  return Number.isNaN(modified) || modified <= existing.mtimeMs;
}

/**
 * Appends the body to the part.
 * @param total size of the whole file, if known
 * @param overlap bytes at the beginning of the body that the part already has
 */
async function receive(
  url: URL,
  answer: Answer,
  transfer: Transfer,
  total: number | undefined,
  overlap: number,
): Promise<"complete"> {
  const { part, path, onEvent } = transfer;
  if (total !== undefined) checkSpace(dirname(path), total - part.size);
  const { most = Number.POSITIVE_INFINITY } = transfer.expected;
  if (total !== undefined && total > most) {
    throw new TransferError(`the host announces ${total} bytes, and such a file has at most ${most}`);
  }
  await part.begin({ url: showUrl(url), bytes: total, ...originOf(answer.headers) });
  if (!transfer.started) onEvent({ type: "start", url: showUrl(url), total, resumedAt: part.size });
  else onEvent({ type: "progress", bytes: part.size });
  transfer.started = true;
  let skip = overlap;
  for await (const piece of answer.chunks()) {
    const chunk = piece.subarray(skip);
    skip = Math.max(0, skip - piece.length);
    if (part.size + chunk.length > (total ?? most)) {
      await part.empty();
      throw new TransferError(
        `more than the ${total ?? most} bytes that the file ${total === undefined ? "may" : "should"} have`,
      );
    }
    await part.append(chunk);
    transfer.fetched += chunk.length;
    onEvent({ type: "progress", bytes: part.size });
  }
  if (total !== undefined && part.size < total) {
    throw new TransferError(`it ended after ${part.size} of ${total} bytes`, { again: true });
  }
  return "complete";
}

function sizeError(size: number, transfer: Transfer): TransferError {
  return new TransferError(
    `the file has ${size} bytes there, not the ${transfer.expected.bytes} of ${transfer.owner}`,
  );
}

/** Refuses responses that are not a file, such as a hotel network's login page. */
function refuseOtherThings({ headers }: Answer): void {
  const type = headers.get("content-type") ?? "";
  if (/^\s*(text\/html|application\/xhtml)/i.test(type)) {
    throw new TransferError("a web page instead of the file");
  }
  const encoding = headers.get("content-encoding")?.trim() ?? "";
  if (encoding !== "" && encoding.toLowerCase() !== "identity") {
    throw new TransferError(
      `the host compresses the file (${JSON.stringify(encoding)}); it was not asked to`,
    );
  }
}

function originOf(headers: AnswerHeaders): Pick<Origin, "etag" | "lastModified"> {
  const etag = headers.get("etag") ?? "";
  return {
    // A weak tag (W/"...") does not promise the same bytes.
    etag: etag.startsWith('"') ? etag : undefined,
    lastModified: headers.get("last-modified") ?? undefined,
  };
}

/** @throws UserError when the disk has fewer bytes left */
function checkSpace(folder: string, bytes: number): void {
  let free: number;
  try {
    const { bavail, bsize, blocks } = statfsSync(folder);
    if (blocks === 0) return; // the file system does not say
    free = bavail * bsize;
  } catch {
    return;
  }
  if (bytes <= free) return;
  const inMB = (n: number): string => `${Math.ceil(n / 1e6)} MB`;
  throw new UserError(`${folder} needs ${inMB(bytes)} more and its disk has ${inMB(free)} left`, {
    next: `free some space, or choose another folder with ${option("models_dir")}`,
  });
}
