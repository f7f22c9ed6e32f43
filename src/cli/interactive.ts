import { createInterface, type Interface } from "node:readline";
import type { Command } from "commander";
import { EXIT } from "../errors.js";
import type { Model } from "../load.js";
import { checkStdin } from "./input.js";
import { whileInterruptible } from "./interrupt.js";
import { addGeneratingOptions, type GeneratingOptions } from "./options.js";
import { note, Output } from "./output.js";
import { loadNamedModel, run, SAMPLE_HEADER } from "./run.js";
import { chooseSeed } from "./unconditional.js";

const PROMPT = "Model prompt >>> ";

/** Answers one prompt; Ctrl-C ends its samples. Returns whether it was interrupted. */
type Answer = (prompt: string, signal: AbortSignal) => Promise<void>;

/** On a terminal: asks, answers, asks again. Ctrl-C stops a sample; at the prompt it, or Ctrl-D, leaves. */
async function talk(answer: Answer, closed: AbortSignal): Promise<number> {
  const lines = createInterface({ input: process.stdin, output: process.stderr, prompt: PROMPT });
  const waiting: string[] = [];
  let current: AbortController | undefined;
  let isClosed = false;
  let wake = (): void => {};
  lines.on("line", (line) => {
    waiting.push(line);
    wake();
  });
  lines.on("close", () => {
    isClosed = true;
    wake();
  });
  closed.addEventListener("abort", () => lines.close());
  // In raw mode readline sees the key itself; a SIGINT sent by another process arrives as a signal.
  const interrupt = (): void => (current ? current.abort() : lines.close());
  lines.on("SIGINT", interrupt);
  process.on("SIGINT", interrupt);
  try {
    for (;;) {
      if (waiting.length === 0 && !isClosed) lines.prompt();
      while (waiting.length === 0 && !isClosed) await new Promise<void>((resolve) => (wake = resolve));
      const prompt = waiting.shift();
      if (prompt === undefined) break;
      current = new AbortController();
      await answer(prompt, current.signal);
      current = undefined;
    }
  } finally {
    process.off("SIGINT", interrupt);
    lines.close();
  }
  if (!closed.aborted) note("");
  return EXIT.done;
}

/** From a pipe or a file: one prompt a line, until the end of the input or Ctrl-C. */
async function readPrompts(answer: Answer, closed: AbortSignal): Promise<number> {
  const controller = new AbortController();
  const lines: Interface = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  closed.addEventListener("abort", () => controller.abort());
  controller.signal.addEventListener("abort", () => lines.close());
  await whileInterruptible(
    () => controller.abort(),
    async () => {
      let isFirst = true;
      for await (const line of lines) {
        // The byte order mark that Windows puts before a piped text is not part of the first prompt.
        await answer(isFirst ? line.replace(/^\uFEFF/, "") : line, controller.signal);
        isFirst = false;
        if (controller.signal.aborted) break;
      }
    },
  );
  process.stdin.destroy(); // an open pipe would keep the process alive
  return controller.signal.aborted && !closed.aborted ? EXIT.interrupted : EXIT.done;
}

/** Every prompt starts again from the same seed: the same prompt gives the same text. */
function answerWith(options: GeneratingOptions, model: Model, output: Output, seed: number): Answer {
  return async (prompt, signal) => {
    if (prompt === "") {
      note("Prompt should not be empty!");
      return;
    }
    await run(options, { model, output, layout: SAMPLE_HEADER, seed, prompt, signal });
    await output.endLine();
    if (options.format === "text") await output.write(`${"=".repeat(80)}\n`);
  };
}

/** `gpt2 interactive`: prompt, continuation, and again, as OpenAI's interactive_conditional_samples.py. */
export function addInteractive(program: Command, finish: (code: number) => void): void {
  const command = program
    .command("interactive")
    .summary("prompt, continuation, and again")
    .description(
      "Asks for a prompt and continues it, again and again. From a pipe it reads one prompt a line.",
    )
    .addHelpText("before", "Example: gpt2 interactive --top_k 40\n");
  addGeneratingOptions(command, { default: 1, min: 1 }).action(async (options: GeneratingOptions) => {
    checkStdin();
    const output = new Output();
    const model = await loadNamedModel(options);
    try {
      const answer = answerWith(options, model, output, chooseSeed(options));
      finish(await (process.stdin.isTTY ? talk : readPrompts)(answer, output.closed));
    } finally {
      await model.engine.dispose();
    }
    await output.finish();
  });
}
