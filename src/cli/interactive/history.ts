import {
  closeSync,
  fchmodSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { messageOf, UserError } from "../../system/errors.js";
import { fileError, makeFolder } from "../../system/files.js";
import { tryJson } from "../../system/json.js";
import { tryLock } from "../../system/lock.js";
import { userPath } from "../../system/paths.js";

/** The most lines kept. */
const KEPT = 1000;
/** A longer line, such as a pasted book, is kept only for this session. */
const LONGEST = 20_000;
/** Writing never takes this long: an older lock whose process cannot be found was left by a crash. */
const STALE_MS = 5000;
const PATIENCE_MS = 500;
const PAUSE_MS = 10;

/** Where the history is kept: in the user's data folder, such as ~/.local/share/gpt2/history. */
export function historyPath(): string {
  return userPath("data", "history");
}

/**
 * What was typed in this session and earlier ones. The file has a JSON string per line, newest last, and mode 600.
 * Several sessions may append to it at once. If it cannot be read or written, it says so once, and the history lasts
 * only for the session.
 */
export class History {
  private readonly recalled: string[] = [];

  /**
   * @param path its file; undefined: nothing is read or written
   * @param complain told why the history cannot be kept
   */
  constructor(
    private path: string | undefined,
    private readonly complain: (line: string) => void,
  ) {
    this.attempt((file) => {
      for (const line of linesOf(read(file)).slice(-KEPT)) {
        const entry = parseEntry(line);
        if (entry !== undefined) this.recalled.unshift(entry);
      }
    });
  }

  /** The entries to recall, newest first. */
  get entries(): readonly string[] {
    return this.recalled;
  }

  /** Adds what was typed, unless it is empty or repeats the newest entry. */
  add(entry: string): void {
    if (entry.trim() === "" || entry === this.recalled[0]) return;
    this.recalled.unshift(entry);
    this.recalled.splice(KEPT);
    if (entry.length <= LONGEST) this.attempt((file) => append(file, JSON.stringify(entry)));
  }

  private attempt(work: (file: string) => void): void {
    if (this.path === undefined) return;
    try {
      work(this.path);
    } catch (error) {
      const cause = error instanceof UserError ? error.cause : error; // of the lock's file, or the folder
      const reason = messageOf(fileError("write the history to", this.path, cause));
      this.complain(`${reason}; --no_history turns it off`);
      this.path = undefined;
    }
  }
}

/** The file's text; "" if there is no file. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");

/** A line's text without control characters, which would reach the terminal; undefined for a line that is not ours. */
function parseEntry(line: string): string | undefined {
  const value = tryJson(line);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it takes out
  return typeof value === "string" ? value.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "") : undefined;
}

/** Appends a line; when there are too many, rewrites the file without the oldest. */
function append(file: string, line: string): void {
  makeFolder(dirname(file), 0o700);
  const release = waitForLock(file);
  try {
    const before = read(file);
    const lines = linesOf(before);
    if (release && lines.length >= KEPT) {
      // Only with the lock, or a line that another session appends meanwhile would be lost.
      rewrite(file, [...lines, line].slice(-KEPT));
      return;
    }
    const handle = openSync(file, "a", 0o600);
    try {
      fchmodSync(handle, 0o600);
      // In one write, so that sessions' lines do not mix; on a new line if a crash left one unfinished.
      writeSync(handle, `${before === "" || before.endsWith("\n") ? "" : "\n"}${line}\n`);
    } finally {
      closeSync(handle);
    }
  } finally {
    release?.();
  }
}

function rewrite(file: string, lines: readonly string[]): void {
  const place = realpathSync(file); // resolves a link to a file kept elsewhere
  const beside = `${place}.${process.pid}.part`;
  try {
    writeFileSync(beside, `${lines.join("\n")}\n`, { mode: 0o600 });
    renameSync(beside, place);
  } finally {
    rmSync(beside, { force: true });
  }
}

/** Takes the file's lock, waiting briefly; undefined if another session keeps it. */
function waitForLock(file: string): (() => void) | undefined {
  const work = { file: `${basename(file)}.lock`, name: "session", staleMs: STALE_MS };
  for (let waited = 0; waited < PATIENCE_MS; waited += PAUSE_MS) {
    const release = tryLock(dirname(file), work);
    if (release) return release;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
  }
  return undefined;
}
