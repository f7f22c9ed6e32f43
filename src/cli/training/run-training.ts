import { isAbsolute, relative } from "node:path";
import type { Command } from "commander";
import { openAiVocabulary } from "../../encoder/encoder.js";
import { trainVocabulary } from "../../encoder/train.js";
import { documentTexts } from "../../finetune/dataset/documents.js";
import { type Finished, finetune } from "../../finetune/finetune.js";
import { type BaseModel, folderBase, scratchBase } from "../../finetune/run/base.js";
import { CURVE_FILE } from "../../finetune/run/chart.js";
import type { FinetuneRequest } from "../../finetune/run/options.js";
import type { Hparams } from "../../model/hparams.js";
import { canonicalName } from "../../models/catalog.js";
import { findModelFolder } from "../../models/find.js";
import { readVocabulary, type VocabularyFiles } from "../../models/folder.js";
import { EXIT, UsageError, UserError } from "../../system/errors.js";
import { type FinetuneOptions, loopOptions, SCRATCH_SIZES, trainingOptions } from "../options/finetune.js";
import { runFolder } from "../options/run-name.js";
import { modelFolder } from "../samples/find-model.js";
import { ENDING, whileInterruptible } from "../terminal/interrupt.js";
import { note, Output } from "../terminal/output.js";
import { shellQuote } from "../terminal/shell-quote.js";
import { TrainingDisplay } from "../terminal/training-display.js";

/** One call of the command. */
interface Call {
  readonly command: Command;
  readonly dataset: readonly string[];
  readonly options: FinetuneOptions;
  readonly display: TrainingDisplay;
  readonly signal: AbortSignal;
}

const SIZES = ["n_layer", "n_head", "n_embd", "n_ctx"] as const;
const SAMPLES_DIR = "samples";

const isTyped = (command: Command, name: string): boolean => command.getOptionValueSource(name) === "cli";

/** The sizes given for a new model. */
function typedSizes({ command, options }: Call): Partial<Hparams> {
  const typed = SIZES.filter((name) => isTyped(command, name));
  const [alone] = options.n_vocab === undefined ? typed : [...typed, "n_vocab"];
  if (alone !== undefined && !options.from_scratch) {
    throw new UsageError(`--${alone} needs --from_scratch`, { next: "an existing model's sizes are fixed" });
  }
  return Object.fromEntries(typed.map((name) => [name, options[name]]));
}

/** A new vocabulary from the dataset. */
async function newVocabulary(
  { dataset, options, display, signal }: Call,
  n_vocab: number,
): Promise<VocabularyFiles> {
  display.say(`building a vocabulary of ${n_vocab} tokens`);
  const texts = documentTexts(dataset, { column: options.column, signal });
  const made = await trainVocabulary(texts, n_vocab, { signal }).catch((error) => {
    signal.throwIfAborted(); // its reason says it better
    throw error;
  });
  if (made.n_vocab < n_vocab) {
    display.onNotice(`the dataset is only enough for a vocabulary of ${made.n_vocab} tokens, not ${n_vocab}`);
  }
  return {
    vocabulary: new Map([
      ["encoder.json", Buffer.from(made.encoderJson)],
      ["vocab.bpe", Buffer.from(made.vocabBpe)],
    ]),
  };
}

/** The vocabulary of the model named; OpenAI's comes with the program. */
async function namedVocabulary({ model_name, models_dir }: FinetuneOptions): Promise<VocabularyFiles> {
  const folder = findModelFolder(model_name, models_dir);
  if (!folder && canonicalName(model_name)) return readVocabulary(openAiVocabulary());
  return readVocabulary(folder ?? (await modelFolder(model_name, models_dir)));
}

/** What a new run starts from: a model, which may be downloaded now, or a random start. */
async function findBase(call: Call): Promise<BaseModel> {
  const { command, options } = call;
  const { model_name, models_dir, n_vocab } = options;
  if (!options.from_scratch) return folderBase(await modelFolder(model_name, models_dir), model_name);
  const sizes = { ...SCRATCH_SIZES, ...typedSizes(call) };
  if (sizes.n_embd % sizes.n_head !== 0) {
    throw new UsageError(`--n_embd must be a multiple of --n_head`, {
      next: `${sizes.n_embd} is not a multiple of ${sizes.n_head}`,
    });
  }
  if (n_vocab === undefined) return scratchBase(sizes, await namedVocabulary(options));
  if (isTyped(command, "model_name")) {
    throw new UsageError("give --n_vocab or --model_name, not both", { next: "a model has one vocabulary" });
  }
  return scratchBase(sizes, await newVocabulary(call, n_vocab));
}

function requestOf(call: Call): FinetuneRequest {
  const { command, dataset, options, signal } = call;
  const { run_name, checkpoint_dir, restore_from, overwrite = false, backend, threads, gpu } = options;
  if (options.from_scratch && restore_from !== "latest" && restore_from !== "fresh") {
    throw new UsageError("give --from_scratch or --restore_from PATH, not both");
  }
  return {
    dataset,
    given: trainingOptions(options),
    loop: loopOptions(options),
    folder: runFolder(checkpoint_dir, run_name),
    restore_from,
    overwrite,
    backend,
    threads,
    gpu,
    samples_dir: SAMPLES_DIR,
    base: () => findBase(call),
    sizes: typedSizes(call),
    baseName: isTyped(command, "model_name") ? options.model_name : undefined,
    signal,
  };
}

/** Options that say where a run starts: when continuing it has started already. */
const BEGINNING: readonly string[] = [
  ...SIZES,
  "n_vocab",
  "from_scratch",
  "model_name",
  "restore_from",
  "overwrite",
];

/** The command line that continues a stopped run. */
function commandToContinue({ command, dataset }: Call, stepsLeft: number): string {
  const words = command.options.flatMap((option) => {
    const name = option.attributeName();
    if (name === "steps" || BEGINNING.includes(name) || !isTyped(command, name)) return [];
    const value: unknown = command.getOptionValue(name);
    if (typeof value !== "boolean") return [value].flat().flatMap((one) => [`--${name}`, String(one)]);
    return option.negate !== value ? [option.long ?? ""] : [];
  });
  const steps = Number.isFinite(stepsLeft) ? ["--steps", String(stepsLeft)] : [];
  return ["gpt2", "finetune", ...dataset, ...words, ...steps].map((word) => shellQuote(word)).join(" ");
}

/** A folder as one would type it: relative if it is below the current one. */
function shown(folder: string): string {
  const path = relative(process.cwd(), folder);
  return path === "" || isAbsolute(path) || path.startsWith("..") ? folder : path;
}

/** Says what was saved, and what to do with it. */
function tellEnd(
  call: Call,
  { folder }: FinetuneRequest,
  { step, isInterrupted, hasEndOfText }: Finished,
): void {
  const { command, options, display } = call;
  if (step === 0) {
    note("stopped before the first step: nothing was saved");
    return;
  }
  if (isInterrupted) {
    note(`stopped: step ${step} is saved in ${shown(folder)}`);
    const left = display.lastStep - step;
    if (left > 0) note(`continue with: ${commandToContinue(call, left)}`);
    return;
  }
  const { run_name, checkpoint_dir } = options;
  const where = isTyped(command, "checkpoint_dir") ? ` --checkpoint_dir ${shellQuote(checkpoint_dir)}` : "";
  note(`step ${step} is saved in ${shown(folder)}, the curve in ${CURVE_FILE} there`);
  const model = `--run_name ${shellQuote(run_name)}${where}`;
  const write = hasEndOfText // otherwise it needs a prompt to begin
    ? `gpt2 unconditional ${model} --nsamples 1`
    : `gpt2 generate ${model} "The first words"`;
  note(`write with it: ${write}`);
}

/** `gpt2 finetune`: trains, and reports the outcome. @returns the exit code */
export async function runTraining(
  command: Command,
  dataset: readonly string[],
  options: FinetuneOptions,
): Promise<number> {
  const output = new Output();
  const display = new TrainingDisplay(output);
  const controller = new AbortController();
  const stop = (): void =>
    controller.abort(
      new UserError("stopped before the first step: nothing was trained", { exitCode: EXIT.interrupted }),
    );
  output.closed.addEventListener("abort", stop);
  const call: Call = { command, dataset, options, display, signal: controller.signal };
  const request = requestOf(call);
  try {
    const finished = await whileInterruptible(
      () => {
        display.onStopping();
        stop();
      },
      () => finetune(request, display),
      ENDING,
    );
    display.draw(finished.losses);
    display.sum();
    tellEnd(call, request, finished);
    await output.finish();
    return finished.isInterrupted && !output.closed.aborted ? EXIT.interrupted : EXIT.done;
  } finally {
    display.clear();
  }
}
