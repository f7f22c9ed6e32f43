import { realpath, stat } from "node:fs/promises";
import { option, UsageError, UserError } from "../system/errors.js";
import { listFolder, refuseLinkedFolder } from "../system/files.js";
import { isLeftover } from "./files.js";
import { describeModel } from "./store.js";

/** How the folder to write to was named, and whether a model in it may be replaced. */
export interface TargetOptions {
  readonly overwrite: boolean;
  /** The option that names it, for messages. */
  readonly named: "name" | "out";
}

/**
 * Checks that a model may be written to a folder.
 * @param folder the source
 * @returns names of the files to be replaced; undefined if the folder is new
 * @throws UserError when the folder holds a model that may not be replaced, or something else
 */
export async function checkTarget(
  folder: string,
  target: string,
  { overwrite, named }: TargetOptions,
): Promise<Set<string> | undefined> {
  const next = `choose another ${option(named)}`;
  const found = await stat(target).catch(() => undefined);
  if (!found) return undefined;
  if (!found.isDirectory()) throw new UserError(`${target} is a file`, { next });
  if ((await realpath(target)) === (await realpath(folder).catch(() => ""))) {
    throw new UsageError(`${folder} is also the folder to write to`, { next });
  }
  const names = (await listFolder(target)).filter((name) => !isLeftover(name));
  if (names.length === 0) return new Set();
  const model = describeModel(target);
  if (!model) throw new UserError(`${target} is not a model folder`, { next });
  if (model.isPackaged) throw new UserError(`${target} came with the program`, { next });
  if (!overwrite) {
    throw new UserError(`${target} already exists`, {
      next: `${next}, or pass ${option("overwrite", true)}`,
    });
  }
  await refuseLinkedFolder(target);
  return new Set(model.files.filter((name) => !isLeftover(name)));
}
