import { createReadStream, createWriteStream } from "node:fs";
import { appendFile, chmod, type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import type { LoadedModel } from "../../models/folder.js";
import { countOf, UsageError, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { type Lock, lockFolder } from "../../system/lock.js";
import { expandPath } from "../../system/paths.js";
import { randomHex } from "../../system/random-hex.js";
import type { GeneratingOptions } from "../options/sampling.js";
import { note, tell } from "../terminal/output.js";
import { placeOf, type RunPrompts } from "./prompts.js";
import {
  ANOTHER_FILE,
  type Deciding,
  decidingOptions,
  differences,
  markOf,
  type ResumeRecord,
  readRecord,
  recordPath,
  writeRecord,
} from "./resume-record.js";
import { type Line, sampleLines } from "./sample-lines.js";
import type { OwnSink } from "./sink.js";

/** What a file's samples must share with those to be added. */
interface Wanted {
  readonly seed: number | undefined;
  readonly prompts: RunPrompts;
  readonly options: Deciding;
}

/** What was found in a file. */
interface Found {
  readonly done: ReadonlySet<number>;
  readonly seed: number | undefined;
  readonly lines: readonly Pick<Line, "kind" | "start" | "end">[];
}

/** A file of samples that a run continues, locked against other processes until it is closed. */
export class ResumedFile implements OwnSink {
  /** Never aborted: a file that cannot be written is an error. */
  readonly closed: AbortSignal = new AbortController().signal;

  private constructor(
    private readonly file: FileHandle,
    private readonly lock: Lock,
    private readonly path: string,
    private readonly options: Deciding,
    private readonly record: ResumeRecord | undefined,
    /** Numbers, from 0, of the samples it holds. */
    readonly done: ReadonlySet<number>,
    /** The seed of the samples it holds. */
    readonly seed: number | undefined,
  ) {}

  /**
   * Locks and reads the file. Samples that an interruption left unfinished are cut off; lines that are not samples are
   * moved to a file beside it.
   * @throws UserError when the file cannot be read or written, another process has it, or its samples have another seed,
   *   prompt or options
   */
  static async open(typed: string, wanted: Wanted): Promise<ResumedFile> {
    const path = await createdFile(expandPath(typed));
    const name = basename(path);
    const lock = await lockFolder(dirname(path), {
      file: `.${name}.lock`,
      name: `run with --resume ${name}`,
    });
    try {
      const found = await readSamples(path, wanted);
      const record = await readRecord(path);
      const other = found.done.size > 0 && record && differences(record.options, wanted.options);
      if (other) {
        throw new UserError(`${path} holds samples of other options (${other})`, {
          next: `pass the same options, or ${ANOTHER_FILE}`,
        });
      }
      await tidy(path, found);
      if (found.done.size > 0) note(`${path} holds ${countOf(found.done.size, "sample")}: continuing`);
      const file = await open(path, "a");
      return new ResumedFile(file, lock, path, wanted.options, record, found.done, found.seed);
    } catch (error) {
      await lock.release();
      throw error instanceof UserError ? error : fileError("read", path, error);
    }
  }

  /**
   * Checks that the file's samples are this model's, and records that those to come are.
   * @throws UserError when they are another model's
   */
  async accept(model: LoadedModel): Promise<void> {
    const mark = await markOf(model);
    if (this.done.size > 0) {
      if (!this.record) {
        tell(
          `warning: ${recordPath(this.path)} is missing: assuming ${this.path} was written with this model and these options`,
        );
      } else if (this.record.model !== mark) {
        throw new UserError(
          `${this.path} holds samples of another model, or of this one with another --precision or --backend`,
          { next: ANOTHER_FILE },
        );
      } else return;
    }
    await writeRecord(this.path, { options: this.options, model: mark });
  }

  async write(text: string): Promise<void> {
    await this.lock.check();
    try {
      await this.file.appendFile(text);
    } catch (error) {
      throw fileError("write", this.path, error);
    }
  }

  async close(): Promise<void> {
    await this.file.close();
    await this.lock.release();
  }
}

/** The file's path with links resolved; creates a missing file. @throws UserError when it is not a regular file */
async function createdFile(path: string): Promise<string> {
  try {
    const file = await open(path, "a+");
    try {
      if (!(await file.stat()).isFile())
        throw new UserError(`${path} is not a regular file`, { next: ANOTHER_FILE });
    } finally {
      await file.close();
    }
    return await realpath(path);
  } catch (error) {
    throw error instanceof UserError ? error : fileError("write", path, error);
  }
}

/** Reads all lines. @throws UserError when they are another run's samples, or not samples at all */
async function readSamples(path: string, { seed, prompts }: Wanted): Promise<Found> {
  const done = new Set<number>();
  const lines: Found["lines"][number][] = [];
  let known = seed;
  for await (const line of sampleLines(path)) {
    const { start, end } = line;
    let { kind } = line;
    if (line.kind === "sample") {
      const { sample } = line;
      const own = prompts.find(sample.prompt_number);
      if (sample.prompt !== own?.prompt)
        throw new UserError(`${path} holds samples of another prompt`, { next: ANOTHER_FILE });
      const wanted = own.seed ?? known;
      if (wanted !== undefined && sample.seed !== undefined && sample.seed !== wanted) {
        throw new UserError(`${path} holds samples of seed ${sample.seed}`, {
          next: `pass --seed ${sample.seed}, or ${ANOTHER_FILE}`,
        });
      }
      if (own.seed === undefined) known ??= sample.seed;
      const place = placeOf(own.index, sample.sample - 1);
      if (done.has(place)) kind = "odd"; // a duplicate
      done.add(place);
    }
    const last = lines.at(-1);
    if (last?.kind === kind) lines[lines.length - 1] = { kind, start: last.start, end };
    else lines.push({ kind, start, end });
  }
  if (done.size === 0 && lines.some(({ kind }) => kind === "odd")) {
    throw new UserError(`${path} holds something other than samples`, { next: ANOTHER_FILE });
  }
  return { done, seed: known, lines };
}

/** Keeps only whole samples in the file; appends odd lines to another file beside it. */
async function tidy(path: string, { lines }: Found): Promise<void> {
  const kept = lines.filter(({ kind }) => kind === "sample");
  const odd = lines.filter(({ kind }) => kind === "odd");
  if (kept.length === lines.length) return;
  const aside = `${path}.odd-lines`;
  for (const { start, end } of odd) {
    const bytes = Buffer.alloc(end - start);
    const file = await open(path, "r");
    try {
      await file.read(bytes, 0, bytes.length, start);
    } finally {
      await file.close();
    }
    await appendFile(aside, bytes.at(-1) === 10 ? bytes : Buffer.concat([bytes, Buffer.from("\n")]));
  }
  if (odd.length > 0) tell(`warning: moved lines of ${path} that are not samples to ${aside}`);
  const whole = kept.at(-1)?.end ?? 0;
  if (kept.length <= 1 && (kept[0]?.start ?? 0) === 0) {
    // Everything to remove is at the end.
    const file = await open(path, "r+");
    try {
      await file.truncate(whole);
    } finally {
      await file.close();
    }
    return;
  }
  const beside = `${path}.${randomHex(4)}.part`;
  try {
    for (const { start, end } of kept) {
      await pipeline(
        createReadStream(path, { start, end: end - 1 }),
        createWriteStream(beside, { flags: "a" }),
      );
    }
    await chmod(beside, (await stat(path)).mode);
    const file = await open(beside, "r+");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw fileError("write", path, error);
  }
}

/**
 * Opens the file of --resume, if given.
 * @throws UsageError when --format text was typed too
 */
export async function openResumed(
  command: Command,
  options: GeneratingOptions & { readonly resume?: string },
  prompts: RunPrompts,
): Promise<ResumedFile | undefined> {
  const { resume, seed, format } = options;
  if (resume === undefined) return undefined;
  if (format === "text" && command.getOptionValueSource("format") === "cli") {
    throw new UsageError("--resume writes jsonl", { next: "drop --format text" });
  }
  return ResumedFile.open(resume, {
    seed,
    prompts,
    options: { ...decidingOptions(options), ...prompts.deciding },
  });
}
