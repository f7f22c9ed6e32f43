import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileError, syncFolder } from "../system/files.js";

/** Where the bytes of an unfinished file came from: enough to know whether more may be appended. */
export interface Origin {
  readonly url: string;
  /** A strong entity tag, as received. */
  readonly etag?: string;
  readonly lastModified?: string;
  /** Size of the whole file. */
  readonly bytes?: number;
}

/** Hashes a file in chunks, so that a 6 GB file takes no memory. @returns its size */
async function hashInto(hash: Hash, file: FileHandle, signal: AbortSignal): Promise<number> {
  const buffer = Buffer.allocUnsafe(1 << 20);
  let position = 0;
  for (;;) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return position;
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}

/**
 * A file being downloaded, `<path>.part`, with a note of its origin, `<path>.part.json`. Only commit() gives it its name.
 * All methods throw UserError when the disk fails.
 */
export class PartFile {
  readonly path: string;
  readonly part: string;
  private readonly note: string;
  /** The hash of the bytes so far; absent if it is not needed. */
  private hash: Hash | undefined;
  private bytes = 0;
  private from: Origin | undefined;

  private constructor(
    path: string,
    private readonly file: FileHandle,
  ) {
    this.path = path;
    this.part = `${path}.part`;
    this.note = `${path}.part.json`;
  }

  /**
   * Opens the part that an earlier download left, or an empty one.
   * @param hashed whether commit() will be given a sha256
   */
  static async open(path: string, hashed: boolean, signal: AbortSignal): Promise<PartFile> {
    let file: FileHandle;
    try {
      file = await open(`${path}.part`, constants.O_RDWR | constants.O_CREAT, 0o666);
    } catch (error) {
      throw fileError("write", `${path}.part`, error);
    }
    const part = new PartFile(path, file);
    try {
      part.bytes = (await file.stat()).size;
      if (part.bytes > 0) part.from = await readNote(part.note);
      if (hashed) {
        part.hash = createHash("sha256");
        if (part.bytes > 0) part.bytes = await hashInto(part.hash, file, signal);
      }
      return part;
    } catch (error) {
      await file.close();
      signal.throwIfAborted();
      throw fileError("read", part.part, error);
    }
  }

  /** Bytes so far. */
  get size(): number {
    return this.bytes;
  }

  /** Where the bytes come from; undefined while there are none. */
  get origin(): Origin | undefined {
    return this.from;
  }

  /** Discards the bytes. */
  async empty(): Promise<void> {
    this.from = undefined;
    if (this.hash) this.hash = createHash("sha256");
    if (this.bytes === 0) return;
    this.bytes = 0;
    try {
      await this.file.truncate(0);
    } catch (error) {
      throw fileError("write", this.part, error);
    }
  }

  /** Records where the bytes that follow come from. */
  async begin(origin: Origin): Promise<void> {
    this.from = origin;
    try {
      // Neither flushed nor renamed: at worst, with no note or an old one, the download starts over.
      await writeFile(this.note, `${JSON.stringify(origin)}\n`);
    } catch (error) {
      throw fileError("write", this.note, error);
    }
  }

  /** Appends a chunk. @throws UserError when the disk is full */
  async append(chunk: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < chunk.length; ) {
        const { bytesWritten } = await this.file.write(chunk, done, chunk.length - done, this.bytes + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw fileError("write", this.part, error);
    }
    this.hash?.update(chunk);
    this.bytes += chunk.length;
  }

  /** The sha256 of the bytes so far in hexadecimal, if the file was opened as hashed. */
  digest(): string | undefined {
    return this.hash?.copy().digest("hex");
  }

  /** Gives the complete file its name. The part must not be used afterwards. */
  async commit(): Promise<void> {
    try {
      await this.file.sync();
      const { size } = await this.file.stat();
      if (size !== this.bytes) throw new Error(`it has ${size} bytes where ${this.bytes} were written`);
      await this.file.close();
      await rename(this.part, this.path);
      await syncFolder(dirname(this.path));
      await rm(this.note, { force: true });
    } catch (error) {
      throw fileError("write", this.path, error);
    }
  }

  /** Closes the file and keeps its bytes for the next time; an empty one is removed. Safe after commit(). */
  async close(): Promise<void> {
    const committed = this.file.fd === -1;
    if (committed) return;
    await this.file.close();
    if (this.bytes > 0) return;
    await rm(this.part, { force: true });
    await rm(this.note, { force: true });
  }
}

async function readNote(path: string): Promise<Origin | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    const { url, etag, lastModified, bytes } = value as Record<string, unknown>;
    if (typeof url !== "string") return undefined;
    return {
      url,
      etag: typeof etag === "string" ? etag : undefined,
      lastModified: typeof lastModified === "string" ? lastModified : undefined,
      bytes: typeof bytes === "number" ? bytes : undefined,
    };
  } catch {
    // Missing or truncated: the bytes' origin is unknown.
    return undefined;
  }
}
