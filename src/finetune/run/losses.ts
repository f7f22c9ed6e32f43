import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileError, replaceFile } from "../../system/files.js";

const LOSS_FILE = "loss.csv";
/** The losses of a run that overwrites another, until its first save. */
export const LOSS_PART = `${LOSS_FILE}.part`;
const HEADER = "step,seconds,loss,avg,validation";

/** One step. */
export interface LossRow {
  readonly step: number;
  /** Of training, over all sessions. */
  readonly seconds: number;
  /** Mean over the step's batches, in nats per token. */
  readonly loss: number;
  readonly average: number;
  /** On the held-out part, if it was measured after this step. */
  readonly validation?: number;
}

/** gpt-2-simple's moving average of the losses: (numerator, denominator), both decayed. */
export function nextAverage([sum, weight]: readonly [number, number], loss: number): [number, number] {
  return [0.99 * sum + loss, 0.99 * weight + 1];
}

/** A training's losses, in columns, for the curves. */
export class Losses {
  readonly steps: number[] = [];
  readonly losses: number[] = [];
  readonly averages: number[] = [];
  readonly validations: { readonly step: number; readonly loss: number }[] = [];

  /** Adds a step. */
  push({ step, loss, average, validation }: LossRow): void {
    this.steps.push(step);
    this.losses.push(loss);
    this.averages.push(average);
    if (validation !== undefined) this.validations.push({ step, loss: validation });
  }
}

function parseRow(line: string): LossRow | undefined {
  const cells = line.split(",");
  const [step, seconds, loss, average] = cells.map(Number);
  if (cells.length !== 5 || !Number.isSafeInteger(step) || [seconds, loss, average].some(Number.isNaN)) {
    return undefined; // truncated, or not ours
  }
  return { step, seconds, loss, average, validation: cells[4] === "" ? undefined : Number(cells[4]) };
}

const formatRow = ({ step, seconds, loss, average, validation }: LossRow): string =>
  `${step},${seconds.toFixed(3)},${loss},${average},${validation ?? ""}\n`;

/** A run's loss.csv, one row per step, and the same in memory. */
export class LossLog {
  private constructor(
    readonly losses: Losses,
    private readonly file: FileHandle,
    private path: string,
    private readonly place: string,
  ) {}

  /**
   * Opens a run's loss.csv to continue it.
   * @param step rows of later steps, and what a killed process left half written, are cut off
   * @param isBeside whether to start a new file, which replaces the old one when settle() is called
   * @throws UserError when it cannot be read or written
   */
  static async open(run: string, step: number, isBeside = false): Promise<LossLog> {
    const place = join(run, LOSS_FILE);
    const path = isBeside ? join(run, LOSS_PART) : place;
    const losses = new Losses();
    const old = isBeside || step === 0 ? "" : await readIfThere(place);
    let kept = "";
    let last = 0;
    for (const line of old.split("\n").slice(1, -1)) {
      const row = parseRow(line);
      if (!row || row.step <= last || row.step > step) continue;
      last = row.step;
      losses.push(row);
      kept += `${line}\n`;
    }
    const wanted = `${HEADER}\n${kept}`;
    if (old !== wanted) await replaceFile(path, wanted);
    try {
      return new LossLog(losses, await open(path, "a"), path, place);
    } catch (error) {
      throw fileError("write", path, error);
    }
  }

  /** Adds a step's row in one write. */
  async add(row: LossRow): Promise<void> {
    this.losses.push(row);
    try {
      await this.file.appendFile(formatRow(row));
    } catch (error) {
      throw fileError("write", this.path, error);
    }
  }

  /** Puts a new file in its place. */
  async settle(): Promise<void> {
    if (this.path === this.place) return;
    try {
      await rename(this.path, this.place);
      this.path = this.place;
    } catch (error) {
      throw fileError("write", this.place, error);
    }
  }

  /** Closes the file; a new one that was never put in its place is removed. */
  async close(): Promise<void> {
    await this.file.close();
    if (this.path !== this.place) await rm(this.path, { force: true }).catch(() => undefined);
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw fileError("read", path, error);
  }
}
