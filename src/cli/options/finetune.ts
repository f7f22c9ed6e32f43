import { type Command, Option } from "commander";
import type { Backend } from "../../engines/backends.js";
import {
  LOOP_DEFAULTS,
  type LoopOptions,
  TRAINING_DEFAULTS,
  type TrainingOptions,
} from "../../finetune/run/options.js";
import type { Hparams } from "../../model/hparams.js";
import { MAX_SEED } from "../../random.js";
import { MAX_COUNT } from "../../sampling/options.js";
import { UsageError } from "../../system/errors.js";
import { addBackend, addGpu, addModelsDir, addPreset, addThreads } from "./engine.js";
import { addValue, anyText, decimalNumber, oneOf, repeated, wholeNumber } from "./parse.js";
import { CHECKPOINT_DIR, RUN_NAME } from "./run-name.js";

/** The options as typed or by default; of the training's own options, those not typed are missing. */
export interface FinetuneOptions extends LoopOptions, Partial<Omit<TrainingOptions, "column">> {
  readonly model_name: string;
  readonly models_dir?: string;
  readonly run_name: string;
  readonly checkpoint_dir: string;
  readonly restore_from: string;
  readonly overwrite?: boolean;
  readonly column?: readonly string[];
  readonly from_scratch?: boolean;
  readonly n_layer?: number;
  readonly n_head?: number;
  readonly n_embd?: number;
  readonly n_ctx?: number;
  readonly n_vocab?: number;
  readonly threads?: number;
  readonly gpu?: string;
  readonly backend: Backend;
}

/** For a model made from scratch. */
export const SCRATCH_SIZES: Omit<Hparams, "n_vocab"> = { n_layer: 4, n_head: 4, n_embd: 128, n_ctx: 256 };

/** Reads "5%" or "0.05". */
function parsePart(text: string): number {
  const wanted = "a percentage such as 5%, or a fraction below 1; 0 = none";
  const isPercentage = text.trim().endsWith("%");
  const n = decimalNumber("--validation", wanted, (value) => value >= 0)(text.trim().replace(/%$/, ""));
  const part = isPercentage ? n / 100 : n;
  if (part < 1) return part;
  throw new UsageError(`--validation must be ${wanted}, not ${JSON.stringify(text)}`);
}

/** Reads a number of steps, or -1. */
function parseSteps(text: string): number {
  if (text.trim() === "-1") return -1;
  try {
    return wholeNumber("--steps", 1, MAX_COUNT)(text);
  } catch {
    throw new UsageError(
      `--steps must be a whole number from 1, or -1 to train until stopped, not ${JSON.stringify(text)}`,
    );
  }
}

/** Adds the options of `gpt2 finetune`, in gpt-2-simple's spelling. */
export function addFinetuneOptions(command: Command): void {
  const count = (name: string, text: string, min: number, value?: number): void =>
    addValue(command, `--${name} <n>`, text, wholeNumber(`--${name}`, min, MAX_COUNT), value);
  const { batch_size, learning_rate, accumulate_gradients, optimizer, validation } = TRAINING_DEFAULTS;

  command.option(
    "--model_name <name>",
    "the model to start from: its name, or the path of its folder",
    "117M",
  );
  addModelsDir(command);
  command
    .option("--run_name <name>", "name of the run: its folder in --checkpoint_dir", RUN_NAME)
    .option("--checkpoint_dir <dir>", "where runs are kept", CHECKPOINT_DIR)
    .option(
      "--restore_from <what>",
      "latest: continue the run from its last save; fresh: start from the model; PATH: start from that model folder or run",
      anyText(["latest", "fresh"]),
      "latest",
    )
    .option("--overwrite", "start an existing run over: its saves are removed once the new run is saved");
  addValue(
    command,
    "--steps <n>",
    "steps to train from here; -1 = until stopped",
    parseSteps,
    LOOP_DEFAULTS.steps,
  );

  count("batch_size", `rows per batch (default: ${batch_size})`, 1);
  count(
    "accumulate_gradients",
    `batches whose gradients are summed for each step (default: ${accumulate_gradients})`,
    1,
  );
  addValue(
    command,
    "--learning_rate <r>",
    `step size (default: ${learning_rate})`,
    decimalNumber("--learning_rate", "a number above 0", (n) => n > 0),
  );
  addValue(
    command,
    "--optimizer <name>",
    `adam or sgd (default: ${optimizer})`,
    oneOf("--optimizer", ["adam", "sgd"]),
  );
  count(
    "context_length",
    "tokens per row (default: the model's context, or the whole dataset if shorter)",
    1,
  );
  addValue(
    command,
    "--seed <n>",
    "seed of the data order and samples; same seed, same training (default: random, printed on stderr)",
    wholeNumber("--seed", 0, MAX_SEED),
  );
  command
    .option(
      "--column <name>",
      "where the text is: a column of a .csv or .tsv, by name or number (default: the first), or a field of a .json or .jsonl (default: text); repeat it for several, joined by newlines",
      repeated((name: string, before: readonly string[] = []) => [...before, name]),
    )
    .addOption(
      new Option(
        "--validation <part>",
        `hold this part of the dataset out and measure the loss on it; 0 = none (default: ${100 * validation}%)`,
      ).argParser(parsePart),
    );
  count("validate_every", "measure the validation loss every n steps", 1, LOOP_DEFAULTS.validate_every);

  count("save_every", "save every n steps", 1, LOOP_DEFAULTS.save_every);
  count("max_checkpoints", "saves to keep; 0 = all", 0, LOOP_DEFAULTS.max_checkpoints);
  count("print_every", "print the loss every n steps", 1, LOOP_DEFAULTS.print_every);
  count("sample_every", "write samples every n steps; 0 = never", 0, LOOP_DEFAULTS.sample_every);
  count("sample_length", "maximum tokens per sample (default: one less than the model's context)", 1);
  count("sample_num", "number of samples", 1, LOOP_DEFAULTS.sample_num);

  command.option(
    "--only_train_transformer_layers",
    "freeze the embeddings and the final layer norm: less memory",
  );
  count(
    "lora_rank",
    "train only low-rank matrices of this rank added to the layers' own (LoRA): least memory; 0 = off",
    0,
  );
  command.option(
    "--recompute",
    "recompute the layers' activations instead of keeping them: less memory, slower",
  );
  command.option("--no-recompute", "keep activations in memory (default)");

  command.option("--from_scratch", "start from a new, untrained model");
  const { n_layer, n_head, n_embd, n_ctx } = SCRATCH_SIZES;
  count("n_layer", `of a new model: layers (default: ${n_layer})`, 1);
  count("n_head", `of a new model: attention heads (default: ${n_head})`, 1);
  count("n_embd", `of a new model: width, a multiple of --n_head (default: ${n_embd})`, 1);
  count("n_ctx", `of a new model: context in tokens (default: ${n_ctx})`, 1);
  count(
    "n_vocab",
    "of a new model: build a vocabulary of n tokens from the dataset (default: the model's)",
    257,
  );

  addPreset(command);
  addBackend(command);
  addThreads(command);
  addGpu(command);
}

const LOOP_KEYS = Object.keys({ ...LOOP_DEFAULTS, sample_length: 0 }) as (keyof LoopOptions)[];
const TRAINING_KEYS = [...Object.keys(TRAINING_DEFAULTS), "seed", "context_length", "column"];

/** Some of the options, without those not given. */
function pick(options: object, keys: readonly string[]): object {
  return Object.fromEntries(
    Object.entries(options).filter(([key, value]) => keys.includes(key) && value !== undefined),
  );
}

export const loopOptions = (options: FinetuneOptions): LoopOptions => pick(options, LOOP_KEYS) as LoopOptions;
export const trainingOptions = (options: FinetuneOptions): Partial<TrainingOptions> =>
  pick(options, TRAINING_KEYS) as Partial<TrainingOptions>;
