import type { LoadedModel } from "../../models/folder.js";
import type { Turns } from "../../sampling/turns.js";
import { writeNewFile } from "../../system/files.js";
import type { GeneratingOptions } from "../options/sampling.js";
import { run, showSpeed } from "../samples/run.js";
import { SAMPLE_HEADER, type SampleRecord } from "../samples/sink.js";
import { note, type Output, tell } from "../terminal/output.js";
import type { Settings } from "./settings.js";

export const PROMPT = "Model prompt >>> ";
const CLOSING = `${"=".repeat(80)}\n`;

/** What answering one prompt needs beside the options. */
export interface Question {
  readonly model: LoadedModel;
  readonly output: Output;
  readonly seed: number;
  readonly prompt: string;
  /** The conversation that the prompt belongs to. */
  readonly turns?: Turns;
  readonly signal: AbortSignal;
  readonly onSample?: (record: SampleRecord, seconds: number) => void;
}

/** Answers one prompt as the original does. Every prompt starts again from the seed: the same prompt, the same text. */
export async function answer(options: GeneratingOptions, question: Question): Promise<void> {
  const { output, prompt } = question;
  if (prompt === "") {
    tell("Prompt should not be empty!");
    return;
  }
  await run(options, { ...question, layout: SAMPLE_HEADER });
  await output.endLine();
  if (options.format === "text") await output.write(CLOSING);
}

/** Why a sample ended, in words. */
const ENDINGS: Readonly<Record<SampleRecord["finish_reason"], string>> = {
  eos: "the model ended the text",
  stop: "stop text reached",
  length: "length reached",
  context: "context full",
  interrupted: "interrupted",
};

/** A prompt and its samples. */
interface Exchange {
  readonly prompt: string;
  readonly samples: SampleRecord[];
}

/** A person's session: what was asked, what came of it. */
export class Session {
  private readonly exchanges: Exchange[] = [];

  constructor(
    readonly settings: Settings,
    readonly model: LoadedModel,
    private readonly output: Output,
    /** The conversation, where prompts are lines of one. */
    readonly turns?: Turns,
  ) {}

  /** Answers a prompt; after each sample a line says how it went. */
  async answer(prompt: string, signal: AbortSignal): Promise<void> {
    const { model, output, settings, turns } = this;
    const { options } = settings;
    const samples: SampleRecord[] = [];
    if (prompt !== "") this.exchanges.push({ prompt, samples });
    const onSample = (record: SampleRecord, seconds: number): void => {
      samples.push(record);
      const { tokens, seed, finish_reason } = record;
      note(`${showSpeed(tokens, seconds)}, seed ${seed}, ${ENDINGS[finish_reason]}`);
    };
    await answer(options, { model, output, seed: options.seed, prompt, turns, signal, onSample });
  }

  /** The last sample with its prompt, which /more goes on from; undefined before there is one. */
  get lastText(): string | undefined {
    const last = this.exchanges.flatMap(({ samples }) => samples).at(-1);
    return last && last.prompt + last.text;
  }

  /**
   * Writes what was asked and what came of it to a file that is not there yet: as it was shown or, where the name
   * ends in .jsonl, a line a sample as --format jsonl has it.
   * @returns how many samples were written
   * @throws UserError when there is such a file, or it cannot be written
   */
  async save(path: string): Promise<number> {
    const answered = this.exchanges.filter(({ samples }) => samples.length > 0);
    const samples = answered.flatMap((exchange) => exchange.samples);
    const text = path.endsWith(".jsonl")
      ? samples.map((record) => `${JSON.stringify(record)}\n`)
      : answered.map(
          (exchange) =>
            `${PROMPT}${exchange.prompt}\n${exchange.samples
              .map(({ sample, text }) => `${SAMPLE_HEADER.before(sample, sample)}${text}\n`)
              .join("")}${CLOSING}`,
        );
    await writeNewFile(path, text.join(""));
    return samples.length;
  }
}
