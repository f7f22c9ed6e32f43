import type { KnownFile } from "../models/catalog.js";
import type { Timeouts } from "./http.js";

/** What happens to a file, for progress bars and messages. Sizes in bytes. */
export type FileEvent =
  /** A file that is there already is being read for its sha256. */
  | { readonly type: "check"; readonly total: number }
  /** Bytes are about to come. Once a file. `total` is unknown when the host does not say it. */
  | { readonly type: "start"; readonly url: string; readonly total?: number; readonly resumedAt: number }
  /** So many bytes are there; fewer than before when it had to start over. */
  | { readonly type: "progress"; readonly bytes: number }
  /** It failed and goes on after `delay` milliseconds, or starts over or turns to the next host at once. */
  | { readonly type: "retry"; readonly url: string; readonly reason: string; readonly delay: number }
  /** The file is good and in its place; `skipped`: it was before. */
  | { readonly type: "done"; readonly bytes: number; readonly skipped: boolean };

/** How patient a download is. Times in milliseconds. */
export interface Patience {
  /** How often the same host is asked again without any progress. */
  readonly retries: number;
  /** Wait before the first retry; it doubles with each, up to 30 seconds. */
  readonly retryDelay: number;
  /** Upper bound for the wait that a host may ask for. */
  readonly maxRetryAfter: number;
  readonly timeouts: Timeouts;
}

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
  /** Addresses of the file, in the order in which they are tried. */
  readonly urls: readonly URL[];
  readonly expected: KnownFile;
  readonly patience: Patience;
  readonly signal: AbortSignal;
  readonly onEvent: (event: FileEvent) => void;
  /** Origins that have answered in this run: an outage there is worth a longer wait. */
  readonly answered: Set<string>;
  /** Called before the file takes its place; throws when it must not. */
  readonly beforeCommit: () => Promise<void>;
}
