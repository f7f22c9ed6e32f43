import { readdirSync, renameSync, rmSync } from "node:fs";
import { type FileHandle, lstat, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../system/errors.js";
import { fileError, makeFolder, syncFolder } from "../system/files.js";
import { isAtWork, isRunning, type Lock, lockFolder, removeStaleLock } from "../system/lock.js";
import { randomHex } from "../system/random-hex.js";

/** One writer at a time: two sets put in place at once would mix. */
const LOCK = { file: ".writing.lock", name: "gpt2 command" };

/** How a set of files is written. */
export interface WriteSetOptions {
  /** Called from time to time with the bytes of weights written so far, and their total. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
  /** Small files that are put in place together with the weights: name -> content. */
  readonly companions?: ReadonlyMap<string, Uint8Array>;
  /** Tells which of the folder's files the new ones replace besides those of the same name: an older model's. */
  readonly isOld?: (name: string) => boolean;
}

/**
 * Files that belong together: each is written beside its place, and all are renamed at the end. Until then, and after a
 * failure, the folder's own files are untouched.
 */
export class FileSet {
  /** Names of finished files. */
  private readonly names: string[] = [];
  private current: { name: string; path: string; file: FileHandle } | undefined;

  private constructor(
    private readonly folder: string,
    private readonly token: string,
    private readonly lock: Lock,
  ) {}

  /**
   * Begins a set, after repairing what a killed process left in the folder.
   * @throws UserError when another process is writing a set there
   */
  static async begin(folder: string): Promise<FileSet> {
    const lock = await lockFolder(folder, LOCK);
    try {
      tidy(folder);
    } catch (error) {
      await lock.release();
      throw fileError("read", folder, error);
    }
    return new FileSet(folder, `${process.pid}-${randomHex(4)}`, lock);
  }

  /**
   * Writes a set into a folder, which is made if it does not exist. A failure or an abort leaves it as it was.
   * @param key see commit()
   * @param write writes the set's own files; the companions are added after it
   * @throws UserError; the signal's reason on an abort
   */
  static async write(
    folder: string,
    key: string,
    { companions = new Map(), isOld = () => false, signal }: WriteSetOptions,
    write: (files: FileSet) => Promise<void>,
  ): Promise<void> {
    makeFolder(folder);
    const files = await FileSet.begin(folder);
    try {
      await write(files);
      for (const [name, content] of companions) await files.add(name, content);
      await files.finish();
      signal?.throwIfAborted();
      await files.commit(key, isOld);
    } catch (error) {
      await files.discard();
      throw error;
    }
  }

  /** Opens a new file of the set; append() goes there from now on. */
  async create(name: string): Promise<void> {
    await this.finish();
    const path = this.beside(name);
    try {
      this.current = { name, path, file: await open(path, "wx") };
    } catch (error) {
      throw fileError("write", path, error);
    }
    this.names.push(name);
  }

  /** Appends to the file. @throws UserError when the disk is full */
  async append(bytes: Uint8Array): Promise<void> {
    const { file, path } = this.current as { file: FileHandle; path: string };
    try {
      await file.writeFile(bytes); // appends: the handle keeps its position
    } catch (error) {
      throw fileError("write", path, error);
    }
  }

  /** Flushes the open file to the disk and closes it. */
  async finish(): Promise<void> {
    if (!this.current) return;
    const { file, path } = this.current;
    this.current = undefined;
    try {
      await file.sync();
    } catch (error) {
      throw fileError("write", path, error);
    } finally {
      await file.close();
    }
  }

  /** Adds a whole file at once. */
  async add(name: string, content: Uint8Array): Promise<void> {
    await this.create(name);
    await this.append(content);
    await this.finish();
  }

  /**
   * Puts all files in place.
   * @param key the file without which the others are useless: the old one is moved away first and the new one comes
   *   last, so that a power cut in between leaves nothing that looks whole
   * @param isOld tells which other files of the folder go
   * @throws UserError; every file is then back where it was
   */
  async commit(key: string, isOld: (name: string) => boolean): Promise<void> {
    const moves: { from: string; to: string }[] = [];
    const move = async (from: string, to: string): Promise<void> => {
      try {
        await rename(from, to);
      } catch (error) {
        throw fileError("write", to, error);
      }
      moves.push({ from, to });
    };
    const old: string[] = [];
    await this.lock.check();
    try {
      const replaced = (await list(this.folder)).filter(
        (name) => this.names.includes(name) || (isOld(name) && !name.endsWith(".part")),
      );
      for (const name of keyFirst(replaced, key)) {
        const path = join(this.folder, name);
        if ((await lstat(path)).isDirectory()) {
          throw new UserError(`cannot write ${path}: it is a folder`, { next: "move it away and try again" });
        }
        const aside = this.beside(name, ".old");
        await move(path, aside);
        old.push(aside);
      }
      for (const name of keyFirst(this.names, key).reverse()) {
        await move(this.beside(name), join(this.folder, name));
      }
      await syncFolder(this.folder);
    } catch (error) {
      for (const { from, to } of moves.reverse()) await rename(to, from).catch(() => undefined);
      throw error;
    }
    for (const path of old) await rm(path, { force: true }).catch(() => undefined);
    await this.lock.release().catch(() => undefined);
  }

  /** Removes what was written but not put in place. */
  async discard(): Promise<void> {
    await this.current?.file.close().catch(() => undefined);
    this.current = undefined;
    for (const name of this.names) await rm(this.beside(name), { force: true }).catch(() => undefined);
    await this.lock.release().catch(() => undefined);
  }

  private beside(name: string, kind = ""): string {
    return join(this.folder, `${name}.${this.token}${kind}.part`);
  }
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    throw fileError("read", folder, error);
  }
}

function keyFirst(names: readonly string[], key: string): string[] {
  return [...names].sort((a, b) => Number(b === key) - Number(a === key));
}

/** `model.json.123-0123abcd.old.part` -> the file's name, its set, and whether the set moved it aside. */
const PART = /^(.+)\.(\d+-[0-9a-f]{8})(\.old)?\.part$/;

/**
 * Repairs a folder whose writer was killed while putting a set in place: the old files come back unless all new ones
 * were in place. Does nothing while a writer is running, or if the folder is read-only.
 */
export function restoreInterrupted(folder: string): void {
  try {
    const isLeft = (name: string): boolean => name.endsWith(".old.part") || name === LOCK.file;
    if (!readdirSync(folder).some(isLeft) || isAtWork(folder, LOCK)) return;
    tidy(folder);
    removeStaleLock(folder, LOCK);
  } catch {
    // Whoever reads the folder next reports what is wrong with it.
  }
}

/**
 * Restores the files that dead processes moved aside, and removes their parts. A set's key is renamed last, so a set
 * without parts was put in place completely.
 */
function tidy(folder: string): void {
  const sets = new Map<string, { old: string[]; parts: string[] }>();
  for (const name of readdirSync(folder)) {
    const [, , token, old] = PART.exec(name) ?? [];
    if (token === undefined || isOther(Number.parseInt(token, 10))) continue;
    const set = sets.get(token) ?? { old: [], parts: [] };
    set[old ? "old" : "parts"].push(name);
    sets.set(token, set);
  }
  for (const { old, parts } of sets.values()) {
    for (const name of old) {
      const path = join(folder, name);
      if (parts.length > 0) renameSync(path, join(folder, name.replace(PART, "$1")));
      else rmSync(path, { force: true });
    }
    for (const name of parts) rmSync(join(folder, name), { force: true });
  }
}

/** Whether another process, still running, may be writing the set with this number; this process begins a new one. */
function isOther(pid: number): boolean {
  return pid !== process.pid && isRunning(pid);
}
