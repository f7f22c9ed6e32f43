import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { join, parse } from "node:path";
import type { FinishReason } from "../../sampling/continuation.js";
import { UserError } from "../../system/errors.js";
import { exists, fileError, makeFolder, renameToNew } from "../../system/files.js";
import { note, tell } from "../terminal/output.js";
import { checkOutFile } from "./out-file.js";
import type { OwnSink } from "./sink.js";

/** A file of samples, named as unfinished until it is complete. */
class SampleFile {
  private bytes = 0;

  private constructor(
    private readonly file: FileHandle,
    private readonly unfinished: string,
    readonly path: string,
  ) {}

  /** Begins this file. An unfinished one from an earlier run stays. */
  static async create(path: string): Promise<SampleFile> {
    for (let count = 1; ; count++) {
      const unfinished = unfinishedName(path, count);
      const file = await openNew(unfinished);
      if (file) return new SampleFile(file, unfinished, path);
    }
  }

  /**
   * Begins a file with a new name: the given one, or with _2, _3, ... appended. Whichever program creates the unfinished
   * file has the name.
   */
  static async createNumbered(folder: string, name: string, extension: string): Promise<SampleFile> {
    for (let count = 1; ; count++) {
      const path = join(folder, `${name}${count > 1 ? `_${count}` : ""}${extension}`);
      if (await exists(path)) continue;
      const unfinished = unfinishedName(path, 1);
      const file = await openNew(unfinished);
      if (!file) continue;
      const begun = new SampleFile(file, unfinished, path);
      // Between the two checks another program may have finished a file of this name.
      if (!(await exists(path))) return begun;
      await begun.leave();
    }
  }

  async write(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    try {
      await this.file.writeFile(bytes); // appends: the handle keeps its position
    } catch (error) {
      throw fileError("write", this.unfinished, error);
    }
    this.bytes += bytes.length;
  }

  /** Gives the file its name. @throws UserError when that name was taken meanwhile and may not be overwritten */
  async finish(overwrite: boolean): Promise<void> {
    try {
      await this.file.sync();
      await this.file.close();
      if (overwrite) await rename(this.unfinished, this.path);
      else await renameToNew(this.unfinished, this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw fileError("write", this.path, error);
      throw new UserError(`${this.path} was created by another program meanwhile`, {
        next: `the samples are in ${this.unfinished}`,
      });
    }
  }

  /** Closes the unfinished file; removes an empty one. @returns its path, undefined if it was removed */
  async leave(): Promise<string | undefined> {
    await this.file.close().catch(() => undefined);
    if (this.bytes > 0) return this.unfinished;
    await rm(this.unfinished, { force: true }).catch(() => undefined);
    return undefined;
  }
}

/** `story.txt` -> `story.unfinished.txt`, `story.unfinished-2.txt`, ... */
function unfinishedName(path: string, count: number): string {
  const { dir, name, ext } = parse(path);
  return join(dir, `${name}.unfinished${count > 1 ? `-${count}` : ""}${ext}`);
}

/** Creates and opens a file; undefined if it exists. */
async function openNew(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "wx");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw fileError("write", path, error);
  }
}

/** Writes samples to files. */
export class SampleFiles implements OwnSink {
  /** Never aborted: a file that cannot be written is an error. */
  readonly closed: AbortSignal = new AbortController().signal;
  private current: SampleFile | undefined;
  private isInterrupted = false;
  /** After an interrupted file, no more follow: the beginning of the next is dropped. */
  private isOver = false;

  /**
   * @param perFile samples per file; the last may have fewer
   * @param count samples in all files
   * @param create begins the next file
   * @param overwrite whether a file of the same name is replaced
   */
  private constructor(
    private readonly perFile: number,
    private readonly count: number,
    private readonly create: () => Promise<SampleFile>,
    private readonly overwrite: boolean,
  ) {}

  /** Files in a folder, named after the time they begin, as gpt-2-simple's. Creates the folder. */
  static async inFolder(
    folder: string,
    { perFile, count, extension }: { perFile: number; count: number; extension: string },
  ): Promise<SampleFiles> {
    makeFolder(folder);
    const create = (): Promise<SampleFile> =>
      SampleFile.createNumbered(folder, `gpt2_gentext_${timeStamp(new Date())}`, extension);
    return new SampleFiles(perFile, count, create, false);
  }

  /**
   * One file for all samples.
   * @throws UserError when it exists and may not be overwritten, or cannot be created
   */
  static async oneFile(path: string, count: number, overwrite: boolean): Promise<SampleFiles> {
    await checkOutFile(path, "--out", overwrite);
    const files = new SampleFiles(count, count, () => SampleFile.create(path), overwrite);
    files.current = await files.create(); // before the model is loaded, so that a missing folder shows at once
    return files;
  }

  async begin(number: number): Promise<void> {
    if ((number - 1) % this.perFile !== 0) return;
    if (this.isInterrupted) this.isOver = true;
    else this.current ??= await this.create();
  }

  async write(text: string): Promise<void> {
    if (text !== "" && !this.isOver) await this.current?.write(text);
  }

  async end(number: number, reason: FinishReason): Promise<void> {
    this.isInterrupted ||= reason === "interrupted";
    if (number % this.perFile === 0 || number === this.count) await this.finish();
  }

  private async finish(): Promise<void> {
    if (!this.current || this.isInterrupted) return;
    const { current } = this;
    await current.finish(this.overwrite);
    this.current = undefined;
    note(`wrote ${current.path}`);
  }

  async close(): Promise<void> {
    const left = await this.current?.leave();
    this.current = undefined;
    if (left !== undefined) tell(`the samples so far are in ${left}`);
  }
}

/** YYYYmmdd_HHMMSS, local time. */
function timeStamp(time: Date): string {
  const two = (n: number): string => String(n).padStart(2, "0");
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("");
  return `${day}_${two(time.getHours())}${two(time.getMinutes())}${two(time.getSeconds())}`;
}
