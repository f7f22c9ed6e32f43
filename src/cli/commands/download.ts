import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { type DownloadEvent, downloadModel } from "../../download/download.js";
import { hasWeights, openWeights } from "../../formats/tfjs/read.js";
import { CATALOG, canonicalName } from "../../models/catalog.js";
import { loadHparams, loadVocabulary } from "../../models/folder.js";
import { DEMOS, modelsDirs } from "../../models/store.js";
import { UserError } from "../../system/errors.js";
import { elsewhereIfReadOnly } from "../../system/files.js";
import { addModelsDir } from "../options/engine.js";
import { anyText, oneOf } from "../options/parse.js";
import { ask } from "../terminal/ask.js";
import { ENDING, whileInterruptible } from "../terminal/interrupt.js";
import { canAsk, note } from "../terminal/output.js";
import { type Bar, showBytes, startBar } from "../terminal/progress.js";
import { convertWithBar, DTYPES, type Dtype } from "./convert.js";

/** Draws what happens to the files, one after the other. */
function drawEvents(): { onFile: (event: DownloadEvent) => void; stop: () => void } {
  let bar: Bar | undefined;
  const stop = (line: string): void => {
    if (bar) bar.stop(line);
    else note(line);
    bar = undefined;
  };
  const onFile = (event: DownloadEvent): void => {
    switch (event.type) {
      case "check":
        break;
      case "start":
        if (event.resumedAt > 0) note(`${event.file}: resuming at ${showBytes(event.resumedAt)}`);
        bar = startBar(event.file, event.total, event.resumedAt);
        break;
      case "progress":
        bar?.update(event.bytes);
        break;
      case "retry":
        note(`${event.file}: ${event.reason}; retrying`);
        break;
      case "done":
        stop(`${event.file}: ${showBytes(event.bytes)}${event.skipped ? ", already there" : ""}`);
        break;
      case "warning":
        stop(`${event.file}: ${event.message}`);
    }
  };
  return {
    onFile,
    stop: () => {
      bar?.clear();
      bar = undefined;
    },
  };
}

/** Where a download goes: the first models folder; under OpenAI's older name, or the newer where that is there. */
function targetFolder(name: string, models_dir: string | undefined): string {
  const [dir] = modelsDirs(models_dir);
  const own = join(dir, name);
  const canonical = join(dir, canonicalName(name) ?? name);
  return existsSync(own) && !existsSync(canonical) ? own : canonical;
}

/** Whether the folder's converted weights are whole. */
async function isConverted(folder: string): Promise<boolean> {
  if (!(await hasWeights(folder))) return false;
  try {
    await (await openWeights(folder)).close();
    return true;
  } catch {
    return false;
  }
}

/** Downloads a model's files, then converts them. Returns its folder. */
export async function download(
  name: string,
  options: { models_dir?: string; base_url?: string; dtype: Dtype },
): Promise<string> {
  const folder = targetFolder(name, options.models_dir);
  const controller = new AbortController();
  const events = drawEvents();
  const baseUrl = options.base_url ?? (process.env["GPT2_BASE_URL"] || undefined);
  try {
    const { bytes } = await whileInterruptible(
      () => controller.abort(),
      () =>
        elsewhereIfReadOnly("choose another folder with --models_dir", () =>
          downloadModel(name, folder, { baseUrl, onFile: events.onFile, signal: controller.signal }),
        ),
      ENDING,
    );
    // A host that calls an error page a file, or says too small a size: no checkpoint's sum covers these.
    await loadVocabulary(folder, await loadHparams(folder));
    if (bytes === 0 && (await isConverted(folder))) {
      note(`${folder} is complete`);
      return folder;
    }
  } finally {
    events.stop();
  }
  await convertWithBar(folder, { dtype: options.dtype });
  return folder;
}

/** Asks whether a missing model should be downloaded, where someone can answer. Its folder if it was. */
export async function offerDownload(
  name: string,
  models_dir: string | undefined,
): Promise<string | undefined> {
  const question = `The model ${name} is not on this machine. Download it now?`;
  if (!canAsk() || !(await ask(question, "yes"))) return undefined;
  return download(name, { models_dir, dtype: "float32" });
}

/** `gpt2 download`: OpenAI's files, verified and resumable, then converted, as download_model.py. */
export function addDownload(program: Command): void {
  const command = program
    .command("download")
    .description(
      "Fetches the seven files of a model (117M = 124M, 345M = 355M, 774M, 1558M) and converts them. Run\nthe command again to resume an interrupted download.",
    )
    .argument("[model]", "the model's name", anyText(CATALOG.models.map(({ name }) => name)), "117M")
    .option(
      "--base_url <url>",
      "fetch from <url>/<model>/<file> (default: $GPT2_BASE_URL, else OpenAI's host, then a mirror)",
    )
    .option(
      "--dtype <type>",
      "convert to float32, or float16: half the size",
      oneOf("--dtype", DTYPES),
      "float32",
    )
    .addHelpText("before", "Example: gpt2 download 117M\n");
  addModelsDir(command).action(
    async (name: string, options: { models_dir?: string; base_url?: string; dtype: Dtype }) => {
      if (DEMOS.includes(name) && !options.base_url && !process.env["GPT2_BASE_URL"]) {
        throw new UserError(`the demo model ${name} comes with gpt2`, { next: `use --model_name ${name}` });
      }
      await download(name, options);
    },
  );
}
