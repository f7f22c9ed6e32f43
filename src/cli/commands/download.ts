import { basename, join } from "node:path";
import type { Command } from "commander";
import type { DownloadEvent } from "../../download/download.js";
import { fetchModel } from "../../download/fetch.js";
import { CATALOG } from "../../models/catalog.js";
import { parseHubName } from "../../models/hub-name.js";
import { DEMOS } from "../../models/store.js";
import { UsageError, UserError } from "../../system/errors.js";
import { addModelsDir } from "../options/engine.js";
import { anyText, oneOf } from "../options/parse.js";
import { ask } from "../terminal/ask.js";
import { ENDING, whileInterruptible } from "../terminal/interrupt.js";
import { canAsk, note } from "../terminal/output.js";
import { type Bar, showBytes, startBar } from "../terminal/progress.js";
import { shellQuote } from "../terminal/shell-quote.js";
import { DTYPES, type Dtype } from "./convert.js";

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

/** Downloads a model, or resumes its download, and makes it ready. Returns its folder. */
export async function download(
  name: string,
  options: { models_dir?: string; base_url?: string; dtype: Dtype },
): Promise<string> {
  const { models_dir, dtype, base_url } = options;
  const controller = new AbortController();
  const events = drawEvents();
  let bar: Bar | undefined;
  const onConvert = (done: number, total: number): void => {
    bar ??= startBar("converting", total);
    bar.update(done);
  };
  try {
    const baseUrl = base_url ?? (process.env["GPT2_BASE_URL"] || undefined);
    const { onFile } = events;
    const { folder, written, hub, notices } = await whileInterruptible(
      () => controller.abort(),
      () => fetchModel(name, { models_dir, baseUrl, dtype, onFile, onConvert, signal: controller.signal }),
      ENDING,
    );
    bar?.clear();
    bar = undefined;
    const from = hub ? ` (${hub.repository} at commit ${hub.commit.slice(0, 12)})` : "";
    if (!written) {
      note(`${folder} is complete${from}`);
    } else {
      const { parameters, tensors, bytes } = written;
      const where = join(folder, "model.json");
      note(`${where}: ${tensors} tensors, ${parameters} parameters, ${showBytes(bytes)} in ${dtype}${from}`);
    }
    for (const notice of notices) note(`notice: ${notice}`);
    if (hub) {
      const dir = models_dir === undefined ? "" : ` --models_dir ${shellQuote(models_dir)}`;
      note(`use it with --model_name ${shellQuote(basename(folder))}${dir}`);
    }
    return folder;
  } finally {
    bar?.clear();
    events.stop();
  }
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
      "Fetches one of OpenAI's models (117M = 124M, 345M = 355M, 774M, 1558M), or a GPT-2 of the Hugging Face hub (USER/NAME, USER/NAME@REVISION, distilgpt2), and makes it ready. Run the command again to resume an interrupted download. $HF_TOKEN, $HF_ENDPOINT, $HF_HOME and $HF_HUB_OFFLINE work as in the hub's own programs.",
    )
    .argument(
      "[model]",
      "the model's name, or USER/NAME of the Hugging Face hub",
      anyText(CATALOG.models.map(({ name }) => name)),
      "117M",
    )
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
      if (options.base_url !== undefined && /[:/]/.test(name) && parseHubName(name)) {
        throw new UsageError(
          `--base_url is for OpenAI's files, and ${name} is a model of the Hugging Face hub`,
          {
            next: "set HF_ENDPOINT to another address of the hub",
          },
        );
      }
      await download(name, options);
    },
  );
}
