import type { Command } from "commander";
import type { EngineOptions } from "../../engines/create.js";
import type { Engine } from "../../model/engine.js";
import type { Hparams } from "../../model/hparams.js";
import { SHAPES } from "../../model/openai-shapes.js";
import type { WeightSource } from "../../model/weight-source.js";
import { UsageError } from "../../system/errors.js";
import {
  type BenchRound,
  benchRound,
  fitSizes,
  median,
  millions,
  randomWeights,
  warmUp,
} from "../benchmark.js";
import { addEngineOptions, addModelsDir } from "../options/engine.js";
import { formatOption, oneOf, wholeNumber } from "../options/parse.js";
import { modelFolder } from "../samples/find-model.js";
import { note, Output } from "../terminal/output.js";

interface BenchOptions extends EngineOptions {
  readonly model_name?: string;
  readonly models_dir?: string;
  readonly shape?: string;
  readonly batch_size: number;
  readonly prompt: number;
  readonly length: number;
  readonly prefill: number;
  readonly rounds: number;
  readonly format: "text" | "jsonl";
}

const SECOND = 1000;

/** Parameters of a model on this machine, or random ones of a shape. */
async function openParameters(options: BenchOptions): Promise<{ hparams: Hparams; source: WeightSource }> {
  if (options.model_name !== undefined) {
    if (options.shape !== undefined) throw new UsageError("give --model_name or --shape, not both");
    const folder = await modelFolder(options.model_name, options.models_dir);
    const { openFolder } = await import("../../models/folder.js"); // a Tab asks for the options alone
    return openFolder(folder);
  }
  const hparams = SHAPES[options.shape ?? "124M"];
  return { hparams, source: randomWeights(hparams) };
}

/** Loads, reads one token, and runs the rounds. */
async function measure(options: BenchOptions): Promise<Record<string, number | string>> {
  const { hparams, source } = await openParameters(options);
  const started = performance.now();
  let engine: Engine;
  try {
    const { createEngine } = await import("../../engines/create.js");
    engine = await createEngine(hparams, source, {
      ...options,
      onNotice: (line) => note(`warning: ${line}`),
    });
  } finally {
    await source.close();
  }
  try {
    const loaded = performance.now();
    const sequence = engine.createSequence();
    await engine.forward([{ sequence, ids: [0] }]);
    engine.free(sequence);
    const first = performance.now();
    await warmUp(engine);
    const { batch_size: batch, prompt, length: decode, prefill } = options;
    const sizes = fitSizes({ prompt, decode, batch, batchDecode: Math.ceil(decode / 2), prefill }, hparams);
    const rounds: BenchRound[] = [];
    for (let i = 0; i < options.rounds; i++) {
      rounds.push(await benchRound(engine, sizes));
      note(`round ${i + 1} of ${options.rounds}`);
    }
    const rate = (of: (round: BenchRound) => number): number => Number(median(rounds.map(of)).toFixed(2));
    return {
      model: options.model_name ?? `random weights of ${options.shape ?? "124M"}`,
      parameters_millions: Number(millions(hparams)),
      backend: engine.name,
      precision: engine.precision,
      threads: options.threads ?? "auto",
      load_seconds: Number(((loaded - started) / SECOND).toFixed(3)),
      first_token_seconds: Number(((first - started) / SECOND).toFixed(3)),
      decode_tokens_per_second: rate((round) => round.decode),
      [`decode_batch_${batch}_tokens_per_second`]: rate((round) => round.batch),
      [`prefill_${sizes.prefill}_tokens_per_second`]: rate((round) => round.prefill),
      peak_memory_megabytes: Math.round(process.resourceUsage().maxRSS / 1024),
      node: process.version,
    };
  } finally {
    await engine.dispose();
  }
}

/** `gpt2 bench`: tokens per second on this machine. */
export function addBench(program: Command): void {
  const command = program
    .command("bench")
    .description(
      "Measures loading, the first token, decoding singly and in a batch, prefill of a long prompt, and peak memory. Rates are the median of the rounds; loading random weights includes making them.",
    )
    .option("--model_name <name>", "measure this model (default: random weights of --shape)")
    .option(
      "--shape <name>",
      `random weights of this size: ${Object.keys(SHAPES).join(", ")}`,
      oneOf("--shape", Object.keys(SHAPES)),
    )
    .option("--batch_size <n>", "sequences decoded together", wholeNumber("--batch_size", 1, 1024), 8)
    .option("--prompt <n>", "tokens read before decoding", wholeNumber("--prompt", 1, 1_000_000), 64)
    .option("--length <n>", "tokens decoded per round", wholeNumber("--length", 1, 1_000_000), 64)
    .option("--prefill <n>", "tokens in the long prompt", wholeNumber("--prefill", 1, 1_000_000), 512)
    .option("--rounds <n>", "rounds to run", wholeNumber("--rounds", 1, 1000), 3)
    .addOption(formatOption())
    .addHelpText("before", "Example: gpt2 bench --shape 124M --precision int8\n");
  addModelsDir(addEngineOptions(command)).action(async (options: BenchOptions) => {
    const output = new Output();
    const result = await measure(options);
    if (options.format === "jsonl") {
      await output.write(`${JSON.stringify(result)}\n`);
    } else {
      const width = Math.max(...Object.keys(result).map((name) => name.length));
      const rows = Object.entries(result).map(
        ([name, value]) => `${name.replaceAll("_", " ").padEnd(width)}  ${value}\n`,
      );
      await output.write(rows.join(""));
    }
    await output.finish();
  });
}
