import { once } from "node:events";
import { basename } from "node:path";
import { type Command, Option } from "commander";
import type { EngineOptions } from "../../engines/create.js";
import { isLoopback } from "../../serve/access.js";
import { EXIT, UsageError } from "../../system/errors.js";
import { isPath } from "../../system/paths.js";
import { addEngineOptions, addModelsDir, MODEL_NAME } from "../options/engine.js";
import { addValue, decimalNumber, wholeNumber } from "../options/parse.js";
import { addRunModel } from "../options/run-name.js";
import { modelFolder } from "../samples/find-model.js";
import { ENDING, whileInterruptible } from "../terminal/interrupt.js";
import { tell } from "../terminal/output.js";

interface ServeOptions extends EngineOptions {
  readonly model_name: string;
  readonly models_dir?: string;
  readonly host: string;
  readonly port: number;
  readonly api_key?: string;
  readonly cors?: string;
  readonly max_batch: number;
  readonly queue: number;
  readonly cache_megabytes: number;
  readonly grace: number;
}

const PORT = 11117;

/** Reads an origin, as browsers send it, or `*`. */
function originOf(typed: string): string {
  if (typed === "*") return typed;
  if (URL.canParse(typed) && new URL(typed).origin === typed.replace(/\/$/, "")) return new URL(typed).origin;
  throw new UsageError(
    `--cors must be an origin like https://example.org, or *, not ${JSON.stringify(typed)}`,
  );
}

/** Reads an API key: something that a header can carry. */
function keyOf(typed: string): string {
  if (/^[\x21-\x7e]+$/.test(typed)) return typed;
  throw new UsageError("--api_key must consist of printable ASCII characters other than spaces");
}

/** Serves until a signal ends it; the exit code. */
async function serve(options: ServeOptions): Promise<number> {
  if (!isLoopback(options.host) && options.api_key === undefined) {
    tell(
      `warning: anyone who can reach ${options.host}:${options.port} can use the model: --api_key requires a key`,
    );
  }
  const controller = new AbortController();
  const { signal } = controller;
  let isReady = false;
  await whileInterruptible(
    () => controller.abort(),
    async () => {
      try {
        const folder = await modelFolder(options.model_name, options.models_dir);
        const onNotice = (line: string): void => tell(`warning: ${line}`);
        const { loadFolder } = await import("../../models/folder.js"); // a Tab asks for the options alone
        const { ModelServer } = await import("../../serve/server.js");
        const model = await loadFolder(folder, { ...options, signal, onNotice });
        try {
          const name = isPath(options.model_name) ? basename(folder) : options.model_name;
          const onFault = (line: string): void => tell(`warning: a request failed: ${line}`);
          const server = await ModelServer.start(model, { ...options, name, onFault });
          const { engine } = model;
          isReady = true;
          tell(`${name} (${engine.name}, ${engine.precision}) is ready at ${server.url}`);
          if (!signal.aborted) await once(signal, "abort");
          await server.close();
        } finally {
          await model.engine.dispose();
        }
      } catch (error) {
        if (error !== signal.reason) throw error; // loading was given up
      }
    },
    ENDING,
  );
  return isReady ? EXIT.done : EXIT.interrupted;
}

/** `gpt2 serve`: one model for many programs and people. */
export function addServe(program: Command, finish: (code: number) => void): void {
  const command = program
    .command("serve")
    .description(
      "Keeps the model loaded and answers OpenAI's completions API (POST /v1/completions) for any number of clients, with a page to play with at the same address. A request with a seed gets the text that gpt2 generate writes with it, whatever else is running. Ctrl-C stops it once running requests have finished.",
    )
    .option(...MODEL_NAME)
    .addHelpText("before", "Example: gpt2 serve --model_name stories\n");
  addModelsDir(command);
  addRunModel(command);
  addValue(
    command,
    "--host <address>",
    "the address to listen on; 0.0.0.0 = all",
    (text) => text,
    "127.0.0.1",
  );
  addValue(
    command,
    "--port <n>",
    "the port to listen on; 0 = any free",
    wholeNumber("--port", 0, 65535),
    PORT,
  );
  command.addOption(
    new Option(
      "--api_key <key>",
      "answer only requests with this key; $GPT2_API_KEY keeps it out of the process list (default: none)",
    ).argParser(keyOf),
  );
  command.addOption(
    new Option(
      "--cors <origin>",
      "accept requests from pages of this origin; * = all (default: none)",
    ).argParser(originOf),
  );
  addValue(
    command,
    "--max_batch <n>",
    "texts computed at once; the others wait",
    wholeNumber("--max_batch", 1, 256),
    16,
  );
  addValue(command, "--queue <n>", "texts that may wait", wholeNumber("--queue", 0, 100_000), 256);
  addValue(
    command,
    "--cache_megabytes <n>",
    "memory for the cache of prompts, which texts that begin alike share",
    wholeNumber("--cache_megabytes", 0, 1_000_000),
    256,
  );
  addValue(
    command,
    "--grace <seconds>",
    "how long running requests may take to finish after Ctrl-C or SIGTERM",
    decimalNumber("--grace", "a number of seconds from 0", (n) => n >= 0 && n <= 86_400),
    30,
  );
  addEngineOptions(command).action(async (options: ServeOptions) => finish(await serve(options)));
}
