import { findModel, type KnownModel } from "../download/catalog.js";
import { type Check, checksOf } from "./check.js";
import { OPENAI_117M } from "./openai-117M.js";
import type { Reference } from "./reference.js";
import type { Numbers } from "./scan.js";

/** Weights that are recognised by their numbers. */
export interface KnownWeights {
  /** As in "these are OpenAI's 117M weights". */
  readonly title: string;
  /** What src/verify/fingerprint.ts makes of them. */
  readonly fingerprint: string;
  /** They were trained with OpenAI's vocabulary. */
  readonly isOpenAi: boolean;
  /** What they are known to compute. */
  readonly reference: Reference;
}

/** Of the larger models no checksums or results were found. */
const KNOWN_WEIGHTS: readonly KnownWeights[] = [
  {
    title: "OpenAI's 117M",
    fingerprint: findModel("117M")?.fingerprint ?? "",
    isOpenAi: true,
    reference: OPENAI_117M,
  },
];

/** What is known of a folder once its files have been read. */
export interface Found {
  /** The numbers that the program computes with; undefined where something is wrong with them. */
  readonly used: Numbers | undefined;
  readonly checkpoint: Numbers | undefined;
  /** The model that the folder's name promises. */
  readonly expected: KnownModel | undefined;
  /** The vocabulary is OpenAI's. */
  readonly isOpenAi: boolean;
}

/** Says whose weights these are, going by their numbers alone, and whether the folder's name promises others. */
export function recognise(
  { used, checkpoint, expected, isOpenAi }: Found,
  all: readonly KnownWeights[] = KNOWN_WEIGHTS,
): { known?: KnownWeights; checks: Check[] } {
  const { ok, failed, leftOut } = checksOf("recognition");
  const name = "recognition";
  if (!used) return { checks: [leftOut(name, "something is wrong with the weights")] };
  const known = all.find(({ fingerprint }) => fingerprint === used.fingerprint);
  if (known) {
    const checks = [ok(name, `these are ${known.title} weights`)];
    if (known.isOpenAi && !isOpenAi) {
      checks.push(failed("recognition: vocabulary", `${known.title} needs OpenAI's, and this is another`));
    }
    return { known, checks };
  }
  if (!expected) {
    const titles = all.map(({ title }) => title).join(", ");
    return { checks: [leftOut(name, `these are not the weights of ${titles}, the only ones it knows`)] };
  }
  const owner = `OpenAI's ${expected.name}`;
  if (expected.fingerprint === undefined) {
    return { checks: [leftOut(name, `no checksum of the numbers of ${owner} is known`)] };
  }
  if (used.dtype === "float32") {
    return { checks: [failed(name, `the folder has the name of ${owner} and other numbers in it`)] };
  }
  if (checkpoint?.fingerprint === expected.fingerprint) {
    return { checks: [ok(name, `these are ${owner} weights, rounded to ${used.dtype}`)] };
  }
  return {
    checks: [leftOut(name, `${used.dtype} numbers are rounded, so that ${owner} is not known by them`)],
  };
}
