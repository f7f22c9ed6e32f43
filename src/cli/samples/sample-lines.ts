import { createReadStream } from "node:fs";

/** What every line begins with that the program writes as jsonl. */
const BEGINNING = Buffer.from('{"sample":');

/** A sample that a file of jsonl holds. */
export interface SampleLine {
  /** Counts from 1. */
  readonly sample: number;
  /** Where the prompt stands in its file; undefined where there is one prompt alone. */
  readonly prompt_number?: number;
  /** Undefined where nothing was drawn: of a beam search. */
  readonly seed?: number;
  readonly prompt: string;
}

/**
 * A line of a file of samples, and its bytes [start, end) with the newline.
 * - sample: whole
 * - begun: one of ours that an interruption left: it is written again
 * - odd: anything else
 */
export type Line = { readonly start: number; readonly end: number } & (
  | { readonly kind: "sample"; readonly sample: SampleLine }
  | { readonly kind: "begun" | "odd" }
);

/** The sample of a line; undefined where it is none, "interrupted" where it was stopped before its end. */
function parseSample(text: string): SampleLine | "interrupted" | undefined {
  try {
    const line = JSON.parse(text) as Partial<SampleLine & { finish_reason: string; text: string }> | null;
    const isSample =
      Number.isSafeInteger(line?.sample) &&
      line!.sample! >= 1 &&
      (line!.seed === undefined || Number.isSafeInteger(line!.seed)) &&
      typeof line!.prompt === "string" &&
      typeof line!.text === "string" &&
      typeof line!.finish_reason === "string";
    if (!isSample) return undefined;
    return line!.finish_reason === "interrupted" ? "interrupted" : (line as SampleLine);
  } catch {
    return undefined;
  }
}

/** The lines of a file of samples, in order; of them at most the last has no newline. */
export async function* sampleLines(path: string): AsyncGenerator<Line> {
  let rest: Buffer[] = [];
  let start = 0;
  for await (const chunk of createReadStream(path)) {
    const bytes = chunk as Buffer;
    let from = 0;
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
      const line = Buffer.concat([...rest, bytes.subarray(from, at)]);
      rest = [];
      from = at + 1;
      const end = start + line.length + 1;
      const sample = parseSample(line.toString("utf8"));
      if (sample === "interrupted") yield { start, end, kind: "begun" };
      else if (sample) yield { start, end, kind: "sample", sample };
      else yield { start, end, kind: "odd" };
      start = end;
    }
    if (from < bytes.length) rest.push(bytes.subarray(from));
  }
  if (rest.length === 0) return;
  const last = Buffer.concat(rest);
  const isOurs = last.subarray(0, BEGINNING.length).equals(BEGINNING.subarray(0, last.length));
  yield { start, end: start + last.length, kind: isOurs ? "begun" : "odd" };
}
