import { existsSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import envPaths from "env-paths";
import { PACKAGE_ROOT } from "./package.js";

/** Names under which OpenAI has published the same model. */
const ALIASES: Readonly<Record<string, string>> = {
  "117M": "124M",
  "124M": "117M",
  "345M": "355M",
  "355M": "345M",
};

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
 * The folders that hold models, in the order in which they are searched. The first is where downloads go.
 * @param option the value of --models_dir: when it or $GPT2_MODELS_DIR is given, only that folder counts
 *   (the demo model that comes with the package is always found)
 */
export function modelsDirs(option?: string): string[] {
  const given = option ?? process.env["GPT2_MODELS_DIR"];
  const packaged = join(PACKAGE_ROOT, "models");
  if (given) return [resolve(expandPath(given)), packaged];
  const cache = join(envPaths("gpt2", { suffix: "" }).cache, "models");
  return [...(isFolder("models") ? [resolve("models")] : []), cache, packaged];
}

/** Whether a folder can be loaded: its sizes and one form of the weights are there. */
export function isModelFolder(path: string): boolean {
  const has = (file: string): boolean => existsSync(join(path, file));
  return has("hparams.json") && (has("model.json") || has("model.ckpt.index") || has("checkpoint"));
}

/** Whether a name is meant as a path: it has a separator, or begins with `.` or `~`. */
export function isPath(name: string): boolean {
  return /[/\\]/.test(name) || /^(\.|~)/.test(name) || isAbsolute(name);
}

/**
 * Finds a model by its name (either of OpenAI's two names for one) or by a path.
 * @returns its folder, or undefined
 */
export function findModel(name: string, option?: string): string | undefined {
  if (isPath(name)) {
    const path = resolve(expandPath(name));
    return isModelFolder(path) ? path : undefined;
  }
  const names = [name, ...(Object.hasOwn(ALIASES, name) ? [ALIASES[name]] : [])];
  const places = modelsDirs(option).flatMap((folder) => names.map((each) => join(folder, each)));
  return [...places, resolve(name)].find(isModelFolder);
}
