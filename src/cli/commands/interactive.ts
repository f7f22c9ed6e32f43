import { createInterface, type Interface } from "node:readline";
import { Readable } from "node:stream";
import type { Command } from "commander";
import type { LoadedModel } from "../../models/folder.js";
import { Turns } from "../../sampling/turns.js";
import { countOf, EXIT, UsageError } from "../../system/errors.js";
import { answer, Session } from "../interactive/session.js";
import { SessionFile, textOf } from "../interactive/session-file.js";
import { Settings } from "../interactive/settings.js";
import { talk } from "../interactive/talk.js";
import { addGeneratingOptions, checkBias, type GeneratingOptions } from "../options/sampling.js";
import { loadNamedModel } from "../samples/find-model.js";
import { chooseSeed } from "../samples/run-once.js";
import { checkStdin, stdinText } from "../terminal/input.js";
import { whileInterruptible } from "../terminal/interrupt.js";
import { note, Output } from "../terminal/output.js";

/** From a pipe or a file: one prompt per line, until the end of the input or Ctrl-C. */
async function readPrompts(
  options: GeneratingOptions,
  model: LoadedModel,
  output: Output,
  seed: number,
  turns: Turns | undefined,
): Promise<number> {
  const controller = new AbortController();
  const { signal } = controller;
  const lines: Interface = createInterface({
    input: Readable.from(stdinText()),
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  output.closed.addEventListener("abort", () => controller.abort());
  signal.addEventListener("abort", () => lines.close());
  await whileInterruptible(
    () => controller.abort(),
    async () => {
      for await (const prompt of lines) {
        await answer(options, { model, output, seed, prompt, turns, signal });
        if (signal.aborted) break;
      }
    },
  );
  process.stdin.destroy(); // an open pipe would keep the process alive
  return signal.aborted && !output.closed.aborted ? EXIT.interrupted : EXIT.done;
}

/** Where a session is kept, and how far it has got. */
function welcome({ path, state: { steps } }: SessionFile): string {
  if (steps.length === 0) return `a new session, kept in ${path}`;
  const text = textOf(steps[steps.length - 1]).replace(/\s+/g, " ");
  return `${path}: ${countOf(steps.length, "step")}; the last text ends: ${[...text].slice(-60).join("")}`;
}

/** `gpt2 interactive`: prompt, continuation, repeat, like OpenAI's interactive_conditional_samples.py. */
export function addInteractive(program: Command, finish: (code: number) => void): void {
  const command = program
    .command("interactive")
    .description(
      'Asks for a prompt and continues it, again and again. On a terminal, /help lists what else you can type: commands, and prompts of several lines between lines of """. From a pipe or a file, every line is a prompt, whatever it begins with.',
    )
    .option(
      "--turns",
      "prompts and answers are the turns of one conversation, as chat models (DialoGPT) were trained on",
    )
    .option(
      "--session <name>",
      "keep the session under this name, or in this file, and continue it next time (at a terminal)",
    )
    .option("--no_history", "do not read or write the history file; the same as setting $GPT2_NO_HISTORY")
    .addHelpText("before", "Example: gpt2 interactive --top_k 40\n");
  addGeneratingOptions(command, { default: 1, min: 1 }).action(
    async (options: GeneratingOptions & { no_history?: boolean; turns?: boolean; session?: string }) => {
      checkStdin();
      if (options.session !== undefined && !process.stdin.isTTY)
        throw new UsageError("--session needs a terminal", {
          next: "prompts from a pipe or a file are independent",
        });
      const output = new Output();
      const file = options.session === undefined ? undefined : await SessionFile.open(options.session);
      const model = await loadNamedModel(options).catch(async (error) => {
        await file?.close();
        throw error;
      });
      try {
        checkBias(options.logit_bias, model.hparams.n_vocab);
        const turns = options.turns ? new Turns(model) : undefined;
        const seed = chooseSeed(options);
        if (process.stdin.isTTY) {
          const settings = new Settings(command, model.hparams, { ...options, seed });
          const session = new Session(settings, model, output, turns, file);
          if (file) note(welcome(file));
          finish(await talk(session, !options.no_history, output.closed));
        } else {
          finish(await readPrompts(options, model, output, seed, turns));
        }
      } finally {
        await file?.close();
        await model.engine.dispose();
      }
      await output.finish();
    },
  );
}
