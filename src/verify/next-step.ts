import { basename } from "node:path";
import { findModel } from "../models/catalog.js";
import { describeModel } from "../models/store.js";
import type { Check } from "./check.js";

/** What to do about the checks of a model folder that failed: words that end a message. */
export function nextStep(folder: string, checks: readonly Check[]): string {
  const failed = new Set(checks.filter(({ result }) => result === "failed").map(({ part }) => part));
  const isOnly = (...parts: Check["part"][]): boolean => [...failed].every((part) => parts.includes(part));
  if (isOnly("reference")) {
    return "the files are right and what is computed is not: see whether another --backend does better";
  }
  if (describeModel(folder)?.isPackaged) return "the model is a part of the program: install gpt2 again";
  const hasCheckpoint = checks.some(({ part, result }) => part === "checkpoint" && result === "ok");
  if (failed.has("weights") && isOnly("weights", "recognition") && hasCheckpoint) {
    return `the checkpoint is right: gpt2 convert ${quote(folder)} makes the weights anew`;
  }
  const expected = findModel(basename(folder));
  const remove = `gpt2 models rm ${quote(folder)}`;
  if (!expected) {
    return `put right what it names, or remove the model with ${remove} and import, convert or train it again`;
  }
  const download = `gpt2 download ${expected.name}`;
  // Where it knows no sha256, a download takes a file of the right size for good.
  const isSeen = expected.files["model.ckpt.data-00000-of-00001"]?.sha256 !== undefined;
  if (isSeen || !failed.has("checkpoint")) return `${download} fetches what is missing or damaged`;
  return `remove it with ${remove} and fetch it again with ${download}`;
}

/** A path as a shell takes it. */
function quote(path: string): string {
  return /^[\w./\\:~-]+$/.test(path) ? path : JSON.stringify(path);
}
