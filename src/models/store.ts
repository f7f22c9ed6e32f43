import { existsSync, lstatSync, readdirSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import envPaths from "env-paths";
import { restoreInterrupted } from "../formats/file-set.js";
import { option, UsageError, UserError } from "../system/errors.js";
import { PACKAGE_ROOT } from "../system/package.js";
import { canonicalName, catalogEntry, listModels } from "./catalog.js";
import { HPARAMS, looksLikeModel, modelFilesIn } from "./files.js";
import { foreignModel } from "./foreign.js";
import {
  type HubName,
  hubNameNotPath,
  isRecordOf,
  parseHubName,
  readHubRecord,
  showHubName,
} from "./hub-name.js";

/** The model to try first, and all that come with the program. */
const DEMO = "stories";
export const DEMOS: readonly string[] = [DEMO, "shakespeare"];

/** The names that a model may have here: OpenAI's later name means the same model. */
function namesOf(name: string): string[] {
  const { name: first = name, alias } = catalogEntry(name) ?? {};
  return [name, ...[first, alias].filter((each) => each !== undefined && each !== name)] as string[];
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

/** Expands a leading `~` and `$VAR`, `${VAR}` (also `%VAR%` on Windows), as the original's models_dir does. */
export function expandPath(path: string): string {
  const value = (name: string, whole: string): string => process.env[name] ?? whole;
  let expanded = path.replace(/^~(?=$|[/\\])/, () => homedir());
  expanded = expanded.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced, bare) =>
    value(braced ?? bare, whole),
  );
  if (process.platform === "win32")
    expanded = expanded.replace(/%(\w+)%/g, (whole, name) => value(name, whole));
  return expanded;
}

/**
 * The folders that hold models, in search order. Downloads go to the first.
 * @param option the chosen folder: when it or $GPT2_MODELS_DIR is set, only that folder counts, besides the demo models
 *   that come with the package
 */
export function modelsDirs(option?: string): string[] {
  const given = option ?? process.env["GPT2_MODELS_DIR"];
  const packaged = join(PACKAGE_ROOT, "models");
  if (given) return [resolve(expandPath(given)), packaged];
  const cache = join(envPaths("gpt2", { suffix: "" }).cache, "models");
  return [...(isFolder("models") ? [resolve("models")] : []), cache, packaged];
}

/** Whether a folder can be loaded: whether it has sizes and weights. */
export function isModelFolder(path: string): boolean {
  restoreInterrupted(path);
  const has = (file: string): boolean => existsSync(join(path, file));
  return has(HPARAMS) && (has("model.json") || has("model.ckpt.index") || has("checkpoint"));
}

/** Whether a name is a path: whether it has a separator, or begins with `.` or `~`. */
export function isPath(name: string): boolean {
  return /[/\\]/.test(name) || /^(\.|~)/.test(name) || isAbsolute(name);
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

/**
 * Finds a model by its name (either of OpenAI's two names for one) or by a path.
 * @returns its folder, or undefined
 */
export function findModelFolder(name: string, option?: string): string | undefined {
  if (isPath(name)) {
    const path = resolve(expandPath(name));
    return isModelFolder(path) ? path : hubModelFolder(name, option);
  }
  const names = namesOf(name);
  const places = modelsDirs(option).flatMap((folder) => names.map((each) => join(folder, each)));
  return [...places, resolve(name)].find(isModelFolder) ?? hubModelFolder(name, option);
}

/** The folder with the Hugging Face hub's model of this name; undefined if there is none. */
function hubModelFolder(name: string, models_dir: string | undefined): string | undefined {
  const hub = parseHubName(name);
  return hub && placesOf(hub, models_dir).find(isModelFolder);
}

/** Folders whose record names this model, complete or not. */
function placesOf(hub: HubName, models_dir: string | undefined): string[] {
  return [...new Set(modelsDirs(models_dir))]
    .filter(isFolder)
    .flatMap((dir) => readdirSync(dir).map((entry) => join(dir, entry)))
    .filter((folder) => isRecordOf(readHubRecord(folder), hub));
}

/**
 * Finds a model that may be incomplete: by its name (either of OpenAI's two names for one) or by a path.
 * @returns undefined if nothing of it exists
 */
export function findStored(name: string, option?: string): StoredModel | undefined {
  const path = isPath(name) ? resolve(expandPath(name)) : undefined;
  const hub = parseHubName(name);
  const folder =
    path !== undefined && (isFolder(path) || !hub)
      ? path
      : (findModelFolder(name, option) ?? (hub && placesOf(hub, option).at(0)));
  if (folder) return describeModel(folder);
  const stored = listStored(option);
  return namesOf(name)
    .map((each) => stored.find((model) => model.name === each))
    .find((model) => model !== undefined);
}

/** The error for a model that findModelFolder() did not find: what is wrong with its name, or how to get it. */
export function missingModel(name: string, models_dir?: string): UserError {
  if (isPath(name)) {
    const foreign = foreignModel(resolve(expandPath(name)));
    if (foreign !== undefined) return new UserError(`${name} ${foreign}`);
    const hub = hubNameNotPath(name);
    if (hub) {
      return new UserError(`${name} is not a folder here`, {
        next: `if it is a model of the Hugging Face hub, \`gpt2 download ${showHubName(hub)}\` fetches it`,
      });
    }
    return new UserError(`${name} is not a model folder`, {
      next: "it needs hparams.json, and model.json or model.ckpt.index",
    });
  }
  if (canonicalName(name) === undefined && !parseHubName(name)) {
    const [where] = modelsDirs(models_dir);
    return new UsageError(`unknown model ${JSON.stringify(name)}`, {
      next: `it is not in ${where}; ${listModels()} and USER/NAME of the Hugging Face hub can be downloaded, ${DEMOS.join(" and ")} come with the program`,
    });
  }
  return new UserError(`the model ${name} is not on this machine`, {
    next: `fetch it with \`gpt2 download ${name}\`, or try the demo model: ${option("model_name", DEMO)}`,
  });
}
