import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileError, replaceFile } from "../../system/files.js";

const LOSS_FILE = "loss.csv";
/** What a run that overwrites another writes until its first save. */
export const LOSS_PART = `${LOSS_FILE}.part`;
const HEADER = "step,seconds,loss,avg,validation";

/** One step. */
export interface LossRow {
  readonly step: number;
  /** Of training, over all sessions. */
  readonly seconds: number;
  /** Mean over the step's batches, in nats a token. */
  readonly loss: number;
  readonly average: number;
  /** On the held-out part, where it was measured after this step. */
  readonly validation?: number;
}

/** The moving average of the losses as gpt-2-simple computes it: (numerator, denominator), both decayed. */
export function nextAverage([sum, weight]: readonly [number, number], loss: number): [number, number] {
  return [0.99 * sum + loss, 0.99 * weight + 1];
}

/** A training's losses, in columns: what the curves are drawn from. */
export class Losses {
  readonly steps: number[] = [];
  readonly losses: number[] = [];
  readonly averages: number[] = [];
  readonly validations: { readonly step: number; readonly loss: number }[] = [];

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
    return undefined; // cut off, or not ours
  }
  return { step, seconds, loss, average, validation: cells[4] === "" ? undefined : Number(cells[4]) };
}

const formatRow = ({ step, seconds, loss, average, validation }: LossRow): string =>
  `${step},${seconds.toFixed(3)},${loss},${average},${validation ?? ""}\n`;

/** A run's loss.csv, a row a step, and the same in memory. */
export class LossLog {
  private constructor(
    readonly losses: Losses,
    private readonly file: FileHandle,
    private path: string,
    private readonly place: string,
  ) {}

  /**
   * Opens a run's loss.csv to go on with it.
   * @param step rows of later steps, and what a killed process left half written, are cut off
   * @param isBeside a new file that is to replace the one that is there, when settle() is called
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

  /** Puts a file that was opened beside its place there. */
  async settle(): Promise<void> {
    if (this.path === this.place) return;
    try {
      await rename(this.path, this.place);
      this.path = this.place;
    } catch (error) {
      throw fileError("write", this.place, error);
    }
  }

  /** Closes the file; one that never came to its place goes. */
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
