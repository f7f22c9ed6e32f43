import type { Command } from "commander";
import { addFileOptions, countSamples, type FileOptions, openSink } from "../options/files.js";
import { addNumberingOptions, type NumberingOptions } from "../options/numbering.js";
import { addGeneratingOptions, type GeneratingOptions } from "../options/sampling.js";
import { onePrompt } from "../samples/prompts.js";
import { SAMPLE_HEADER } from "../samples/sink.js";

/** `gpt2 unconditional`: samples from nothing, like OpenAI's generate_unconditional_samples.py. */
export function addUnconditional(program: Command, finish: (code: number) => void): void {
  const command = program
    .command("unconditional")
    .description(
      "Writes samples from nothing, one after another, until stopped or --nsamples are written. With --out, or --nfiles and --folder, samples go to files.",
    )
    .addHelpText("before", "Example: gpt2 unconditional --temperature 0.7 --nsamples 3\n");
  addFileOptions(command);
  addNumberingOptions(addGeneratingOptions(command, { default: 0, min: 0 })).action(
    async (options: GeneratingOptions & NumberingOptions & FileOptions) => {
      const nsamples = countSamples(options);
      const files = await openSink(command, options, onePrompt(""));
      const { runOnce } = await import("../samples/run-once.js"); // a Tab asks for the options alone
      finish(await runOnce({ ...options, nsamples }, "", SAMPLE_HEADER, files));
    },
  );
}
