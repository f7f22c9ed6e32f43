// The Hugging Face hub: credentials, a repository's files, and what a refusal means.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { KnownFile } from "../models/catalog.js";
import { type HubName, isCommit, isRepository, showHubName } from "../models/hub-name.js";
import { messageOf, UsageError, UserError } from "../system/errors.js";
import { get, showUrl, statusError, TransferError } from "./http.js";
import { hubHome } from "./hub-cache.js";
import { delayAfter, type Patience } from "./transfer.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** Far more than any repository's list of files. */
const LIST_BYTES = 64 << 20;
const TOKEN_BYTES = 4096;

/** The hub's address, and the user's credentials. */
export interface Hub {
  /** Without a trailing slash. */
  readonly endpoint: string;
  /** Sent with each request; the token in it is never shown. */
  readonly headers: Readonly<Record<string, string>>;
  /** The variable or file that holds the token. */
  readonly tokenFrom: string | undefined;
}

/**
 * Reads how to reach the hub: $HF_ENDPOINT, and the token from $HF_TOKEN or from the file where `hf auth login` puts it.
 * @throws UsageError when the address is invalid, or the token could not be sent
 */
export function hubOf(env: Environment = process.env): Hub {
  const address = env["HF_ENDPOINT"] || "https://huggingface.co";
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (!url || !["https:", "http:"].includes(url.protocol) || url.username || url.password) {
    throw new UsageError("HF_ENDPOINT is not the address of a hub", {
      next: "set it to one such as https://huggingface.co",
    });
  }
  const { token, from } = tokenOf(env);
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new UsageError(`the token from ${from} has characters that tokens never have`, {
      next: "copy it again",
    });
  }
  return {
    endpoint: showUrl(url).replace(/\/+$/, ""),
    headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
    tokenFrom: token === undefined ? undefined : from,
  };
}

function tokenOf(env: Environment): { token?: string; from?: string } {
  for (const from of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
    const token = env[from]?.trim();
    if (token) return { token, from };
  }
  const file = env["HF_TOKEN_PATH"] || join(hubHome(env), "token");
  try {
    const token = readFileSync(file, "utf8").slice(0, TOKEN_BYTES).trim();
    return token === "" ? {} : { token, from: file };
  } catch {
    return {};
  }
}

/** Whether $HF_HUB_OFFLINE forbids asking the hub. */
export function isOffline(env: Environment = process.env): boolean {
  return /^(1|on|yes|true)$/i.test(env["HF_HUB_OFFLINE"] ?? "");
}

/** A repository's files at one commit. */
export interface Listing {
  /** Its present name on the hub. */
  readonly repository: string;
  readonly commit: string;
  /** What is known of each file, by name. */
  readonly files: ReadonlyMap<string, KnownFile>;
}

/**
 * Asks the hub which files a model has at a revision.
 * @param onRetry called with the reason when a first attempt failed
 * @throws UserError that explains the hub's refusal; the signal's reason on an abort
 */
export async function listRepository(
  hub: Hub,
  name: HubName,
  { patience, signal, onRetry }: { patience: Patience; signal: AbortSignal; onRetry: (why: string) => void },
): Promise<Listing> {
  const { repository, revision } = name;
  const path = `/api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const url = new URL(`${hub.endpoint}${path}`);
  for (let failures = 0; ; failures++) {
    try {
      return parseListing(await readJson(url, hub, patience, signal), name, hub);
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      if (!error.again || failures >= (error.unreachable ? 1 : patience.retries)) {
        throw (
          refusal(error, name, hub) ??
          new UserError(`cannot ask the hub for ${showHubName(name)}: ${showUrl(url)}: ${error.message}`, {
            next: "run the same command again later, or set HF_ENDPOINT to a mirror",
            cause: error,
          })
        );
      }
      onRetry(error.message);
      await sleep(delayAfter(error, failures, patience), undefined, { signal });
    }
  }
}

async function readJson(url: URL, hub: Hub, patience: Patience, signal: AbortSignal): Promise<unknown> {
  const headers = { ...hub.headers, "Accept-Encoding": "identity" };
  const answer = await get(url, headers, patience.timeouts, signal);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    if (answer.status !== 200) throw statusError(answer.status, answer.headers);
    for await (const chunk of answer.chunks()) {
      bytes += chunk.length;
      if (bytes > LIST_BYTES) throw new TransferError(`a list of more than ${LIST_BYTES} bytes`);
      chunks.push(chunk);
    }
  } finally {
    answer.cancel();
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (error) {
    throw new TransferError(`the answer is not JSON (${messageOf(error)})`, { cause: error });
  }
}

/** Parses the hub's answer. Names in it cannot lead out of a folder, because they are only compared. */
function parseListing(json: unknown, { repository }: HubName, hub: Hub): Listing {
  const { id, sha, siblings } = (json ?? {}) as Readonly<Record<string, unknown>>;
  if (!isCommit(sha) || !Array.isArray(siblings)) {
    throw new TransferError(`${hub.endpoint} did not answer with the hub's list of a model's files`);
  }
  const files = new Map<string, KnownFile>();
  for (const sibling of siblings as (Readonly<Record<string, unknown>> | null)[]) {
    const { rfilename, size, lfs } = sibling ?? {};
    if (typeof rfilename !== "string") continue;
    const large = (lfs ?? {}) as Readonly<Record<string, unknown>>;
    const bytes = [large["size"], size].find((each) => Number.isSafeInteger(each) && (each as number) > 0);
    const sha256 = large["sha256"];
    files.set(rfilename, {
      ...(bytes !== undefined && { bytes: bytes as number }),
      ...(typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256) && { sha256 }),
    });
  }
  return { repository: isRepository(id) ? id : repository, commit: sha, files };
}

/** What a refusal means; undefined for any other failure. */
export function refusal(error: TransferError, name: HubName, hub: Hub): UserError | undefined {
  const { status, code } = error;
  const { endpoint, tokenFrom } = hub;
  const { repository, revision } = name;
  const page = `${endpoint}/${repository}`;
  const fail = (reason: string, next: string): UserError => new UserError(reason, { next, cause: error });
  const isRefused = status === 401 || status === 403;
  if (code === "DisabledRepo") return fail(`the hub has disabled ${repository}`, `see ${page}`);
  if (isRefused && (code === "GatedRepo" || (status === 403 && tokenFrom !== undefined))) {
    const whose =
      tokenFrom === undefined ? "" : `, and the account of the token from ${tokenFrom} has no access`;
    const then =
      tokenFrom === undefined ? ", then set HF_TOKEN to a token of that account" : " with that account";
    return fail(`${repository} is gated${whose}`, `accept its conditions at ${page}${then}`);
  }
  if (code === "RevisionNotFound")
    return fail(`${repository} has no revision ${revision}`, `see ${page}/tree/main`);
  if (status === 401 && tokenFrom !== undefined && code !== "RepoNotFound") {
    return fail(`the hub does not accept the token from ${tokenFrom}`, "make a new one, or unset it");
  }
  if (isRefused || status === 404) {
    const isAnonymous = tokenFrom === undefined;
    return fail(
      `the hub has no model ${repository}, or it is private`,
      isAnonymous
        ? "check the name; a private one needs HF_TOKEN"
        : "check the name, and whose token HF_TOKEN is",
    );
  }
  return undefined;
}
