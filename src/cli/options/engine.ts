import type { Command } from "commander";
import { BACKENDS, PRECISIONS } from "../../engines/backends.js";
import { addValue, anyText, oneOf, wholeNumber } from "./parse.js";

const MAX_THREADS = 64;

/** Adds --models_dir, which every command that handles models has. */
export function addModelsDir(command: Command): Command {
  return command.option(
    "--models_dir <dir>",
    "where models are (default: $GPT2_MODELS_DIR, else ./models if it exists, else the user's cache folder)",
  );
}

/** --model_name of most commands. */
export const MODEL_NAME = [
  "--model_name <name>",
  "a model's name, or the path of its folder",
  "117M",
] as const;

/** Adds --backend. */
export function addBackend(command: Command): void {
  const text = `what computes: ${BACKENDS.join(", ")}`;
  addValue(command, "--backend <name>", text, oneOf("--backend", BACKENDS), "auto");
}

/** Adds --gpu. */
export function addGpu(command: Command): void {
  const text = "the GPU for --backend webgpu, by part of its name (default: the fastest real one)";
  addValue(command, "--gpu <name>", text, anyText([]));
}

/** Adds --threads. */
export function addThreads(command: Command): void {
  const text = "threads to compute with (default: as many as this machine or container allows)";
  addValue(command, "--threads <n>", text, wholeNumber("--threads", 1, MAX_THREADS));
}

/** Adds --preset. */
export function addPreset(command: Command): void {
  command.option(
    "--preset <name>",
    "options under this name in config.yaml or .gpt2.yaml; gpt2 config lists them",
  );
}

/** Adds the options that say what computes. */
export function addEngineOptions(command: Command): Command {
  addPreset(command);
  addBackend(command);
  addValue(
    command,
    "--precision <name>",
    "how weights are held: auto, float32, float16 (half the memory), int8 (rounded to 8 bits: a quarter of the memory, faster)",
    oneOf("--precision", PRECISIONS),
    "auto",
  );
  addThreads(command);
  addGpu(command);
  return command;
}
