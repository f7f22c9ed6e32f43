import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { runFolder } from "../../finetune/run/folder.js";
import { isModelFolder } from "../../models/store.js";
import { UsageError, UserError } from "../../system/errors.js";

export const CHECKPOINT_DIR = "checkpoint";
export const RUN_NAME = "run1";

/** Names of the runs in a folder that can be loaded. */
function runsIn(checkpoint_dir: string): string[] {
  if (!existsSync(checkpoint_dir)) return [];
  return readdirSync(checkpoint_dir)
    .sort()
    .filter((name) => isModelFolder(join(checkpoint_dir, name)));
}

/** Adds --run_name and --checkpoint_dir: another way to say --model_name, for a model that was trained here. */
export function addRunModel(command: Command): void {
  command
    .option(
      "--run_name <name>",
      `use the model that gpt2 finetune trained under this name (${RUN_NAME} is its default)`,
    )
    .option("--checkpoint_dir <dir>", `where runs are kept (default: ${CHECKPOINT_DIR})`)
    .hook("preAction", () => {
      const { run_name, checkpoint_dir } = command.opts<{ run_name?: string; checkpoint_dir?: string }>();
      if (run_name === undefined && checkpoint_dir === undefined) return;
      if (command.getOptionValueSource("model_name") === "cli") {
        throw new UsageError("give --model_name or --run_name, not both");
      }
      const folder = runFolder(checkpoint_dir ?? CHECKPOINT_DIR, run_name ?? RUN_NAME);
      if (!isModelFolder(folder)) {
        const names = runsIn(dirname(folder));
        const there = names.length > 0 ? `there are ${names.join(", ")}` : "gpt2 finetune trains one";
        throw new UserError(
          `there is no run ${run_name ?? RUN_NAME} in ${checkpoint_dir ?? CHECKPOINT_DIR}: ${there}`,
        );
      }
      command.setOptionValue("model_name", folder);
    });
}
