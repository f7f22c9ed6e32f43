import { rmdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { checkParameters, countParameters } from "../../model/parameters.js";
import { STAGING } from "../../models/files.js";
import { findStored } from "../../models/find.js";
import { loadHparams, openModel } from "../../models/folder.js";
import { type HubRecord, readHubRecord } from "../../models/hub-name.js";
import { listStored, modelsDirs, type StoredModel } from "../../models/store.js";
import { UsageError, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { addModelsDir } from "../options/engine.js";
import { oneOf } from "../options/parse.js";
import { ask } from "../terminal/ask.js";
import { canAsk, note, Output } from "../terminal/output.js";
import { showBytes } from "../terminal/progress.js";

interface ModelsOptions {
  readonly models_dir?: string;
  readonly format: "text" | "jsonl" | "names";
  readonly yes?: boolean;
}

/** What `gpt2 models` tells of a model. */
interface Row {
  readonly name: string;
  readonly parameters: number | null;
  readonly precision: string | null;
  readonly bytes: number;
  readonly complete: boolean;
  readonly path: string;
  /** The model of the Hugging Face hub that it is, with the commit. */
  readonly hub: HubRecord | null;
}

/** Looks into a model's folder: sizes, names and shapes; the numbers themselves are not read. */
async function inspect({ name, path, bytes }: StoredModel): Promise<Row> {
  const begun = {
    name,
    parameters: null,
    precision: null,
    bytes,
    complete: false,
    path,
    hub: readHubRecord(path) ?? null,
  };
  try {
    const hparams = await loadHparams(path);
    const source = await openModel(path);
    try {
      checkParameters(hparams, source);
      const precision = [...new Set([...source.tensors.values()].map(({ dtype }) => dtype))].join(", ");
      return { ...begun, parameters: countParameters(hparams), precision, complete: true };
    } finally {
      await source.close();
    }
  } catch (error) {
    if (error instanceof UserError) return begun;
    throw error;
  }
}

/** The models' names alone, without a look into their files: at once, for completion and scripts. */
async function listNames(options: ModelsOptions): Promise<void> {
  const output = new Output();
  const names = new Set(listStored(options.models_dir).map(({ name }) => name));
  // A newline in a name would make two of it, other control characters would reach the terminal.
  for (const name of names) if (!/\p{Cc}/u.test(name)) await output.write(`${name}\n`);
  await output.finish();
}

async function list(options: ModelsOptions): Promise<void> {
  const rows: Row[] = [];
  for (const model of listStored(options.models_dir)) rows.push(await inspect(model));
  const output = new Output();
  if (options.format === "jsonl") {
    for (const row of rows) await output.write(`${JSON.stringify(row)}\n`);
  } else {
    const hasHub = rows.some(({ hub }) => hub !== null);
    const table = [
      ["name", "parameters", "precision", "disk", "complete", ...(hasHub ? ["hub"] : []), "where"],
      ...rows.map(({ name, parameters, precision, bytes, complete, path, hub }) => [
        name,
        parameters === null ? "?" : `${(parameters / 1e6).toFixed(1)} million`,
        precision ?? "?",
        showBytes(bytes),
        complete ? "yes" : "no",
        ...(hasHub ? [hub ? `${hub.repository}@${hub.commit.slice(0, 12)}` : ""] : []),
        path,
      ]),
    ];
    const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
    for (const row of table) {
      await output.write(
        `${row
          .map((cell, column) => cell.padEnd(widths[column]))
          .join("  ")
          .trimEnd()}\n`,
      );
    }
  }
  await output.finish();
}

/** The folder of a model that may be incomplete. */
function storedModel(name: string, models_dir: string | undefined): StoredModel {
  const model = findStored(name, models_dir);
  if (!model)
    throw new UserError(`there is no model ${JSON.stringify(name)} in ${modelsDirs(models_dir)[0]}`, {
      next: `\`gpt2 models\` lists them`,
    });
  return model;
}

/** What `gpt2 models rm` is about to do, for its question: every file by its name. */
function whatGoes({ path, files, bytes, target }: StoredModel): string {
  if (target !== undefined) return `Remove the link ${path}? The model itself, ${target}, is kept.`;
  return `Remove from ${path}: ${files.join(", ")} (${showBytes(bytes)})?`;
}

async function remove(name: string, options: ModelsOptions): Promise<void> {
  const model = storedModel(name, options.models_dir);
  const { path, files, bytes, isPackaged, target } = model;
  if (isPackaged) throw new UserError(`the demo model ${name} comes with gpt2 and cannot be removed`);
  if (!options.yes) {
    if (!canAsk())
      throw new UsageError(`gpt2 models rm asks first, and there is no terminal to ask on`, {
        next: "pass --yes",
      });
    if (!(await ask(whatGoes(model), "no"))) {
      note("nothing was removed");
      return;
    }
  }
  if (target !== undefined) {
    await removeFile(path);
    note(`removed the link ${path}; the model itself, ${target}, is kept`);
    return;
  }
  for (const file of files) await removeFile(join(path, file));
  await rmdir(join(path, STAGING)).catch(() => undefined); // not there, or not empty
  const isEmpty = await rmdir(path).then(
    () => true,
    () => false,
  );
  note(
    `removed ${files.length} files, ${showBytes(bytes)}${isEmpty ? "" : `; ${path} holds other files and is kept`}`,
  );
}

/** Removes a file, or a link and not what it points to. */
async function removeFile(path: string): Promise<void> {
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw fileError("remove", path, error);
  });
}

/** `gpt2 models`: what is on this machine. */
export function addModels(program: Command): void {
  const command = program
    .command("models")
    .description(
      "list (default) shows the models; path NAME prints a model's folder; rm NAME removes a model's files, and nothing else, after asking.",
    )
    .argument("[action]", "list, path or rm", oneOf("the action", ["list", "path", "rm"]), "list")
    .argument("[name]", "a model's name, or the path of its folder")
    .option("--yes", "rm: do not ask")
    .option(
      "--format <format>",
      "list: text, jsonl, or names only",
      oneOf("--format", ["text", "jsonl", "names"]),
      "text",
    )
    .addHelpText("before", "Example: gpt2 models\n");
  addModelsDir(command).action(async (action: string, name: string | undefined, options: ModelsOptions) => {
    if (action === "list") {
      if (name !== undefined)
        throw new UsageError(`gpt2 models list takes no name, not ${JSON.stringify(name)}`);
      return options.format === "names" ? listNames(options) : list(options);
    }
    if (name === undefined) throw new UsageError(`gpt2 models ${action} needs a model's name`);
    if (action === "rm") return remove(name, options);
    const output = new Output();
    await output.write(`${storedModel(name, options.models_dir).path}\n`);
    await output.finish();
  });
}
