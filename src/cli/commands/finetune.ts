import type { Command } from "commander";
import { addFinetuneOptions, type FinetuneOptions } from "../options/finetune.js";

/** `gpt2 finetune`: trains a model on the user's own text, like gpt_2_simple finetune. */
export function addFinetune(program: Command, finish: (code: number) => void): void {
  const command = program
    .command("finetune")
    .description(
      "Trains a model on text files, folders, globs, or .csv and .jsonl files (a text per row), and saves it in checkpoint/<run_name>, a model folder. Ctrl-C saves and stops; run the same command again to continue. Options you leave out keep the run's values.",
    )
    .argument("<dataset...>", "text files, folders, globs; .csv, .tsv, .json or .jsonl files")
    .addHelpText("before", "Example: gpt2 finetune mytext.txt --model_name stories --steps 200\n");
  addFinetuneOptions(command);
  command.action(async (dataset: string[], options: FinetuneOptions) => {
    const { runTraining } = await import("../training/run-training.js"); // a Tab asks for the options alone
    finish(await runTraining(command, dataset, options));
  });
}
