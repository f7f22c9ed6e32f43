import { join, resolve } from "node:path";
import type { Command } from "commander";
import { convert } from "../../models/convert.js";
import { findModelFolder } from "../../models/find.js";
import { UsageError } from "../../system/errors.js";
import { elsewhereIfReadOnly } from "../../system/files.js";
import { expandPath, isPath } from "../../system/paths.js";
import { addModelsDir } from "../options/engine.js";
import { oneOf } from "../options/parse.js";
import { showBytes, withBar } from "../terminal/progress.js";

export const DTYPES = ["float32", "float16"] as const;
export type Dtype = (typeof DTYPES)[number];

/** Converts with a progress bar; Ctrl-C leaves everything as it was and ends with exit code 130. */
async function convertWithBar(
  folder: string,
  options: { dtype: Dtype; out?: string; overwrite?: boolean },
): Promise<void> {
  await withBar(
    { name: "conversion", title: "converting" },
    (progress) =>
      elsewhereIfReadOnly("write the weights elsewhere with gpt2 convert --out FOLDER", () =>
        convert(folder, { ...options, ...progress }),
      ),
    ({ parameters, tensors, bytes }) =>
      `${join(options.out ?? folder, "model.json")}: ${tensors} tensors, ${parameters} parameters, ${showBytes(bytes)} in ${options.dtype}`,
  );
}

/** `gpt2 convert`: a TensorFlow checkpoint becomes tfjs weights. */
export function addConvert(program: Command): void {
  const command = program
    .command("convert")
    .description(
      "Converts a model's TensorFlow checkpoint into tfjs weights (model.json and files of 4 MB), verifying every checksum. `gpt2 download` already does this for the models it fetches.",
    )
    .argument("<model>", "a model's name, or the path of a folder with a checkpoint")
    .option("--dtype <type>", "float32, or float16: half the size", oneOf("--dtype", DTYPES), "float32")
    .option("--out <folder>", "write there instead of next to the checkpoint")
    .option("--overwrite", "replace a model already in that folder")
    .addHelpText("before", "Example: gpt2 convert 117M\n");
  addModelsDir(command).action(
    async (
      name: string,
      options: { dtype: Dtype; out?: string; overwrite?: boolean; models_dir?: string },
    ) => {
      const folder = isPath(name) ? resolve(expandPath(name)) : findModelFolder(name, options.models_dir);
      if (!folder)
        throw new UsageError(`there is no model ${JSON.stringify(name)} here`, {
          next: "give the path of its folder",
        });
      const out = options.out === undefined ? undefined : expandPath(options.out);
      await convertWithBar(folder, { dtype: options.dtype, out, overwrite: options.overwrite });
    },
  );
}
