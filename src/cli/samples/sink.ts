import type { LoadedModel } from "../../models/folder.js";
import type { FinishReason } from "../../sampling/continuation.js";
import type { TokenLogprob } from "../../sampling/logprobs.js";
import type { ColorWhen } from "../terminal/paint.js";

/** How a command's text output looks around the samples. */
export interface Layout {
  /** Printed before each sample: its number in the seed's stream and its position in this run, both from 1. */
  before(number: number, position: number): string;
  /** Printed after each sample's text, whose line has been ended. */
  after?(number: number): string;
}

/** The originals' header: 40 `=`, ` SAMPLE n `, 40 `=`. */
export const SAMPLE_HEADER: Layout = {
  before: (number) => `${"=".repeat(40)} SAMPLE ${number} ${"=".repeat(40)}\n`,
};

/** Where samples go: standard output, or files. */
export interface Sink {
  /** Aborted when nothing more can be written. */
  readonly closed: AbortSignal;
  write(text: string): Promise<void>;
  /** Whether `--color` paints what is written here; undefined: never. */
  isPainted?(when: ColorWhen): boolean;
  /** Writes text in the colours of a level of probability. */
  paint?(text: string, level: number): Promise<void>;
  /** Called before a sample's first text; `position` in this run counts from 1. */
  begin?(position: number): Promise<void>;
  /** Called when all of a sample was written. */
  end?(position: number, reason: FinishReason): Promise<void>;
}

/** What is known of a sample that has ended: a line of --format jsonl. */
export interface SampleRecord {
  /** Counts from 1. */
  readonly sample: number;
  /** Where the prompt stands in its file: --prompts. */
  readonly prompt_number?: number;
  /** Undefined where nothing was drawn: of a beam search. */
  readonly seed?: number;
  readonly prompt: string;
  readonly text: string;
  /** New tokens, the end-of-text token not counted. */
  readonly tokens: number;
  readonly finish_reason: FinishReason;
  /** What a beam search ranked it by. */
  readonly score?: number;
  /** Its tokens, where --logprobs asks for them. */
  readonly token_logprobs?: readonly TokenLogprob[];
}

/** A sink of one run's own, which is closed at its end however that comes. */
export interface OwnSink extends Sink {
  close(): Promise<void>;
  /** Called before the first sample. @throws UserError when the model's samples do not belong here */
  accept?(model: LoadedModel): Promise<void>;
  /** Of a file that is gone on with: the numbers, from 0, of the samples that it holds, and their seed. */
  readonly done?: ReadonlySet<number>;
  readonly seed?: number;
}
