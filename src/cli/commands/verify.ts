import { basename } from "node:path";
import type { Command } from "commander";
import type { EngineOptions } from "../../engines/create.js";
import { catalogEntry } from "../../models/catalog.js";
import { findStored, missingModel } from "../../models/find.js";
import { describeModel } from "../../models/store.js";
import { EXIT, UserError } from "../../system/errors.js";
import type { Check } from "../../verify/check.js";
import { addBackend, addGpu, addModelsDir, addThreads } from "../options/engine.js";
import { formatOption } from "../options/parse.js";
import { ENDING, whileInterruptible } from "../terminal/interrupt.js";
import { Output } from "../terminal/output.js";
import { type Bar, startBar } from "../terminal/progress.js";
import { shellQuote } from "../terminal/shell-quote.js";

interface VerifyCommandOptions extends Pick<EngineOptions, "backend" | "threads" | "gpu"> {
  readonly models_dir?: string;
  readonly format: "text" | "jsonl";
}

const LABELS: Readonly<Record<Check["result"], string>> = {
  ok: "ok",
  failed: "FAILED",
  "left out": "left out",
};
/** The length of the longest file name, model.ckpt.data-00000-of-00001. */
const NAME_WIDTH = 30;

function show({ check, result, detail }: Check): string {
  return `${LABELS[result].padEnd(8)}  ${check.padEnd(NAME_WIDTH)}  ${detail}\n`;
}

/** One bar at a time for longer pieces of work, on a terminal; it is cleared before anything else is printed. */
class Bars {
  private bar: Bar | undefined;
  private title = "";
  private isOver = false;

  update(title: string, done: number, total: number): void {
    if (this.isOver) return; // reads already under way when Ctrl-C came report late
    if (title !== this.title) {
      this.clear();
      this.bar = startBar(title, total);
      this.title = title;
    }
    this.bar?.update(done);
  }

  clear(): void {
    this.bar?.clear();
    this.bar = undefined;
    this.title = "";
  }

  close(): void {
    this.clear();
    this.isOver = true;
  }
}

/** What to do about a model folder's failed checks: the end of a message. */
function nextStep(folder: string, checks: readonly Check[]): string {
  const failed = new Set(checks.filter(({ result }) => result === "failed").map(({ part }) => part));
  const isOnly = (...parts: Check["part"][]): boolean => [...failed].every((part) => parts.includes(part));
  if (isOnly("reference")) {
    return "the files are right but the results are not: try another --backend";
  }
  if (describeModel(folder)?.isPackaged) return "the model comes with gpt2: install gpt2 again";
  const hasCheckpoint = checks.some(({ part, result }) => part === "checkpoint" && result === "ok");
  if (failed.has("weights") && isOnly("weights", "recognition") && hasCheckpoint) {
    return `the checkpoint is right: gpt2 convert ${shellQuote(folder)} rebuilds the weights`;
  }
  const expected = catalogEntry(basename(folder));
  const remove = `gpt2 models rm ${shellQuote(folder)}`;
  if (!expected) {
    return `fix what the failed checks name, or remove the model with ${remove} and import, convert or train it again`;
  }
  const download = `gpt2 download ${expected.name}`;
  // Without a known sha256, a download accepts any file of the right size.
  const isSeen = expected.files["model.ckpt.data-00000-of-00001"]?.sha256 !== undefined;
  if (isSeen || !failed.has("checkpoint")) return `${download} fetches what is missing or damaged`;
  return `remove it with ${remove} and fetch it again with ${download}`;
}

async function verify(folder: string, options: VerifyCommandOptions, signal: AbortSignal): Promise<void> {
  const output = new Output();
  const bars = new Bars();
  const checks: Check[] = [];
  const onProgress = bars.update.bind(bars);
  const { verifyModel } = await import("../../verify/verify.js"); // a Tab asks for the options alone
  try {
    for await (const check of verifyModel(folder, { ...options, signal, onProgress })) {
      bars.clear();
      checks.push(check);
      await output.write(options.format === "jsonl" ? `${JSON.stringify(check)}\n` : show(check));
      if (output.closed.aborted) return output.finish(); // nobody reads any more
    }
  } finally {
    bars.close();
  }
  const count = (result: Check["result"]): number => checks.filter((check) => check.result === result).length;
  const failed = count("failed");
  const name = basename(folder);
  if (failed === 0 && options.format === "text") {
    const left = count("left out") === 0 ? "" : `, ${count("left out")} left out`;
    await output.write(`${name} is what it should be: ${count("ok")} checks ok${left}\n`);
  }
  await output.finish();
  if (failed > 0) {
    throw new UserError(`${name} is not what it should be: ${failed} of ${checks.length} checks failed`, {
      next: nextStep(folder, checks),
    });
  }
}

/** `gpt2 verify`: checks that a model on this machine is what it should be. */
export function addVerify(program: Command): void {
  const command = program
    .command("verify")
    .description(
      "Checks a model's files, checksums, numbers and vocabulary; for OpenAI's 117M and the demo models, also what they compute. Changes nothing; the exit code is 0 when no check failed, else 1.",
    )
    .argument("[name]", "a model's name, or the path of its folder", "117M")
    .addOption(formatOption("text, or jsonl: one JSON object per check"))
    .addHelpText("before", "Example: gpt2 verify 117M\n");
  addModelsDir(command);
  addBackend(command);
  addThreads(command);
  addGpu(command);
  command.action(async (name: string, options: VerifyCommandOptions) => {
    const model = findStored(name, options.models_dir);
    if (!model) throw missingModel(name, options.models_dir);
    const stopped = new UserError("verification stopped; nothing was changed", {
      exitCode: EXIT.interrupted,
    });
    const controller = new AbortController();
    await whileInterruptible(
      () => controller.abort(stopped),
      () => verify(model.path, options, controller.signal),
      ENDING,
    );
  });
}
