import { createHash } from "node:crypto";
import { basename, join, resolve } from "node:path";
import type { Hparams } from "../../model/hparams.js";
import { isModelFolder } from "../../models/store.js";
import { option, UsageError, UserError } from "../../system/errors.js";
import { refuseLinkedFolder } from "../../system/files.js";
import { expandPath } from "../../system/paths.js";
import type { Corpus } from "../dataset/corpus.js";
import type { FinetuneEvents, Training } from "../training.js";
import { type BaseModel, folderBase } from "./base.js";
import { beginAgain, newestSave, openState, type Save } from "./newest-save.js";
import { compareOptions, type FinetuneRequest, isSame, type TrainingOptions } from "./options.js";
import { type RunProgress, readRun } from "./run-file.js";
import { listSaves, saveName } from "./save.js";

/** What a run starts from, and the save if it continues. */
export interface Start {
  readonly base: BaseModel;
  readonly save?: Save;
  /** The run's number among those started in its folder. */
  readonly number: number;
  /** Whether there is an older run, which stays until this one has something to replace it. */
  readonly isOverwriting: boolean;
}

/**
 * Decides where a run starts: from its newest whole save, or from a model.
 * @throws UserError when that would overwrite a run, or there is nothing sound to start from
 */
export async function chooseStart(request: FinetuneRequest, events: FinetuneEvents): Promise<Start> {
  const { folder, restore_from, overwrite } = request;
  const steps = await listSaves(folder);
  const isTaken = steps.length > 0 || isModelFolder(folder);
  if (restore_from === "latest" && isTaken && !overwrite) return goOn(request, events);
  if (isTaken && !overwrite) {
    throw new UserError(`${folder} already holds a run`, {
      next: `${option("restore_from", "latest")} continues it, ${option("overwrite", true)} begins again, another ${option("run_name")} keeps it`,
    });
  }
  if (isTaken) await refuseLinkedFolder(folder);
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

async function goOn({ folder, sizes, baseName }: FinetuneRequest, events: FinetuneEvents): Promise<Start> {
  const save = await newestSave(folder, events);
  if (!save) {
    throw new UserError(`${folder} holds a model that gpt2 finetune did not save`, {
      next: `begin from it with ${option("restore_from", folder)} and another ${option("run_name")}`,
    });
  }
  const { base } = save;
  const run_name = basename(folder);
  for (const [name, wanted] of Object.entries(sizes)) {
    const found = base.hparams[name as keyof Hparams];
    if (found !== wanted) {
      throw new UsageError(`${run_name} has ${name} ${found}, not ${wanted}`, { next: beginAgain() });
    }
  }
  if (baseName !== undefined && baseName !== base.name) {
    events.onNotice(
      `${run_name} began from ${base.name} and continues from its own save, not from ${baseName}`,
    );
  }
  return { base, save, number: save.progress.run, isOverwriting: false };
}

async function pathBase(restore_from: string): Promise<BaseModel> {
  const path = resolve(expandPath(restore_from));
  if (isModelFolder(path)) return folderBase(path, restore_from);
  throw new UserError(
    `${option("restore_from", restore_from)} is neither latest, nor fresh, nor the folder of a model or a run`,
  );
}

/** What a run will be trained with. */
interface Ready extends Pick<Training, "corpus" | "trainer"> {
  readonly options: TrainingOptions;
  /** Tokens per row. */
  readonly context: number;
}

/** A fingerprint of the dataset's tokens: another dataset, vocabulary or held-out part gives another. */
function fingerprintOf({ tokens, validation }: Corpus): string {
  const hash = createHash("sha256").update(`${tokens.length} ${tokens.BYTES_PER_ELEMENT} `);
  for (const { buffer, byteOffset, byteLength } of [tokens, validation]) {
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest("hex").slice(0, 32);
}

/**
 * Where a training starts. If it continues from a save, the optimizer's state is restored and the user is told what has
 * changed; with another optimizer, rank or choice of layers the state starts anew.
 * @throws UserError when the state cannot be read
 */
export async function resumeAt(
  start: Start,
  { options, corpus, context, trainer }: Ready,
  events: FinetuneEvents,
): Promise<RunProgress> {
  const { base, save, number } = start;
  const fingerprint = fingerprintOf(corpus);
  const now = { run: number, options, context, fingerprint, base: base.name, trainer: trainer.name };
  if (!save) return { ...now, step: 0, updates: 0, hasState: false, seconds: 0, average: [0, 0] };
  const before = save.progress;
  const { phrases, isStateLost } = compareOptions(before.options, options);
  const changes = [...phrases];
  const isPartedAnew =
    before.options.validation !== options.validation || !isSame(before.options.column, options.column);
  if (before.fingerprint !== fingerprint && !isPartedAnew) changes.push("another dataset");
  if (before.context !== context) changes.push(`rows of ${before.context} -> ${context} tokens`);
  if (before.trainer !== trainer.name) changes.push(`backend ${before.trainer} -> ${trainer.name}`);
  if (changes.length > 0) {
    const anew = isStateLost ? "; the optimizer starts afresh" : "";
    events.onNotice(`the run continues, but not as before: ${changes.join(", ")}${anew}`);
  }
  if (isStateLost) return { ...before, ...now, updates: 0, hasState: false };
  const state = await openState(save.folder);
  try {
    await trainer.restore(before.updates, state);
  } finally {
    await state.close();
  }
  return { ...before, ...now };
}
