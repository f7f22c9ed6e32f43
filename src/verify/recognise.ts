import type { KnownModel } from "../models/catalog.js";
import { type Check, checksOf } from "./check.js";
import { KNOWN_WEIGHTS, type KnownWeights } from "./known.js";
import type { Numbers } from "./tensors.js";

/** What is known about a folder once its files have been read. */
export interface Findings {
  /** The numbers that the program computes with; undefined if something is wrong with them. */
  readonly used: Numbers | undefined;
  readonly checkpoint: Numbers | undefined;
  /** The model that the folder's name promises. */
  readonly expected: KnownModel | undefined;
  /** Whether the vocabulary is OpenAI's. */
  readonly isOpenAi: boolean;
}

/** What recognise() found. */
export interface Recognised {
  readonly known?: KnownWeights;
  readonly checks: readonly Check[];
  /** Why there are no results to compare with, for weights that are not known. */
  readonly why: string;
}

/** Recognises weights by their numbers alone, and notices when the folder's name promises others. */
export function recognise(
  { used, checkpoint, expected, isOpenAi }: Findings,
  all: readonly KnownWeights[] = KNOWN_WEIGHTS,
): Recognised {
  const { ok, failed, leftOut } = checksOf("recognition");
  const name = "recognition";
  const titles = new Intl.ListFormat("en").format(all.map(({ title }) => title));
  const why = `there are reference results for ${titles} only`;
  if (!used) return { checks: [leftOut(name, "something is wrong with the weights")], why };
  const known = all.find(({ fingerprint }) => fingerprint === used.fingerprint);
  if (known) {
    const checks = [ok(name, `these are the weights of ${known.title}`)];
    if (known.isOpenAi && !isOpenAi) {
      checks.push(
        failed("recognition: vocabulary", `${known.title} needs OpenAI's vocabulary, and this is another`),
      );
    }
    return { known, checks, why };
  }
  if (!expected) {
    return { checks: [leftOut(name, `these are not the weights of ${titles}`)], why };
  }
  const owner = `OpenAI's ${expected.name}`;
  if (expected.fingerprint === undefined) {
    return { checks: [leftOut(name, `the checksums of ${owner} are not known`)], why };
  }
  if (used.dtype === "float32") {
    const detail = `the folder is named after ${owner}, and holds other weights`;
    return { checks: [failed(name, detail)], why };
  }
  const rounded = `they are for float32, and these weights are rounded to ${used.dtype}`;
  if (checkpoint?.fingerprint === expected.fingerprint) {
    return {
      checks: [ok(name, `these are the weights of ${owner}, rounded to ${used.dtype}`)],
      why: rounded,
    };
  }
  const detail = `numbers rounded to ${used.dtype} do not show whether they were those of ${owner}`;
  return { checks: [leftOut(name, detail)], why: rounded };
}
