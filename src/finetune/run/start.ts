import { join, resolve } from "node:path";
import type { Hparams } from "../../model/hparams.js";
import { expandPath, isModelFolder } from "../../models/store.js";
import { UsageError, UserError } from "../../system/errors.js";
import { type Base, folderBase } from "./base.js";
import { newestSave, type Save } from "./restore.js";
import { listSaves, readRun, saveName } from "./save.js";

/** Where the user wants a run to begin. */
export interface StartRequest {
  readonly run_name: string;
  readonly checkpoint_dir: string;
  /** "latest", "fresh", or the path of a model folder. */
  readonly restore_from: string;
  readonly overwrite: boolean;
  /** Finds the model that a new run begins from. */
  readonly base: () => Promise<Base>;
  /** The sizes that were asked for: a run that goes on must have them. */
  readonly sizes: Partial<Hparams>;
  /** The model that was named, if one was. */
  readonly baseName?: string;
}

/** What a run begins from, and the save where it goes on. */
export interface Start {
  readonly base: Base;
  readonly save?: Save;
  /** The run's number among those that were begun in its folder. */
  readonly number: number;
  /** There is an older run, which stays until this one has something to put in its place. */
  readonly isOverwriting: boolean;
}

/**
 * Decides where a run begins: at its newest save that is whole, or at a model.
 * @throws UserError when that would overwrite a run, or there is nothing sound to begin from
 */
export async function chooseStart(
  folder: string,
  request: StartRequest,
  onNotice: (line: string) => void,
): Promise<Start> {
  const { restore_from, overwrite } = request;
  const steps = await listSaves(folder);
  const isTaken = steps.length > 0 || isModelFolder(folder);
  if (restore_from === "latest" && isTaken && !overwrite) return goOn(folder, request, onNotice);
  if (isTaken && !overwrite) {
    throw new UserError(
      `${folder} already holds a run: --restore_from latest continues it, --overwrite begins again, another --run_name keeps it`,
    );
  }
  const isModel = restore_from === "latest" || restore_from === "fresh";
  const base = isModel ? await request.base() : await pathBase(restore_from);
  const numbers = await Promise.all(
    steps.map((step) =>
      readRun(join(folder, saveName(step))).then(
        ({ progress }) => progress.run,
        () => 0,
      ),
    ),
  );
  return { base, number: 1 + Math.max(0, ...numbers), isOverwriting: isTaken };
}

async function goOn(
  folder: string,
  { run_name, sizes, baseName }: StartRequest,
  onNotice: (line: string) => void,
): Promise<Start> {
  const save = await newestSave(folder, onNotice);
  if (!save) {
    throw new UserError(
      `${folder} holds a model that gpt2 finetune has not saved: begin from it with --restore_from ${folder} and another --run_name`,
    );
  }
  const { base: begun, run } = save.progress;
  const base = await folderBase(save.folder, begun);
  for (const [name, wanted] of Object.entries(sizes)) {
    const found = base.hparams[name as keyof Hparams];
    if (found !== wanted) {
      throw new UsageError(
        `${run_name} has ${name} ${found}, not ${wanted}: begin anew with --restore_from fresh --overwrite, or under another --run_name`,
      );
    }
  }
  if (baseName !== undefined && baseName !== begun) {
    onNotice(`${run_name} was begun from ${begun} and goes on from its own save, not from ${baseName}`);
  }
  return { base, save, number: run, isOverwriting: false };
}

async function pathBase(restore_from: string): Promise<Base> {
  const path = resolve(expandPath(restore_from));
  if (isModelFolder(path)) return folderBase(path, restore_from);
  throw new UserError(
    `--restore_from ${restore_from} is neither latest, nor fresh, nor the folder of a model or a run`,
  );
}
