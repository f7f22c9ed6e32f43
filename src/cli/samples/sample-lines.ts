import { createReadStream } from "node:fs";
import { isObject, isSize, tryJson } from "../../system/json.js";
import type { SampleRecord } from "./sink.js";

/** How every line of jsonl begins that the program writes. */
const BEGINNING = Buffer.from('{"sample":');

/** What tells samples in a jsonl file apart. */
export type SampleLine = Pick<SampleRecord, "sample" | "prompt_number" | "seed" | "prompt">;

/**
 * A line of a file of samples, and its bytes [start, end), newline included.
 * - sample: a complete sample
 * - begun: a sample that was interrupted, to be written again
 * - odd: anything else
 */
export type Line = { readonly start: number; readonly end: number } & (
  | { readonly kind: "sample"; readonly sample: SampleLine }
  | { readonly kind: "begun" | "odd" }
);

/** A line's sample; "interrupted" if it was stopped before its end; undefined if it is not a sample. */
function parseSample(text: string): SampleLine | "interrupted" | undefined {
  const line = tryJson(text);
  if (!isObject(line)) return undefined;
  const isSample =
    isSize(line["sample"]) &&
    line["sample"] >= 1 &&
    (line["seed"] === undefined || Number.isSafeInteger(line["seed"])) &&
    typeof line["prompt"] === "string" &&
    typeof line["text"] === "string" &&
    typeof line["finish_reason"] === "string";
  if (!isSample) return undefined;
  return line["finish_reason"] === "interrupted" ? "interrupted" : (line as unknown as SampleLine);
}

/** The lines of a file of samples, in order; the last may lack its newline. */
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
