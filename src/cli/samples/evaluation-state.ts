import { UserError } from "../../system/errors.js";
import { readSmallFileIfThere, replaceFile } from "../../system/files.js";
import { isObject, isSize, tryJson } from "../../system/json.js";
import { ANOTHER_FILE } from "./resume-record.js";

/** What has been measured so far. */
export interface Sums {
  /** Tokens or texts. */
  readonly done: number;
  /** The sum of their log-probabilities, added in order, so that interruptions do not change it. */
  readonly logprob: number;
  /** Last words predicted right. */
  readonly found: number;
}

/** What was measured, which must be the same when a run continues. */
export type Measured = Readonly<Record<string, string | number | boolean>>;

const NOTHING: Sums = { done: 0, logprob: 0, found: 0 };
const MAX_BYTES = 100_000;
const SAVE_MS = 10_000;

/** The file of `evaluate --resume`: its sums, written every few seconds and at the end. */
export class EvaluationState {
  private saved: Sums;
  private savedAt = performance.now();

  private constructor(
    private readonly path: string | undefined,
    private readonly measured: Measured,
    private current: Sums,
  ) {
    this.saved = current;
  }

  /**
   * Reads the sums, if the file exists.
   * @param path undefined: nothing is read or written
   * @throws UserError when it is another kind of file, or of another text, model or options
   */
  static async open(path: string | undefined, measured: Measured): Promise<EvaluationState> {
    if (path === undefined || path === "") return new EvaluationState(undefined, measured, NOTHING);
    const bytes = await readSmallFileIfThere(path, MAX_BYTES, ANOTHER_FILE);
    const state = new EvaluationState(path, measured, bytes ? readSums(bytes, path, measured) : NOTHING);
    if (!bytes) await state.write(); // a place that cannot be written to shows before the work begins
    return state;
  }

  get sums(): Sums {
    return this.current;
  }

  async tell(sums: Sums): Promise<void> {
    this.current = sums;
    if (performance.now() - this.savedAt >= SAVE_MS) await this.save();
  }

  /** Writes the sums if they have changed. */
  async save(): Promise<void> {
    if (this.saved !== this.current) await this.write();
  }

  private async write(): Promise<void> {
    this.savedAt = performance.now();
    this.saved = this.current;
    if (this.path === undefined) return;
    await replaceFile(
      this.path,
      `${JSON.stringify({ measured: this.measured, sums: this.current }, undefined, 2)}\n`,
    );
  }
}

function readSums(bytes: Buffer, path: string, measured: Measured): Sums {
  const value = tryJson(bytes.toString("utf8"));
  const { measured: before, sums } = isObject(value) ? value : {};
  if (!isObject(before) || !isObject(sums)) throw notOurs(path);
  const { done, logprob, found } = sums;
  if (!isSize(done) || !isSize(found) || typeof logprob !== "number") throw notOurs(path);
  const names = [...new Set([...Object.keys(before), ...Object.keys(measured)])];
  const other = names.filter((name) => before[name] !== measured[name]);
  if (other.length > 0)
    throw new UserError(`${path} was measured with another ${other.join(" and ")}`, {
      next: ANOTHER_FILE,
    });
  return { done, logprob, found };
}

const notOurs = (path: string): UserError =>
  new UserError(`${path} was not written by evaluate --resume`, { next: ANOTHER_FILE });
