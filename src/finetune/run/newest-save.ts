import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "../../formats/crc.js";
import { hasWeights, openWeights } from "../../formats/tfjs/read.js";
import { checkParameters, sizeOf } from "../../model/parameters.js";
import type { WeightSource } from "../../model/weight-source.js";
import { option, reasonOf, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import type { FinetuneEvents } from "../training.js";
import { type BaseModel, folderBase } from "./base.js";
import { type RunProgress, readRun } from "./run-file.js";
import { listSaves, OPTIMIZER_STATE, saveName } from "./save.js";

/** A whole save. */
export interface Save {
  readonly folder: string;
  readonly progress: RunProgress;
  /** The model in it. */
  readonly base: BaseModel;
  /** Steps of the run's saves up to this one, latest first. */
  readonly steps: readonly number[];
}

/** Reads all of a source, so that every checksum is verified. */
async function verify(source: WeightSource): Promise<void> {
  const sizes = [...source.tensors.values()].map(({ shape }) => sizeOf(shape));
  const memory = new Float32Array(sizes.reduce((most, size) => Math.max(most, size), 0));
  for (const [name, { shape }] of source.tensors) await source.read(name, memory.subarray(0, sizeOf(shape)));
}

/**
 * The optimizer's state of a save; no tensors if it has none.
 * @throws UserError when it is missing or damaged
 */
export async function openState(folder: string): Promise<WeightSource> {
  const path = join(folder, OPTIMIZER_STATE);
  if (await hasWeights(path)) return openWeights(path);
  return { path, tensors: new Map(), read: async () => undefined, close: async () => undefined };
}

/**
 * Reads all of a save and verifies every checksum.
 * @throws UserError that names what is missing or damaged
 */
async function checkSave(folder: string): Promise<Pick<Save, "progress" | "base">> {
  const { progress, files } = await readRun(folder);
  for (const [name, wanted] of Object.entries(files)) {
    const path = join(folder, name);
    const bytes = await readFile(path).catch((error) => {
      throw fileError("read", path, error);
    });
    if (crc32(bytes) !== wanted) throw new UserError(`${path} is damaged: its checksum does not match`);
  }
  const weights = await openWeights(folder);
  const base = await folderBase(folder, progress.base);
  checkParameters(base.hparams, weights);
  await verify(weights);
  const state = await openState(folder);
  if (progress.hasState && state.tensors.size === 0) throw new UserError(`${state.path} is missing`);
  await verify(state);
  return { progress, base };
}

/** The next step for a run that cannot be continued. */
export const beginAgain = (): string =>
  `begin again with ${option("restore_from", "fresh")} and ${option("overwrite", true)}, or under another ${option("run_name")}`;

/**
 * A run's newest whole save; damaged ones are reported and left alone.
 * @param run the run's folder
 * @returns undefined if the run has no save at all
 * @throws UserError when there are saves but none of them is whole
 */
export async function newestSave(
  run: string,
  events: Pick<FinetuneEvents, "onNotice">,
): Promise<Save | undefined> {
  const found: { folder: string; number: number; step: number }[] = [];
  for (const step of await listSaves(run)) {
    const folder = join(run, saveName(step));
    const number = await readRun(folder).then(
      ({ progress }) => progress.run,
      () => Number.POSITIVE_INFINITY,
    );
    found.push({ folder, number, step });
  }
  if (found.length === 0) return undefined;
  found.sort((a, b) => (a.number === b.number ? b.step - a.step : b.number - a.number));
  for (const { folder, number, step } of found) {
    try {
      const checked = await checkSave(folder);
      const earlier = found.filter((other) => other.number === number && other.step <= step);
      return { folder, ...checked, steps: earlier.map((other) => other.step) };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      events.onNotice(`the save of step ${step} cannot be used (${reasonOf(error)}): the one before it is`);
    }
  }
  throw new UserError(`${run} has no intact save`, { next: beginAgain() });
}
