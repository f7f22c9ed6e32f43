import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { option, UsageError, UserError } from "../system/errors.js";
import { expandPath, isPath } from "../system/paths.js";
import { canonicalName, catalogEntry, listModels } from "./catalog.js";
import { foreignModel } from "./foreign.js";
import {
  type HubName,
  hubNameNotPath,
  isRecordOf,
  parseHubName,
  readHubRecord,
  showHubName,
} from "./hub-name.js";
import {
  DEMO,
  DEMOS,
  describeModel,
  isFolder,
  isModelFolder,
  listStored,
  modelsDirs,
  type StoredModel,
} from "./store.js";

/** The names that a model may have here: OpenAI's later name means the same model. */
function namesOf(name: string): string[] {
  const { name: first = name, alias } = catalogEntry(name) ?? {};
  return [name, ...[first, alias].filter((each) => each !== undefined && each !== name)] as string[];
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
