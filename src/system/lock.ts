import { linkSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { rm, utimes } from "node:fs/promises";
import { hostname, uptime } from "node:os";
import { dirname, join } from "node:path";
import { UserError } from "./errors.js";
import { fileError } from "./files.js";
import { randomHex } from "./random-hex.js";

const HEARTBEAT_MS = 5_000;

/** Work that only one process may do in a folder at a time. */
export interface Work {
  /** The lock file's name. */
  readonly file: string;
  /** Its name in messages, e.g. "download". */
  readonly name: string;
  /** Another machine's lock is stale once it has not been touched for this long. Default: half a minute. */
  readonly staleMs?: number;
}

const STALE_MS = 30_000;
/** Creates a file, or fails if it exists. */
const NEW = { flag: "wx" } as const;

/** Contents of the locks that this process holds. */
const held = new Set<string>();

/** The right to work in a folder. */
export interface Lock {
  /** @throws UserError when another process has taken the folder over, e.g. while this one was suspended */
  check(): Promise<void>;
  /** Gives the lock up. */
  release(): Promise<void>;
}

/**
 * Locks a folder against other processes doing the same work. The lock names its process and is touched every few
 * seconds, so that one left by a crash, on this machine or another, blocks nobody.
 * @throws UserError when another process is doing it
 */
export async function lockFolder(folder: string, { file, name, staleMs = STALE_MS }: Work): Promise<Lock> {
  const path = join(folder, file);
  const content = contentOf();
  const holder = take(path, content, staleMs);
  if (holder) {
    throw new UserError(`another ${name} is running in ${folder} (process ${holder.pid} on ${holder.host})`, {
      next: "wait for it to end, or stop it",
    });
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    // check() notices a lock that cannot be touched.
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT_MS);
  heartbeat.unref();
  const own = async (): Promise<boolean> => readHolder(path)?.content === content;
  return {
    async check() {
      if (!(await own())) {
        throw new UserError(`another ${name} has taken over ${folder}`, {
          next: "run the same command again when it has ended",
        });
      }
    },
    async release() {
      clearInterval(heartbeat);
      held.delete(content);
      if (await own()) await rm(path, { force: true });
    },
  };
}

/**
 * Takes a lock for work that ends before anything else runs in this process.
 * @returns a function that releases it; undefined when another process holds it
 */
export function tryLock(folder: string, { file, staleMs = STALE_MS }: Work): (() => void) | undefined {
  const path = join(folder, file);
  const content = contentOf();
  if (take(path, content, staleMs)) return undefined;
  return () => {
    held.delete(content);
    if (readHolder(path)?.content === content) rmSync(path, { force: true });
  };
}

/** The contents of a lock of this process. */
const contentOf = (): string =>
  JSON.stringify({
    pid: process.pid,
    host: hostname(),
    started: startOf(process.pid),
    token: randomHex(8),
  });

/** Takes a lock, or returns its holder. */
function take(path: string, content: string, staleMs: number): Holder | undefined {
  held.add(content); // before the file exists, because another call in this process may find it at once
  for (let attempt = 0; !create(path, content); attempt++) {
    const holder = readHolder(path);
    if (holder && (attempt > 3 || isHeld(holder, staleMs))) {
      held.delete(content);
      return holder;
    }
    if (holder) removeStale(path, holder.content);
  }
  removeLeftovers(path);
  return undefined;
}

interface Holder {
  readonly content: string;
  readonly pid: number;
  readonly host: string;
  /** startOf() its process; undefined if the system does not say. */
  readonly started: string | undefined;
  readonly touched: number;
}

/** Whether a process, on this machine or another, is doing this work in the folder now. */
export function isAtWork(folder: string, { file, staleMs = STALE_MS }: Work): boolean {
  const holder = readHolder(join(folder, file));
  return holder !== undefined && isHeld(holder, staleMs);
}

/** Creates the lock with its contents in one step, so that it is never empty. @returns false if one exists */
function create(path: string, content: string): boolean {
  const beside = besideOf(path);
  try {
    writeFileSync(beside, content, NEW);
    linkSync(beside, path);
    return true;
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    // A machine that cannot see this process has removed the file: the next attempt makes another.
    if (code === "ENOENT" && syscall === "link") return false;
    if (code === "EPERM" || code === "ENOTSUP" || code === "ENOSYS") return createWithoutLinks(path, content);
    throw fileError("write", path, error);
  } finally {
    rmSync(beside, { force: true });
  }
}

/** The same on file systems without hard links, such as exFAT. */
function createWithoutLinks(path: string, content: string): boolean {
  try {
    writeFileSync(path, content, NEW);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw fileError("write", path, error);
  }
}

function readHolder(path: string): Holder | undefined {
  try {
    const content = readFileSync(path, "utf8");
    const { mtimeMs } = statSync(path);
    let value: { pid?: unknown; host?: unknown; started?: unknown } = {};
    try {
      value = (JSON.parse(content) ?? {}) as typeof value;
    } catch {
      // Another program's file, or one half written in a crash: it counts until it is old.
    }
    const started = typeof value.started === "string" ? value.started : undefined;
    return {
      content,
      pid: Number(value.pid ?? 0),
      host: String(value.host ?? "?"),
      started,
      touched: mtimeMs,
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fileError("read", path, error);
  }
}

/** Removes a lock whose process is gone. */
export function removeStaleLock(folder: string, { file, staleMs = STALE_MS }: Work): void {
  const path = join(folder, file);
  const holder = readHolder(path);
  if (holder && !isHeld(holder, staleMs)) removeStale(path, holder.content);
}

/** A name for a file that will be, or was, a lock; it names the process that must remove it. */
const besideOf = (path: string): string => `${path}.${process.pid}-${randomHex(4)}`;

/** Removes files beside the lock whose process was killed between two steps. */
function removeLeftovers(path: string): void {
  const folder = dirname(path);
  try {
    for (const name of readdirSync(folder)) {
      const [, pid] = /\.(\d+)-[0-9a-f]{8}$/.exec(name) ?? [];
      if (pid === undefined || !join(folder, name).startsWith(`${path}.`)) continue;
      if (Number(pid) === process.pid || !isRunning(Number(pid))) rmSync(join(folder, name), { force: true });
    }
  } catch {
    // They block nobody.
  }
}

/**
 * The fields of /proc/PID/stat from the third on, its state; undefined if the system has none.
 * Source: proc(5).
 */
function statOf(pid: number): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)?.split(" ");
  } catch {
    return undefined;
  }
}

/**
 * Whether a process with this number runs on this machine. A zombie does not: in a container whose first process does
 * not wait for its children, one may stay for ever.
 */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // signal 0 only checks
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const [state] = statOf(pid) ?? [];
  return state !== "Z" && state !== "X";
}

/** When a process started, to tell it from a later one with the same number; undefined if the system does not say. */
const startOf = (pid: number): string | undefined => statOf(pid)?.[19];

/**
 * Whether a lock's holder still exists. A process of this machine is looked up, whatever the lock's age, because it may
 * be suspended or busy. The age counts only for a process that cannot be seen.
 */
function isHeld({ content, pid, host, started, touched }: Holder, staleMs: number): boolean {
  const age = Date.now() - touched;
  if (host !== hostname() || !Number.isSafeInteger(pid) || pid <= 0) return age <= staleMs;
  // Our number, but perhaps not our lock: in a restarted container every process may get the same number.
  if (pid === process.pid) return held.has(content);
  if (age > 1000 * uptime()) return false; // from before the machine started
  return isRunning(pid) && (started === undefined || startOf(pid) === started);
}

/** Removes a stale lock, and puts it back if another process was quicker and it is a new one. */
function removeStale(path: string, content: string): void {
  const aside = besideOf(path);
  try {
    renameSync(path, aside);
    if (readFileSync(aside, "utf8") !== content) linkSync(aside, path);
  } catch {
    // Removed or replaced meanwhile: the next attempt to create ours will show.
  } finally {
    rmSync(aside, { force: true });
  }
}
