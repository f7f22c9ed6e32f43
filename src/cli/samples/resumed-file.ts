import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Command } from "commander";
import { expandPath } from "../../models/store.js";
import { UsageError, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { note } from "../terminal/output.js";
import type { OwnSink } from "./sink.js";

/** What a line of the file must be: a whole sample. */
interface Line {
  readonly sample: number;
  readonly seed: number;
  readonly prompt: string;
  readonly finish_reason: string;
}

/** A file of samples that a run goes on with. */
export class ResumedFile implements OwnSink {
  /** Never aborted: a file that cannot be written is an error. */
  readonly closed: AbortSignal = new AbortController().signal;

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    /** Numbers, from 0, of the samples that are there. */
    readonly done: ReadonlySet<number>,
    /** Of the samples that are there. */
    readonly seed: number | undefined,
  ) {}

  /**
   * Reads what is there, and cuts off what an interruption left half: from the first line on that is no whole
   * sample, or one that was interrupted.
   * @throws UserError when the file cannot be read or written, or holds samples of another seed or prompt
   */
  static async open(typed: string, seed: number | undefined, prompt: string): Promise<ResumedFile> {
    const path = expandPath(typed);
    let file: FileHandle;
    try {
      file = await open(path, "a+");
      if (!(await file.stat()).isFile())
        throw new UserError(`${path} is no plain file: choose another for --resume`);
    } catch (error) {
      throw error instanceof UserError ? error : fileError("write", path, error);
    }
    try {
      const done = new Set<number>();
      let known = seed;
      let whole = 0; // bytes
      for await (const { text, end } of linesOf(path)) {
        const line = parseLine(text);
        if (!line) break;
        if (line.prompt !== prompt) {
          throw new UserError(`${path} holds samples of another prompt: choose another file for --resume`);
        }
        if (known !== undefined && line.seed !== known) {
          throw new UserError(
            `${path} holds samples of the seed ${line.seed}: give --seed ${line.seed}, or another file`,
          );
        }
        known = line.seed;
        done.add(line.sample - 1);
        whole = end;
      }
      const { size } = await file.stat();
      if (size > whole) {
        // Bytes of ours only: a text that was never such a file is not cut.
        if (done.size === 0 && !(await isBegunLine(path))) {
          throw new UserError(`${path} holds something else than samples: choose another file for --resume`);
        }
        await file.truncate(whole);
      }
      if (done.size > 0)
        note(`${path} holds ${done.size} ${done.size === 1 ? "sample" : "samples"}: going on`);
      return new ResumedFile(file, path, done, known);
    } catch (error) {
      await file.close();
      throw error instanceof UserError ? error : fileError("read", path, error);
    }
  }

  async write(text: string): Promise<void> {
    try {
      await this.file.appendFile(text);
    } catch (error) {
      throw fileError("write", this.path, error);
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

/** The numbers, seed and prompt of a line; undefined where it is no whole sample. */
function parseLine(text: string): Line | undefined {
  try {
    const line = JSON.parse(text) as Partial<Line> | null;
    const isWhole =
      Number.isSafeInteger(line?.sample) &&
      line!.sample! >= 1 &&
      Number.isSafeInteger(line!.seed) &&
      typeof line!.prompt === "string" &&
      typeof line!.finish_reason === "string" &&
      line!.finish_reason !== "interrupted";
    return isWhole ? (line as Line) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a file begins as the program's own lines do, as far as it goes. */
async function isBegunLine(path: string): Promise<boolean> {
  const begin = '{"sample":';
  for await (const chunk of createReadStream(path, { encoding: "utf8", end: begin.length - 1 })) {
    return begin.startsWith((chunk as string).slice(0, begin.length)) || (chunk as string).startsWith(begin);
  }
  return true;
}

/** A file's lines that end in a newline, and where each ends in bytes. */
async function* linesOf(path: string): AsyncGenerator<{ text: string; end: number }> {
  let rest: Buffer[] = [];
  let end = 0;
  for await (const chunk of createReadStream(path)) {
    let from = 0;
    const bytes = chunk as Buffer;
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
      const line = Buffer.concat([...rest, bytes.subarray(from, at)]);
      rest = [];
      from = at + 1;
      end += line.length + 1;
      yield { text: line.toString("utf8"), end };
    }
    rest.push(bytes.subarray(from));
  }
}

/**
 * The file of --resume, when it is asked for.
 * @throws UsageError when --format text was typed beside it
 */
export async function openResumed(
  command: Command,
  { resume, seed, format }: { resume?: string; seed?: number; format: string },
  prompt: string,
): Promise<ResumedFile | undefined> {
  if (resume === undefined) return undefined;
  if (format === "text" && command.getOptionValueSource("format") === "cli") {
    throw new UsageError("--resume writes jsonl: leave --format text away");
  }
  return ResumedFile.open(resume, seed, prompt);
}
