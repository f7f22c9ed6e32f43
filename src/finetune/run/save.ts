import { readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { MANIFEST, manifestFromAbove } from "../../formats/tfjs/manifest.js";
import { writeWeights } from "../../formats/tfjs/write.js";
import type { WeightSource } from "../../model/weight-source.js";
import { COUNTER } from "../../models/files.js";
import { messageOf, UserError } from "../../system/errors.js";
import { fileError, makeFolder, replaceFile, syncFolder } from "../../system/files.js";
import { LOSS_PART } from "./losses.js";
import { describeRun, RUN_FILE, type RunProgress } from "./run-file.js";

/** The folder of the optimizer's state within a save. */
export const OPTIMIZER_STATE = "state";

/** What a save holds. */
export interface SaveContent {
  readonly progress: RunProgress;
  readonly weights: WeightSource;
  readonly state: WeightSource;
  /** hparams.json, encoder.json and vocab.bpe. */
  readonly modelFiles: ReadonlyMap<string, Uint8Array>;
}

/** Temporary files that replaceFile() writes in a run's folder. */
const HALF_FILE =
  /^(counter|(hparams|encoder|model|tokens)\.json|vocab\.bpe|loss\.(csv|svg))\.[0-9a-f]{8}\.part$/;

/** The folder of a step's save. */
export const saveName = (step: number): string => `step-${step}`;

/** The steps of the saves in a run's folder, latest first; an unfinished one has another name. */
export async function listSaves(run: string): Promise<number[]> {
  const names = await readdir(run, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw fileError("read", run, error);
  });
  return names
    .filter((entry) => entry.isDirectory())
    .map((entry) => Number(/^step-(0|[1-9]\d{0,14})$/.exec(entry.name)?.[1] ?? -1))
    .filter((step) => step >= 0)
    .sort((a, b) => b - a);
}

/**
 * Saves a run: all of it in step-<N>/, which is a model folder of its own, written under another name and renamed when it
 * is whole; then the run's own folder becomes that model; then surplus saves go.
 * @param run the run's folder
 * @param others keep: steps of the saves to keep besides the new one; once it is in place all others go: surplus ones,
 *   damaged ones, and those of a run that this one overwrites. last: the last good one, for messages
 * @throws UserError when the disk fails; earlier saves and the model in the run's folder are then untouched
 */
export async function writeSave(
  run: string,
  content: SaveContent,
  { keep, last }: { readonly keep: readonly number[]; readonly last?: number },
): Promise<void> {
  const { progress, weights, state, modelFiles } = content;
  const name = saveName(progress.step);
  const part = join(run, `${name}.part`);
  try {
    await rm(part, { recursive: true, force: true });
    makeFolder(part);
    if (state.tensors.size > 0) await writeWeights(join(part, OPTIMIZER_STATE), state, { dtype: "float32" });
    const companions = new Map(modelFiles).set(RUN_FILE, Buffer.from(describeRun(progress, modelFiles)));
    await writeWeights(part, weights, { dtype: "float32", companions });
    await putInPlace(run, name);
  } catch (error) {
    await rm(part, { recursive: true, force: true }).catch(() => undefined);
    if (!(error instanceof UserError)) throw error;
    const left = last === undefined ? "there is no save yet" : `the save of step ${last} is intact`;
    const cause = { cause: error };
    throw new UserError(`step ${progress.step} could not be saved: ${messageOf(error)}; ${left}`, cause);
  }
  await publish(run, progress.step, modelFiles);
  for (const step of await listSaves(run)) {
    if (step !== progress.step && !keep.includes(step)) await removeSave(run, step);
  }
}

/** Removes a save: it is renamed to a part first, so that a kill leaves none that looks damaged. */
async function removeSave(run: string, step: number): Promise<void> {
  const place = join(run, saveName(step));
  const part = `${place}.part`;
  try {
    await rename(place, part);
    await rm(part, { recursive: true, force: true });
  } catch {
    // It stays; whoever saves next tries again.
  }
}

/** Renames a finished part to its save, replacing an unusable save of the same step. */
async function putInPlace(run: string, name: string): Promise<void> {
  const place = join(run, name);
  const aside = join(run, `${name}.old.part`);
  try {
    await rename(place, aside).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    await rename(join(run, `${name}.part`), place);
  } catch (error) {
    throw fileError("write", place, error);
  }
  await syncFolder(run);
  await rm(aside, { recursive: true, force: true }).catch(() => undefined);
}

/**
 * Makes the run's folder the model of one of its saves: model.json names that save's files, counter its step.
 * Files are replaced by renaming; those that are already right are not touched.
 * @param modelFiles of the save
 */
export async function publish(
  run: string,
  step: number,
  modelFiles: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const path = join(run, saveName(step), MANIFEST);
  const manifest = await readFile(path, "utf8").catch((error) => {
    throw fileError("read", path, error);
  });
  const files = new Map(modelFiles)
    .set(MANIFEST, Buffer.from(manifestFromAbove(manifest, saveName(step))))
    .set(COUNTER, Buffer.from(`${step}\n`));
  for (const [name, content] of files) {
    const old = await readFile(join(run, name)).catch(() => undefined);
    if (!old?.equals(content)) await replaceFile(join(run, name), content);
  }
  await syncFolder(run);
}

/**
 * Removes what a killed process left half written, and restores a save that was about to be replaced.
 * The caller holds the run's lock.
 */
export async function tidyRun(run: string): Promise<void> {
  await rm(join(run, LOSS_PART), { force: true }).catch(() => undefined);
  for (const name of await readdir(run).catch(() => [])) {
    if (HALF_FILE.test(name)) await rm(join(run, name), { force: true }).catch(() => undefined);
    const [, save, old] = /^(step-\d+)(\.old)?\.part$/.exec(name) ?? [];
    if (save === undefined) continue;
    const path = join(run, name);
    const isBack =
      old !== undefined &&
      (await rename(path, join(run, save)).then(
        () => true,
        () => false, // one of that name exists, or the folder is read-only: then writing will say so
      ));
    if (!isBack) await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}
