import { basename, resolve } from "node:path";
import type { Command } from "commander";
import type { Encoder } from "../../encoder/encoder.js";
import type { EngineOptions } from "../../engines/create.js";
import { levelOf } from "../../probability-scale.js";
import { MAX_ATTENTION } from "../../sampling/attention.js";
import { type TokenLogprob, withTop } from "../../sampling/logprobs.js";
import { MAX_TOP } from "../../sampling/options.js";
import { logProbabilities, type Score, summarize, tokenLogprobs } from "../../sampling/score.js";
import { EXIT, UsageError, UserError } from "../../system/errors.js";
import { expandPath } from "../../system/paths.js";
import { addEngineOptions, addModelsDir, MODEL_NAME } from "../options/engine.js";
import { HTML_TEXT } from "../options/files.js";
import { formatOption, wholeNumber } from "../options/parse.js";
import { addColor, specialOption, strideOption } from "../options/sampling.js";
import { modelFolder } from "../samples/find-model.js";
import { checkOutFile, writeOutFile } from "../samples/out-file.js";
import { likelier, numbersOf } from "../samples/token-line.js";
import { mostOf } from "../samples/told-tokens.js";
import { readStdin, readTextFile } from "../terminal/input.js";
import { whileInterruptible } from "../terminal/interrupt.js";
import { note, noteLegend, Output } from "../terminal/output.js";
import type { ColorWhen } from "../terminal/paint.js";

interface ScoreOptions extends EngineOptions {
  readonly model_name: string;
  readonly models_dir?: string;
  readonly stride?: number;
  readonly top?: number;
  readonly html?: string;
  readonly attention?: string;
  readonly overwrite?: boolean;
  readonly format: "text" | "jsonl";
  readonly special?: boolean;
  readonly color: ColorWhen;
}

/** What is scored, and where it was read. */
interface Text {
  readonly text: string;
  readonly name: string;
}

/** Loads the model and scores the text; prints nothing before all is known. */
async function score({ text, name }: Text, options: ScoreOptions, output: Output, signal: AbortSignal) {
  const windows = text.split("\r\n").length - 1;
  if (windows > 0)
    note(
      `warning: ${windows} line ends are \\r\\n, as on Windows: each \\r is scored, and GPT-2 has rarely seen one`,
    );
  const { top, html, attention, overwrite = false } = options;
  const folder = await modelFolder(options.model_name, options.models_dir);
  const { loadFolder } = await import("../../models/folder.js"); // a Tab asks for the options alone
  const { encoder, engine, hparams } = await loadFolder(folder, {
    ...options,
    signal,
    onNotice: (line) => note(`warning: ${line}`),
  });
  try {
    const { stride = Math.ceil(hparams.n_ctx / 2) } = options;
    if (stride > hparams.n_ctx) {
      throw new UsageError(`--stride must be at most the model's context, ${hparams.n_ctx}, not ${stride}`);
    }
    if (encoder.startOfText === undefined) {
      throw new UserError(`${folder}: the vocabulary has no <|endoftext|>, which scoring starts from`);
    }
    const ids = encoder.encode(text, { special: options.special });
    const start = encoder.startOfText;
    const picture = attention === undefined ? undefined : await import("../samples/attention-page.js");
    const weights = await picture?.attentionOf(engine, start, ids, signal);
    const page = html === undefined ? undefined : await import("../samples/score-page.js");
    page?.checkPageSize(ids.length);
    const most = mostOf(top, page?.PAGE_TOP);
    const tokens =
      most === undefined
        ? undefined
        : await tokenLogprobs(engine, encoder, { start, ids, stride, top: most, signal });
    const logprobs =
      tokens?.map(({ logprob }) => logprob) ?? (await logProbabilities(engine, start, ids, stride, signal));
    const summary = summarize(logprobs, Buffer.byteLength(text));
    const { total, perplexity, bits_per_byte } = summary;
    const token_logprobs = top === undefined ? undefined : tokens?.map((token) => withTop(token, top));
    if (options.format === "jsonl") {
      const all = { text, ids, logprobs, total, perplexity, bits_per_byte, token_logprobs };
      await output.write(`${JSON.stringify(all)}\n`);
    } else await writeTable(output, ids, summary, { encoder, token_logprobs, color: options.color });
    if (html !== undefined && page && tokens) {
      const words = `${basename(folder)}: ${inWords(ids.length, summary)}`;
      const document = page.scorePage(tokens, encoder, { start, title: name, summary: words });
      await writeOutFile(expandPath(html), document, overwrite);
    }
    if (attention !== undefined && picture && weights) {
      const document = picture.attentionPage(encoder, weights, { title: name, summary: basename(folder) });
      await writeOutFile(expandPath(attention), document, overwrite);
    }
  } finally {
    await engine.dispose();
  }
}

/** A token a line, then all in a line. */
async function writeTable(
  output: Output,
  ids: readonly number[],
  summary: Score,
  { encoder, token_logprobs, color }: Table,
): Promise<void> {
  const isPainted = output.isPainted(color);
  if (isPainted) noteLegend(color);
  for (const [i, id] of ids.entries()) {
    const logprob = summary.logprobs[i];
    const before = numbersOf(logprob, id);
    const token = JSON.stringify(encoder.decode([id]));
    const after = `${token_logprobs ? `  ${likelier(token_logprobs[i])}` : ""}\n`;
    await output.write(isPainted ? before : before + token + after);
    if (!isPainted) continue;
    await output.paint(token, levelOf(Math.exp(logprob)));
    await output.write(after);
  }
  await output.write(`${inWords(ids.length, summary)}\n`);
}

/** What a table shows besides numbers. */
interface Table {
  readonly encoder: Encoder;
  readonly token_logprobs: readonly TokenLogprob[] | undefined;
  readonly color: ColorWhen;
}

const inWords = (count: number, { total, perplexity, bits_per_byte }: Score): string =>
  `${count} tokens, total ${total.toFixed(4)}, perplexity ${perplexity.toFixed(4)}, ${bits_per_byte.toFixed(4)} bits per byte`;

/** Whether the pages may be written. @throws UsageError when their options contradict; UserError when they may not */
async function checkPages({ html, attention, overwrite = false }: ScoreOptions): Promise<void> {
  if (overwrite && html === undefined && attention === undefined)
    throw new UsageError("--overwrite goes with --html FILE or --attention FILE");
  const paths = [html, attention].map((path) => path && expandPath(path));
  const [page, picture] = paths.map((path) => path && resolve(path));
  if (page !== undefined && page === picture)
    throw new UsageError("--html and --attention name the same file", { next: "choose another --attention" });
  for (const [i, flag] of ["--html", "--attention"].entries()) {
    const path = paths[i];
    if (path !== undefined) await checkOutFile(path, flag, overwrite);
  }
}

/** `gpt2 score`: how likely the model finds a text. */
export function addScore(program: Command): void {
  const command = program
    .command("score")
    .description(
      "Prints the natural logarithm of each token's probability given the token that begins a text (<|endoftext|>) and the text before it, then the total, the perplexity and the bits per byte. Every byte counts, including a final newline.",
    )
    .argument("[file]", "the text (default: standard input)")
    .option(...MODEL_NAME)
    .addOption(strideOption())
    .option(
      "--top <n>",
      "show each token's rank and the n likeliest in its place (default: off)",
      wholeNumber("--top", 0, MAX_TOP),
    )
    .addOption(specialOption("the text"))
    .option("--html <file>", HTML_TEXT)
    .option(
      "--attention <file>",
      `also write a page: what each of up to ${MAX_ATTENTION} tokens attends to, in a layer and head of your choice`,
    )
    .option("--overwrite", "let --html and --attention replace existing files")
    .addOption(formatOption());
  addColor(command, "the tokens");
  command.addHelpText("before", "Example: echo 'Once upon a time' | gpt2 score --model_name stories\n");
  addModelsDir(addEngineOptions(command)).action(async (file: string | undefined, options: ScoreOptions) => {
    await checkPages(options);
    const text =
      file === undefined
        ? await readStdin("name a file, or pipe a text into gpt2 score")
        : await readTextFile(file);
    if (text === "")
      throw new UserError(`${file ?? "standard input"} is empty`, { next: "there is nothing to score" });
    const output = new Output();
    const stopped = new UserError("scoring stopped", { exitCode: EXIT.interrupted });
    const controller = new AbortController();
    await whileInterruptible(
      () => controller.abort(stopped),
      () =>
        score(
          { text, name: file === undefined ? "Standard input" : basename(file) },
          options,
          output,
          controller.signal,
        ),
    );
    await output.finish();
  });
}
