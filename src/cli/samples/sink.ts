import type { LoadedModel } from "../../models/folder.js";
import type { FinishReason } from "../../sampling/continuation.js";
import type { TokenLogprob } from "../../sampling/logprobs.js";
import type { ColorWhen } from "../terminal/paint.js";

/** The text that a command prints around samples. */
export interface Layout {
  /** Printed before each sample: its number in the seed's stream and its position in this run, both from 1. */
  before(number: number, position: number): string;
  /** Printed after each sample's text and its newline. */
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
  /** Whether `--color` colours what is written here; undefined: never. */
  isPainted?(when: ColorWhen): boolean;
  /** Writes text in the colours of a level of probability. */
  paint?(text: string, level: number): Promise<void>;
  /** Called before a sample's first text; `position` in this run counts from 1. */
  begin?(position: number): Promise<void>;
  /** Called after all of a sample was written. */
  end?(position: number, reason: FinishReason): Promise<void>;
}

/** A finished sample, as a line of --format jsonl shows it. */
export interface SampleRecord {
  /** Counts from 1. */
  readonly sample: number;
  /** With --prompts: the prompt's number in its file. */
  readonly prompt_number?: number;
  /** Undefined for a beam search, which draws nothing. */
  readonly seed?: number;
  readonly prompt: string;
  readonly text: string;
  /** New tokens, without the end-of-text token. */
  readonly tokens: number;
  readonly finish_reason: FinishReason;
  /** What a beam search ranked it by. */
  readonly score?: number;
  /** Its tokens, with --logprobs. */
  readonly token_logprobs?: readonly TokenLogprob[];
}

/** A sink that belongs to one run and is closed however the run ends. */
export interface OwnSink extends Sink {
  close(): Promise<void>;
  /** Called before the first sample. @throws UserError when this model's samples do not belong here */
  accept?(model: LoadedModel): Promise<void>;
  /** For a file being continued: the numbers, from 0, of the samples it holds, and their seed. */
  readonly done?: ReadonlySet<number>;
  readonly seed?: number;
}
