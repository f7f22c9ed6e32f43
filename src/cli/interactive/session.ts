import type { LoadedModel } from "../../models/folder.js";
import type { DrawnToken, TokenLogprob } from "../../sampling/logprobs.js";
import type { Turns } from "../../sampling/turns.js";
import { UsageError, UserError } from "../../system/errors.js";
import { writeNewFile } from "../../system/files.js";
import type { GeneratingOptions } from "../options/sampling.js";
import { paint, piecesOf } from "../samples/painting.js";
import { type Run, run, showSpeed } from "../samples/run.js";
import { SAMPLE_HEADER, type SampleRecord, type Sink } from "../samples/sink.js";
import { note, type Output, tell } from "../terminal/output.js";
import { type SessionFile, type Step, textOf } from "./session-file.js";
import type { Settings } from "./settings.js";

export const PROMPT = "Model prompt >>> ";
const CLOSING = `${"=".repeat(80)}\n`;

/** What answering a prompt needs besides the options. */
export interface Question extends Omit<Run, "layout" | "done" | "page"> {
  readonly output: Output;
}

/** Why the model cannot read the prompt; undefined if it can. A vocabulary of characters may lack one. */
function unreadable({ model, prompt }: Question): string | undefined {
  try {
    model.encoder.encode(prompt);
    return undefined;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}

/** Answers one prompt as the original does. Every prompt starts from the seed again: same prompt, same text. */
export async function answer(options: GeneratingOptions, question: Question): Promise<void> {
  const { output, prompt } = question;
  if (prompt === "") {
    tell("Prompt should not be empty!");
    return;
  }
  const unread = unreadable(question);
  if (unread !== undefined) {
    tell(unread);
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

/** A request to the model: a prompt, and a seed if it is not the session's. */
export interface Ask {
  readonly prompt: string;
  readonly seed?: number;
}

/** Alternatives of each token kept for /why. */
const ALTERNATIVES = 5;

/** An interactive session: its steps, its settings, and how to go on. */
export class Session {
  #steps: Step[];
  #pin: string;
  /** The last sample written, and how likely its tokens were. */
  #explained: { readonly record: SampleRecord; readonly tokens: readonly DrawnToken[] } | undefined;
  readonly #candidateTokens = new WeakMap<SampleRecord, readonly DrawnToken[]>();

  constructor(
    readonly settings: Settings,
    readonly model: LoadedModel,
    private readonly output: Output,
    /** With --turns: the conversation. */
    readonly turns?: Turns,
    /** The file that keeps the session. */
    readonly file?: SessionFile,
  ) {
    const { steps, pin } = file?.state ?? { steps: [], pin: "" };
    this.#steps = [...steps];
    this.#pin = pin;
    this.#restoreTurns();
  }

  /** Text kept before every prompt, even when the context is full; "" for none. */
  get pin(): string {
    return this.#pin;
  }

  /** Steps that /undo can take back. */
  get length(): number {
    return this.#steps.length;
  }

  /** The last text with its prompt, which /more continues; undefined at the start. */
  get lastText(): string | undefined {
    const last = this.#steps.at(-1);
    return last && textOf(last);
  }

  /** The last sample; undefined if the last step has none. */
  get lastSample(): SampleRecord | undefined {
    return this.#steps.at(-1)?.samples.at(-1);
  }

  /** The last sample's tokens with their alternatives; undefined if another was written since. */
  get lastTokens(): readonly TokenLogprob[] | undefined {
    return this.#explained?.record === this.lastSample ? this.#explained?.tokens : undefined;
  }

  /** Answers a prompt; a note after each sample gives its speed, seed and ending. */
  async answer({ prompt, seed = this.settings.options.seed }: Ask, signal: AbortSignal): Promise<void> {
    const { model, output, settings, turns, pin } = this;
    if (prompt !== "") await this.#add({ prompt, samples: [] });
    const onSample: Run["onSample"] = async (record, seconds, tokens) => {
      this.#explained = { record, tokens };
      this.#change((step) => ({ ...step, samples: [...step.samples, record] }));
      note(`${showSpeed(record.tokens, seconds)}, seed ${record.seed}, ${ENDINGS[record.finish_reason]}`);
      if (!turns) await this.#keep();
    };
    await answer(settings.options, {
      ...{ model, output, seed, prompt, pin, turns, signal, onSample },
      explain: ALTERNATIVES,
    });
    if (!turns || prompt === "") return;
    this.#change((step) => ({ ...step, turns: turns.said.slice(-2) }));
    await this.#keep();
  }

  /** Makes a text the last one, which /more continues, as a step of its own. */
  async begin(text: string): Promise<void> {
    await this.#add({ prompt: text, samples: [] });
  }

  /** Undoes the last step. @throws UsageError if there is none */
  async undo(): Promise<Step> {
    const last = this.#steps.pop();
    if (!last) throw new UsageError("there is nothing to undo", { next: "type a prompt" });
    this.#restoreTurns();
    await this.#keep();
    return last;
  }

  /**
   * Undoes the last answer, to write it with another seed.
   * @param distance added to the seed: 1 for the next, -1 for the one before
   * @returns the request
   * @throws UsageError if there is no answer, or no such seed
   */
  async retry(distance: number): Promise<Ask> {
    const { lastSample } = this;
    if (!lastSample) throw new UsageError("there is no sample to write again", { next: "type a prompt" });
    const seed = lastSample.seed! + distance; // an answer is drawn
    if (seed < 0 || !Number.isSafeInteger(seed)) throw new UsageError(`there is no seed ${seed}`);
    const { prompt } = await this.undo();
    return { prompt, seed };
  }

  /**
   * Candidates for the last answer, or for the continuation of a loaded text: samples 1 to `count` of its seed.
   * @throws UsageError if there is nothing to continue
   */
  async candidates(count: number, signal: AbortSignal): Promise<SampleRecord[]> {
    const last = this.#steps.at(-1);
    if (!last) throw new UsageError("there is nothing to continue yet", { next: "type a prompt" });
    const { model, settings, pin } = this;
    const { options } = settings;
    const seed = this.lastSample?.seed ?? options.seed;
    const records: SampleRecord[] = [];
    const output: Sink = { closed: this.output.closed, write: async () => {} };
    await run(
      { ...options, nsamples: count, batch_size: count, format: "jsonl" },
      {
        ...{ model, output, layout: SAMPLE_HEADER, seed, pin, signal },
        prompt: last.prompt,
        explain: ALTERNATIVES,
        onSample: (record, _, tokens) => {
          records.push(record);
          this.#candidateTokens.set(record, tokens);
        },
      },
    );
    return records;
  }

  /** Makes a candidate the last answer, and prints it. */
  async take(record: SampleRecord): Promise<void> {
    this.#change((step) => ({ ...step, samples: [record] }));
    const tokens = this.#candidateTokens.get(record) ?? [];
    this.#explained = { record, tokens };
    await this.#keep();
    const { output } = this;
    const { format, color } = this.settings.options;
    if (format === "jsonl") return output.write(`${JSON.stringify(record)}\n`);
    await output.write(SAMPLE_HEADER.before(record.sample, 1));
    if (output.isPainted(color)) await paint(output, piecesOf(record.text, tokens));
    else await output.write(record.text);
    await output.write(`\n${CLOSING}`);
  }

  /** Pins a text; "" unpins it. */
  async setPin(text: string): Promise<void> {
    this.#pin = text;
    await this.#keep();
  }

  /** Begins a new conversation. */
  async forget(): Promise<void> {
    this.turns?.forget();
    this.#steps = this.#steps.map(({ prompt, samples }) => ({ prompt, samples }));
    await this.#keep();
  }

  /**
   * Writes prompts and samples to a new file: as they were shown or, if its name ends in .jsonl, in lines as of --format
   * jsonl.
   * @returns the number of samples written
   * @throws UserError when the file exists or cannot be written
   */
  async save(path: string): Promise<number> {
    const answered = this.#steps.filter(({ samples }) => samples.length > 0);
    const samples = answered.flatMap((step) => step.samples);
    const text = path.endsWith(".jsonl")
      ? samples.map((record) => `${JSON.stringify(record)}\n`)
      : answered.map(
          (step) =>
            `${PROMPT}${step.prompt}\n${step.samples
              .map(({ sample, text }) => `${SAMPLE_HEADER.before(sample, sample)}${text}\n`)
              .join("")}${CLOSING}`,
        );
    await writeNewFile(path, text.join(""));
    return samples.length;
  }

  async #add(step: Step): Promise<void> {
    this.#steps.push(step);
    await this.#keep();
  }

  #change(change: (last: Step) => Step): void {
    const last = this.#steps.pop();
    if (last) this.#steps.push(change(last));
  }

  /** Rebuilds the conversation from the steps. */
  #restoreTurns(): void {
    this.turns?.restore(this.#steps.flatMap(({ turns = [] }) => turns));
  }

  /** Writes the session's file. If that fails, warns; the session continues, and the old file is untouched. */
  async #keep(): Promise<void> {
    try {
      await this.file?.write({ steps: this.#steps, pin: this.#pin });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      tell(`warning: the session was not saved: ${error.message}; trying again after the next step`);
    }
  }
}
