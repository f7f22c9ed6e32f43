import type { Stats } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { sha256Of } from "../formats/byte-ranges.js";
import { UserError } from "../system/errors.js";
import { fileError } from "../system/files.js";
import { showUrl, TransferError } from "./http.js";
import { PartFile } from "./part-file.js";
import { type FileJob, fetchFrom, report, type Transfer } from "./transfer.js";

/** What became of one file. */
export type FileResult =
  | {
      readonly outcome: "fetched" | "unchanged";
      readonly bytes: number;
      readonly fetched: number;
      readonly url?: URL;
    }
  /** No address has it, and at least one host said so. */
  | { readonly outcome: "missing"; readonly reason: string };

/**
 * Fetches one file, resuming where an earlier download stopped, and puts it in place once its size and sha256 are right.
 * Keeps a good file that is already there, and replaces a bad one.
 * @throws UserError that lists every address and what happened there; the signal's reason when it aborts
 */
export async function fetchFile(job: FileJob): Promise<FileResult> {
  const { path, expected, signal, onEvent } = job;
  const existing = await statOf(path);
  if (existing && (await isKnownGood(job, existing))) {
    await rm(`${path}.part`, { force: true });
    await rm(`${path}.part.json`, { force: true });
    onEvent({ type: "done", bytes: existing.size, skipped: true });
    return { outcome: "unchanged", bytes: existing.size, fetched: 0 };
  }
  const part = await PartFile.open(path, expected.sha256 !== undefined, signal);
  const transfer: Transfer = {
    ...job,
    part,
    existing: existing && expected.bytes === undefined && part.size === 0 ? existing : undefined,
    spliced: part.size > 0,
    started: false,
    fetched: 0,
  };
  const failures: { url: URL; error: TransferError }[] = [];
  const dead = new Set<string>();
  try {
    if (!(await isWhole(transfer))) {
      for (const url of job.urls) {
        if (dead.has(url.origin)) continue;
        try {
          const outcome = await fetchFrom(url, transfer);
          if (outcome === "unchanged") {
            const { size } = transfer.existing as Stats;
            onEvent({ type: "done", bytes: size, skipped: true });
            return { outcome, bytes: size, fetched: 0, url };
          }
          return await commit(transfer, url);
        } catch (error) {
          if (!(error instanceof TransferError)) throw error;
          failures.push({ url, error });
          if (error.unreachable) dead.add(url.origin);
          if (url !== job.urls.at(-1)) report(transfer, url, error, 0);
        }
      }
      return failed(job, failures);
    }
    return await commit(transfer);
  } finally {
    await part.close();
  }
}

async function commit(transfer: Transfer, url?: URL): Promise<FileResult> {
  const { part, fetched } = transfer;
  transfer.signal.throwIfAborted();
  await transfer.beforeCommit();
  const bytes = part.size;
  await part.commit();
  transfer.onEvent({ type: "done", bytes, skipped: false });
  return { outcome: "fetched", bytes, fetched, url };
}

/** The result after all addresses have failed. @throws UserError unless the file is just missing */
function failed(job: FileJob, failures: readonly { url: URL; error: TransferError }[]): FileResult {
  const told = failures.map(({ error }) => job.explain?.(error)).find((each) => each !== undefined);
  if (told) throw told;
  const reason = failures.map(({ url, error }) => `${showUrl(url)}: ${error.message}`).join("; ");
  if (failures.some(({ error }) => error.missing)) return { outcome: "missing", reason };
  throw new UserError(`cannot download ${job.title}: ${reason}`, {
    next: job.next,
    cause: failures.at(-1)?.error,
  });
}

async function statOf(path: string): Promise<Stats | undefined> {
  let found: Stats;
  try {
    found = await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fileError("read", path, error);
  }
  if (!found.isFile())
    throw new UserError(`${path} is in the way and is not a file`, { next: "move it elsewhere" });
  return found;
}

/** Whether the file in its place is known to be right, without asking a host. */
async function isKnownGood(job: FileJob, existing: Stats): Promise<boolean> {
  const { bytes, sha256 } = job.expected;
  if (bytes === undefined || existing.size !== bytes) return false;
  if (sha256 === undefined) return true;
  job.onEvent({ type: "check", total: bytes });
  return (await sha256Of(job.path, bytes, { signal: job.signal })) === sha256;
}

/** Whether an earlier download got all bytes, and stopped just before the rename. */
async function isWhole({ part, expected }: Transfer): Promise<boolean> {
  const { bytes, sha256 } = expected;
  if (bytes === undefined || sha256 === undefined || part.size < bytes) return false;
  if (part.size === bytes && part.digest() === sha256) return true;
  await part.empty();
  return false;
}
