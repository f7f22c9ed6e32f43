import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UsageError, UserError } from "../../system/errors.js";
import { listFolder, makeFolder, readSmallFileIfThere, replaceFile } from "../../system/files.js";
import { isObject, isSize, tryJson } from "../../system/json.js";
import { type Lock, lockFolder } from "../../system/lock.js";
import { expandPath, isPath, userPath } from "../../system/paths.js";
import type { SampleRecord } from "../samples/sink.js";

/** A step of a session: a text, and what the model wrote after it. */
export interface Step {
  /** What was typed, loaded or edited; the whole text so far if the step continued it. */
  readonly prompt: string;
  readonly samples: readonly SampleRecord[];
  /** With --turns: the tokens said and answered. */
  readonly turns?: readonly (readonly number[])[];
}

/** The contents of a session's file. */
export interface SessionState {
  readonly steps: readonly Step[];
  /** See /pin; "" if nothing is pinned. */
  readonly pin: string;
}

/** A step's whole text: its prompt and last sample. */
export const textOf = ({ prompt, samples }: Step): string => prompt + (samples.at(-1)?.text ?? "");

const KIND = "gpt2 session 1";
const MAX_BYTES = 1_000_000_000;
const ANOTHER = "choose another name for --session";

/** The path of a session's file: in the user's data folder, or as typed. */
export function sessionPath(typed: string): string {
  if (isPath(typed)) return expandPath(typed);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names must not have them
  if (typed === "" || /[\0-\x1f:]/.test(typed))
    throw new UsageError(`--session must be a name or a file's path, not ${JSON.stringify(typed)}`);
  return userPath("data", "sessions", `${typed}.json`);
}

/** A session's file, locked against other processes until it is closed. */
export class SessionFile {
  private constructor(
    readonly path: string,
    private readonly lock: Lock,
    /** Its contents when it was opened. */
    readonly state: SessionState,
  ) {}

  /** @throws UserError when another process has it, it cannot be read, or it is not a session's file */
  static async open(typed: string): Promise<SessionFile> {
    const path = sessionPath(typed);
    const folder = dirname(path);
    if (!isPath(typed)) makeFolder(folder, 0o700);
    const lock = await lockFolder(folder, {
      file: `${basename(path)}.lock`,
      name: `gpt2 interactive --session ${typed}`,
    });
    try {
      await removeUnfinished(path);
      const bytes = await readSmallFileIfThere(path, MAX_BYTES, ANOTHER);
      const file = new SessionFile(path, lock, bytes ? parse(bytes, path) : { steps: [], pin: "" });
      if (!bytes) await file.write(file.state); // so that a place that cannot be written to shows at once
      return file;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Replaces the file as a whole. @throws UserError when that fails; the old file is then untouched */
  async write(state: SessionState): Promise<void> {
    await this.lock.check();
    await replaceFile(this.path, format(state), 0o600);
  }

  async close(): Promise<void> {
    await this.lock.release();
  }
}

/** Removes files left by killed writes; under the lock, no other write is running. */
async function removeUnfinished(path: string): Promise<void> {
  for (const name of await listFolder(dirname(path))) {
    const isOurs = name.startsWith(`${basename(path)}.`) && /\.[0-9a-f]{8}\.part$/.test(name);
    if (isOurs) await rm(join(dirname(path), name), { force: true });
  }
}

/** The file's text. A step's entry leaves out the text before it, and what its samples share. */
function format({ steps, pin }: SessionState): string {
  const entries = steps.map(({ prompt, samples, turns }, i) => ({
    ...(i === 0 || prompt !== textOf(steps[i - 1]) ? { prompt } : {}),
    samples: samples.map(({ prompt: _, ...sample }) => sample),
    ...(turns && { turns }),
  }));
  return `${JSON.stringify({ kind: KIND, pin, steps: entries }, undefined, 1)}\n`;
}

function parse(bytes: Buffer, path: string): SessionState {
  const value = tryJson(bytes.toString("utf8"));
  if (!isObject(value) || value["kind"] !== KIND || typeof value["pin"] !== "string") throw notOurs(path);
  if (!Array.isArray(value["steps"])) throw notOurs(path);
  const steps: Step[] = [];
  for (const entry of value["steps"] as unknown[]) {
    const last = steps.at(-1);
    const step = parseStep(entry, last && textOf(last));
    if (!step) throw notOurs(path);
    steps.push(step);
  }
  return { steps, pin: value["pin"] };
}

function parseStep(entry: unknown, before: string | undefined): Step | undefined {
  if (!isObject(entry)) return undefined;
  const { prompt = before, samples, turns } = entry;
  if (typeof prompt !== "string" || !Array.isArray(samples)) return undefined;
  const records = samples.map((sample) => ({ ...(sample as SampleRecord), prompt }));
  const isGood = records.every(
    ({ sample, seed, text, tokens, finish_reason }) =>
      isSize(sample) &&
      isSize(seed) &&
      typeof text === "string" &&
      isSize(tokens) &&
      typeof finish_reason === "string",
  );
  if (!isGood || (turns !== undefined && !isTurns(turns))) return undefined;
  return { prompt, samples: records, ...(turns !== undefined && { turns: turns as number[][] }) };
}

const isTurns = (value: unknown): boolean =>
  Array.isArray(value) && value.every((turn) => Array.isArray(turn) && turn.every(isSize));

const notOurs = (path: string): UserError =>
  new UserError(`${path} is not a session of gpt2 interactive`, { next: ANOTHER });
