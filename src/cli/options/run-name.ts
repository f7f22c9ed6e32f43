import { existsSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { isModelFolder } from "../../models/store.js";
import { UsageError, UserError } from "../../system/errors.js";
import { expandPath } from "../../system/paths.js";

export const CHECKPOINT_DIR = "checkpoint";
export const RUN_NAME = "run1";

/** A run's folder. @throws UsageError when its name would lead elsewhere */
export function runFolder(checkpoint_dir: string, run_name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  if (/^\.*$|[\0-\x1f/\\:]/.test(run_name)) {
    throw new UsageError(`--run_name must be the name of a folder, not ${JSON.stringify(run_name)}`);
  }
  return join(expandPath(checkpoint_dir), run_name);
}

/** Names of the runs in a folder that can be loaded. */
function runsIn(checkpoint_dir: string): string[] {
  if (!existsSync(checkpoint_dir)) return [];
  return readdirSync(checkpoint_dir)
    .sort()
    .filter((name) => isModelFolder(join(checkpoint_dir, name)));
}

/** Adds --run_name and --checkpoint_dir: instead of --model_name, for a model trained here. */
export function addRunModel(command: Command): void {
  command
    .option(
      "--run_name <name>",
      `use the model that gpt2 finetune trained under this name (${RUN_NAME} is its default)`,
    )
    .option("--checkpoint_dir <dir>", `where runs are kept (default: ${CHECKPOINT_DIR})`)
    .hook("preAction", () => {
      const { run_name, checkpoint_dir } = command.opts<{ run_name?: string; checkpoint_dir?: string }>();
      const isFolderTyped = command.getOptionValueSource("checkpoint_dir") === "cli";
      if (run_name === undefined && !isFolderTyped) return; // as a default, the folder alone asks for no run
      if (command.getOptionValueSource("model_name") === "cli") {
        throw new UsageError("give --model_name or --run_name, not both");
      }
      const folder = runFolder(checkpoint_dir ?? CHECKPOINT_DIR, run_name ?? RUN_NAME);
      if (!isModelFolder(folder)) {
        const names = runsIn(dirname(folder));
        const there = names.length > 0 ? `there are ${names.join(", ")}` : "gpt2 finetune trains one";
        throw new UserError(
          `there is no run ${run_name ?? RUN_NAME} in ${checkpoint_dir ?? CHECKPOINT_DIR}`,
          { next: there },
        );
      }
      command.setOptionValue("model_name", resolve(folder)); // a path, whatever the name
    });
}
