import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { join, parse } from "node:path";
import type { FinishReason } from "../../sampling/continuation.js";
import { UserError } from "../../system/errors.js";
import { exists, fileError, makeFolder, renameToNew } from "../../system/files.js";
import { note, tell } from "../terminal/output.js";
import { checkOutFile } from "./out-file.js";
import type { OwnSink } from "./sink.js";

/** A file that samples are being written to: under a name that says so, until it is whole. */
class SampleFile {
  private bytes = 0;

  private constructor(
    private readonly file: FileHandle,
    private readonly unfinished: string,
    readonly path: string,
  ) {}

  /** Begins the file of this path. An unfinished one that an earlier run left stays. */
  static async create(path: string): Promise<SampleFile> {
    for (let count = 1; ; count++) {
      const unfinished = unfinishedName(path, count);
      const file = await openNew(unfinished);
      if (file) return new SampleFile(file, unfinished, path);
    }
  }

  /**
   * Begins a file with a name that no other has, the given one or with _2, _3, ... added. Programs that run at
   * the same time agree by the unfinished file: whoever made it has the name.
   */
  static async createNumbered(folder: string, name: string, extension: string): Promise<SampleFile> {
    for (let count = 1; ; count++) {
      const path = join(folder, `${name}${count > 1 ? `_${count}` : ""}${extension}`);
      if (await exists(path)) continue;
      const unfinished = unfinishedName(path, 1);
      const file = await openNew(unfinished);
      if (!file) continue;
      const begun = new SampleFile(file, unfinished, path);
      // Between the two looks another program may have finished its own.
      if (!(await exists(path))) return begun;
      await begun.leave();
    }
  }

  async write(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    try {
      await this.file.writeFile(bytes); // goes on where the last one ended
    } catch (error) {
      throw fileError("write", this.unfinished, error);
    }
    this.bytes += bytes.length;
  }

  /** Gives the file its name. @throws UserError when a file of that name has come there and must not go */
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

  /** Closes the file as it is; an empty one goes. @returns its path, undefined where nothing is left */
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

/** Opens a file that is not there yet; undefined where it is. */
async function openNew(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "wx");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw fileError("write", path, error);
  }
}

/** Samples that go to files. */
export class SampleFiles implements OwnSink {
  /** Never aborted: a file that cannot be written is an error. */
  readonly closed: AbortSignal = new AbortController().signal;
  private current: SampleFile | undefined;
  private isInterrupted = false;
  /** An interrupted file stays the last one: what was begun of the next is dropped. */
  private isOver = false;

  /**
   * @param perFile how many samples a file has; the last one may have fewer
   * @param count how many all files have
   * @param create begins the next file
   * @param overwrite whether a file of the same name goes
   */
  private constructor(
    private readonly perFile: number,
    private readonly count: number,
    private readonly create: () => Promise<SampleFile>,
    private readonly overwrite: boolean,
  ) {}

  /** Files named by the time they are begun, as gpt-2-simple's, in a folder, which is made. */
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
   * @throws UserError when it is there already and must not go, or cannot be made
   */
  static async oneFile(path: string, count: number, overwrite: boolean): Promise<SampleFiles> {
    await checkOutFile(path, "--out", overwrite);
    const files = new SampleFiles(count, count, () => SampleFile.create(path), overwrite);
    files.current = await files.create(); // before the model is loaded: a folder that is missing shows at once
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
