import { canonicalName } from "../../models/catalog.js";
import { findModelFolder, missingModel } from "../../models/find.js";
import type { LoadedModel } from "../../models/folder.js";
import { hubNameNotPath } from "../../models/hub-name.js";
import { isPath } from "../../system/paths.js";
import type { GeneratingOptions } from "../options/sampling.js";
import { tell } from "../terminal/output.js";

/** Loads the model a command names. If it is missing but can be downloaded, asks first, where someone can answer. */
export async function loadNamedModel(options: GeneratingOptions, signal?: AbortSignal): Promise<LoadedModel> {
  const folder = await modelFolder(options.model_name, options.models_dir);
  const { loadFolder } = await import("../../models/folder.js"); // tokenize needs no engine
  return loadFolder(folder, { ...options, signal, onNotice: (line) => tell(`warning: ${line}`) });
}

/** The folder of the model with this name or path, downloaded if the user agrees. */
export async function modelFolder(name: string, models_dir: string | undefined): Promise<string> {
  return findModelFolder(name, models_dir) ?? (await offered(name, models_dir));
}

async function offered(name: string, models_dir: string | undefined): Promise<string> {
  const isKnown = !isPath(name) && canonicalName(name) !== undefined;
  const canDownload = isKnown || hubNameNotPath(name) !== undefined;
  const { offerDownload } = await import("../commands/download.js");
  const folder = canDownload ? await offerDownload(name, models_dir) : undefined;
  if (folder) return folder;
  throw missingModel(name, models_dir);
}
