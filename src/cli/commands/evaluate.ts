import { createHash } from "node:crypto";
import { type Command, Option } from "commander";
import { type LoadedModel, loadFolder } from "../../models/folder.js";
import { lastWordOf, scoreLastWord } from "../../sampling/evaluate.js";
import { logProbabilityPieces } from "../../sampling/score.js";
import { countWikitextWords, countWords, detokenizeWikitext } from "../../sampling/wikitext.js";
import { EXIT, UsageError, UserError } from "../../system/errors.js";
import { expNegative } from "../../system/exact-math.js";
import { isObject, parseJson } from "../../system/json.js";
import { expandPath } from "../../system/paths.js";
import { addEngineOptions, addModelsDir, MODEL_NAME } from "../options/engine.js";
import { formatOption, oneOf, wholeNumber } from "../options/parse.js";
import { addRunModel } from "../options/run-name.js";
import { type GeneratingOptions, specialOption, strideOption } from "../options/sampling.js";
import { EvaluationState, type Sums } from "../samples/evaluation-state.js";
import { modelFolder } from "../samples/find-model.js";
import { markOf } from "../samples/resume-record.js";
import { readTextFile } from "../terminal/input.js";
import { ENDING, whileInterruptible } from "../terminal/interrupt.js";
import { note, Output } from "../terminal/output.js";
import { type Bar, startBar } from "../terminal/progress.js";

const TASKS = ["perplexity", "last_word"] as const;
const DETOKENIZE = ["none", "wikitext"] as const;

interface EvaluateOptions extends Pick<GeneratingOptions, "model_name" | "models_dir" | "special"> {
  readonly task: (typeof TASKS)[number];
  readonly detokenize: (typeof DETOKENIZE)[number];
  readonly stride?: number;
  readonly limit?: number;
  readonly resume?: string;
  readonly format: "text" | "jsonl";
}

/** What is known when an evaluation is over; printed as it is with --format jsonl. */
type Result = Readonly<Record<string, number | string>>;

/** A piece of work that goes on from sums, tells them as they grow, and makes a result of them. */
interface Evaluation {
  /** Tokens or texts. */
  readonly total: number;
  readonly unit: string;
  run(from: Sums, tell: (sums: Sums) => Promise<void>, signal: AbortSignal): Promise<void>;
  result(sums: Sums): Result;
}

/** e ** (-total / count). */
const perplexity = (total: number, count: number): number => 1 / expNegative(total / count);

/** Perplexity of one long text, in windows. */
function evaluateText(
  text: string,
  { engine, encoder, hparams }: LoadedModel,
  options: EvaluateOptions,
): Evaluation {
  const { stride = Math.ceil(hparams.n_ctx / 2), detokenize, special, limit } = options;
  if (stride > hparams.n_ctx)
    throw new UsageError(`--stride must be at most the model's context, ${hparams.n_ctx}, not ${stride}`);
  const { startOfText: start } = encoder;
  if (start === undefined)
    throw new UserError("the model's vocabulary has no <|endoftext|>, which scoring starts from");
  const read = detokenize === "wikitext" ? detokenizeWikitext(text) : text;
  const all = encoder.encode(read, { special });
  const ids = all.slice(0, limit);
  const isWhole = ids.length === all.length;
  const words = detokenize === "wikitext" ? countWikitextWords(text) : countWords(text);
  const bytes = isWhole ? Buffer.byteLength(read) : Buffer.byteLength(encoder.decode(ids));
  return {
    total: ids.length,
    unit: "tokens",
    run: async ({ done, logprob }, tell, signal) => {
      let sums: Sums = { done, logprob, found: 0 };
      for await (const piece of logProbabilityPieces(engine, { start, ids, stride, known: done, signal })) {
        for (const each of piece) sums = { ...sums, done: sums.done + 1, logprob: sums.logprob + each };
        await tell(sums);
      }
    },
    result: ({ logprob }) => ({
      task: "perplexity",
      tokens: ids.length,
      bytes,
      perplexity: perplexity(logprob, ids.length),
      bits_per_byte: -logprob / Math.LN2 / bytes,
      // Part of a text has no count of its original words.
      ...(isWhole && { words, word_perplexity: perplexity(logprob, words) }),
      stride,
    }),
  };
}

/** The last word of many texts. */
function evaluateLastWords(
  texts: readonly string[],
  { engine, encoder }: LoadedModel,
  { special }: EvaluateOptions,
): Evaluation {
  return {
    total: texts.length,
    unit: "texts",
    run: async (from, tell, signal) => {
      let sums = from;
      for (const text of texts.slice(from.done)) {
        signal.throwIfAborted();
        const { isFound, logprob } = await scoreLastWord(engine, encoder, lastWordOf(text)!, special);
        sums = {
          done: sums.done + 1,
          found: sums.found + (isFound ? 1 : 0),
          logprob: sums.logprob + logprob,
        };
        await tell(sums);
      }
    },
    result: ({ logprob, found }) => ({
      task: "last_word",
      texts: texts.length,
      found,
      accuracy: found / texts.length,
      word_perplexity: perplexity(logprob, texts.length),
    }),
  };
}

/** The texts of a .jsonl: each line's `text`. @throws UserError that names the line which is none */
function textsOf(jsonl: string, file: string, limit: number | undefined): string[] {
  const lines = jsonl.split("\n").map((line, i) => [line.trim(), i + 1] as const);
  const texts = lines
    .filter(([line]) => line !== "")
    .slice(0, limit)
    .map(([line, number]) => {
      const value = parseJson(line, `${file}:${number}`, "every line is an object with a text");
      const text = isObject(value) ? value["text"] : undefined;
      if (typeof text !== "string") throw new UserError(`${file}:${number} has no "text"`);
      if (!lastWordOf(text)) throw new UserError(`${file}:${number}: the text needs two words or more`);
      return text;
    });
  return texts;
}

function asText(result: Result): string {
  const number = (name: string, digits = 4): string => (result[name] as number).toFixed(digits);
  if (result["task"] === "last_word") {
    const percent = (100 * (result["accuracy"] as number)).toFixed(2);
    return `${result["found"]} of ${result["texts"]} last words found, accuracy ${percent} %, perplexity ${number("word_perplexity")} per word\n`;
  }
  const words =
    result["words"] === undefined ? "" : `, ${number("word_perplexity")} per word (${result["words"]} words)`;
  return `${result["tokens"]} tokens, perplexity ${number("perplexity")} per token${words}, ${number("bits_per_byte")} bits per byte\n`;
}

async function evaluate(file: string, options: EvaluateOptions, signal: AbortSignal): Promise<Result> {
  const text = await readTextFile(file);
  if (text === "") throw new UserError(`${file} is empty`, { next: "there is nothing to evaluate" });
  const texts = options.task === "last_word" ? textsOf(text, file, options.limit) : [];
  const folder = await modelFolder(options.model_name, options.models_dir);
  const model = await loadFolder(folder, {
    ...options,
    signal,
    onNotice: (line) => note(`warning: ${line}`),
  });
  let bar: Bar | undefined;
  try {
    const evaluation =
      options.task === "last_word"
        ? evaluateLastWords(texts, model, options)
        : evaluateText(text, model, options);
    const { task, detokenize, special, limit, stride } = options;
    const state = await EvaluationState.open(options.resume && expandPath(options.resume), {
      task,
      detokenize,
      ...(special !== undefined && { special }),
      ...(limit !== undefined && { limit }),
      ...(stride !== undefined && { stride }),
      text: createHash("sha256").update(text).digest("hex"),
      model: options.resume === undefined ? "" : await markOf(model),
    });
    const { total, unit } = evaluation;
    if (state.sums.done > 0)
      note(`${options.resume} holds ${state.sums.done} of ${total} ${unit}: continuing`);
    bar = startBar("evaluating", total, state.sums.done, unit);
    try {
      await evaluation.run(
        state.sums,
        async (sums) => {
          bar?.update(sums.done);
          await state.tell(sums);
        },
        signal,
      );
    } finally {
      await state.save();
    }
    return evaluation.result(state.sums);
  } finally {
    bar?.clear();
    await model.engine.dispose();
  }
}

/** `gpt2 evaluate`: perplexity and accuracy, as papers report them. */
export function addEvaluate(program: Command): void {
  const command = program
    .command("evaluate")
    .description(
      "Measures a model on a text as papers do: perplexity per token and per word, and bits per byte, in the windows of gpt2 score; or, for a .jsonl with a text per line, how often the model predicts the last word (LAMBADA).",
    )
    .argument("<file>", "the text; with --task last_word a .jsonl")
    .option(
      "--task <task>",
      "perplexity, or last_word: accuracy at the last word of each line's text",
      oneOf("--task", TASKS),
      "perplexity",
    )
    .option(
      "--detokenize <what>",
      "none, or wikitext: undo WikiText's tokenization, and count words as it does",
      oneOf("--detokenize", DETOKENIZE),
      "none",
    )
    .option(...MODEL_NAME)
    .addOption(strideOption())
    .addOption(
      new Option("--limit <n>", "only the first n tokens, or texts").argParser(
        wholeNumber("--limit", 1, 1_000_000_000),
      ),
    )
    .addOption(specialOption("the text"))
    .option(
      "--resume <file>",
      "save progress in this file, and continue from it; pass the same options again",
    )
    .addOption(formatOption())
    .addHelpText("before", "Example: gpt2 evaluate wiki.test.tokens --detokenize wikitext --stride 32\n");
  addRunModel(command);
  addModelsDir(addEngineOptions(command)).action(async (file: string, options: EvaluateOptions) => {
    const controller = new AbortController();
    const stopped = new UserError("evaluation stopped", {
      next: options.resume
        ? "the same command again continues it"
        : "--resume FILE would keep what was measured",
      exitCode: EXIT.interrupted,
    });
    const result = await whileInterruptible(
      () => controller.abort(stopped),
      () => evaluate(file, options, controller.signal),
      ENDING,
    );
    const output = new Output();
    await output.write(options.format === "jsonl" ? `${JSON.stringify(result)}\n` : asText(result));
    await output.finish();
  });
}
