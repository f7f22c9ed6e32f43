import { statSync } from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import type { Command } from "commander";
import { importModel } from "../../models/import.js";
import { modelsDirs } from "../../models/store.js";
import { UsageError } from "../../system/errors.js";
import { expandPath } from "../../system/paths.js";
import { addModelsDir } from "../options/engine.js";
import { oneOf } from "../options/parse.js";
import { note } from "../terminal/output.js";
import { showBytes, withBar } from "../terminal/progress.js";
import { shellQuote } from "../terminal/shell-quote.js";
import { DTYPES, type Dtype } from "./convert.js";

interface ImportCommandOptions {
  readonly name?: string;
  readonly models_dir?: string;
  readonly dtype: Dtype;
  readonly overwrite?: boolean;
}

/** A model's name must do as the name of a folder on every system. */
function checkName(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  if (/^[.~]|[/\\:*?"<>|$%\0-\x1f]|[. ]$/.test(name) || name === "" || name.length > 200) {
    throw new UsageError(`${JSON.stringify(name)} cannot be a model's name because it cannot be a folder's`, {
      next: "choose another with --name",
    });
  }
  return name;
}

/** The name of a folder; of a file without what says its format, unless all files of its kind have that name. */
function nameOf(path: string): string {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return basename(path);
  const name = basename(path, extname(path)).replace(/-\d{5}-of-\d{5}$/, "");
  return /^(model|pytorch_model|ckpt)$/.test(name) ? basename(dirname(path)) : name;
}

async function importWithBar(folder: string, options: ImportCommandOptions): Promise<void> {
  const { dtype, overwrite, models_dir } = options;
  const name = checkName(options.name ?? nameOf(folder));
  const target = join(modelsDirs(models_dir)[0], name);
  const { notices } = await withBar(
    { name: "import", title: "importing" },
    (progress) => importModel(folder, target, { dtype, overwrite, ...progress }),
    ({ parameters, tensors, bytes }) =>
      `${target}: ${tensors} tensors, ${parameters} parameters, ${showBytes(bytes)} in ${dtype}`,
  );
  for (const notice of notices) note(`notice: ${notice}`);
  const where = models_dir === undefined ? "" : ` --models_dir ${shellQuote(models_dir)}`;
  note(`use it with --model_name ${shellQuote(name)}${where}`);
}

/** `gpt2 import`: a model of another program becomes one of ours. */
export function addImport(program: Command): void {
  const command = program
    .command("import")
    .description(
      "Takes a folder with a TensorFlow checkpoint as OpenAI's scripts and gpt-2-simple write it (checkpoint, hparams.json, encoder.json, vocab.bpe), Hugging Face's config.json, model.safetensors or pytorch_model.bin, and vocab.json with merges.txt (or tokenizer.json), or one file: GGUF of llama.cpp or ollama, nanoGPT's ckpt.pt, llm.c's .bin. Writes a model that every command accepts; what it reads is left unchanged.",
    )
    .argument("<path>", "the folder with the other program's files, or the file of weights")
    .option("--name <name>", "the model's name here (default: the folder's or file's)")
    .option("--dtype <type>", "float32, or float16: half the size", oneOf("--dtype", DTYPES), "float32")
    .option("--overwrite", "replace a model that already has this name")
    .addHelpText("before", "Example: gpt2 import ~/Downloads/distilgpt2\n");
  addModelsDir(command).action((folder: string, options: ImportCommandOptions) =>
    importWithBar(resolve(expandPath(folder)), options),
  );
}
