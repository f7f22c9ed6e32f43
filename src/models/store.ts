import { existsSync, lstatSync, readdirSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { restoreInterrupted } from "../formats/file-set.js";
import { PACKAGE_ROOT } from "../system/package.js";
import { expandPath, userPath } from "../system/paths.js";
import { HPARAMS, looksLikeModel, modelFilesIn } from "./files.js";

/** The model to try first. */
export const DEMO = "stories";
/** All models that come with the program. */
export const DEMOS: readonly string[] = [DEMO, "shakespeare"];

/** Whether there is a folder at this path. */
export const isFolder = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

/**
 * The folders that hold models, in search order. Downloads go to the first.
 * @param option the chosen folder: when it or $GPT2_MODELS_DIR is set, only that folder counts, besides the demo models
 *   that come with the package
 */
export function modelsDirs(option?: string): string[] {
  const given = option ?? process.env["GPT2_MODELS_DIR"];
  const packaged = join(PACKAGE_ROOT, "models");
  if (given) return [resolve(expandPath(given)), packaged];
  return [...(isFolder("models") ? [resolve("models")] : []), userPath("cache", "models"), packaged];
}

/** Whether a folder can be loaded: whether it has sizes and weights. */
export function isModelFolder(path: string): boolean {
  restoreInterrupted(path);
  const has = (file: string): boolean => existsSync(join(path, file));
  return has(HPARAMS) && (has("model.json") || has("model.ckpt.index") || has("checkpoint"));
}

/** A folder with a model, complete or not. */
export interface StoredModel {
  readonly name: string;
  readonly path: string;
  /** Names of the model's files in it. */
  readonly files: readonly string[];
  /** Bytes of these files. */
  readonly bytes: number;
  /** Whether it came with the program. */
  readonly isPackaged: boolean;
  /** The folder's real path, if its path is a link. */
  readonly target: string | undefined;
}

/** The model's files in a folder; undefined if it has no model. */
export function describeModel(path: string): StoredModel | undefined {
  if (!isFolder(path)) return undefined;
  restoreInterrupted(path);
  const { names, bytes } = modelFilesIn(path);
  if (!looksLikeModel(names)) return undefined;
  const isPackaged = dirname(path) === join(PACKAGE_ROOT, "models") && DEMOS.includes(basename(path));
  const target = lstatSync(path).isSymbolicLink() ? realpathSync(path) : undefined;
  return { name: basename(path), path, files: names, bytes, isPackaged, target };
}

/** Every model in the folders searched, in search order; unfinished downloads too. */
export function listStored(option?: string): StoredModel[] {
  const folders = new Set(modelsDirs(option));
  return [...folders].filter(isFolder).flatMap((folder) =>
    readdirSync(folder)
      .sort()
      .map((name) => describeModel(join(folder, name)))
      .filter((model) => model !== undefined),
  );
}
