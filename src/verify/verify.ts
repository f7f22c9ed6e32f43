import { basename } from "node:path";
import type { EngineOptions } from "../engines/create.js";
import { openCheckpoint } from "../formats/tensorflow/checkpoint.js";
import { openWeights } from "../formats/tfjs/read.js";
import { countParameters } from "../model/parameters.js";
import { catalogEntry } from "../models/catalog.js";
import { loadFolder, loadHparams } from "../models/folder.js";
import { listFolder } from "../system/files.js";
import { type Check, checksOf, type OnProgress } from "./check.js";
import { checkFiles, contentsOf } from "./files.js";
import type { KnownWeights } from "./known.js";
import { recognise } from "./recognise.js";
import { checkReference } from "./reference.js";
import { checkTensors, type Numbers } from "./tensors.js";
import { checkVocabulary } from "./vocabulary.js";

/** How a model is verified. */
export interface VerifyOptions extends Pick<EngineOptions, "backend" | "threads" | "gpu"> {
  /** For tests: instead of the weights that the program knows. */
  readonly known?: readonly KnownWeights[];
  /** Called with the progress of a longer piece of work, in bytes. */
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Checks whether a model folder is what it should be, from its files to what it computes. A failed check does not stop
 * the others, but those that depend on it are left out. Changes nothing.
 * @throws UserError when the folder cannot be read, or the backend is not available; the signal's reason on an abort
 */
export async function* verifyModel(folder: string, options: VerifyOptions = {}): AsyncGenerator<Check> {
  let hasFailed = false;
  for await (const check of parts(folder, options, () => hasFailed)) {
    hasFailed ||= check.result === "failed";
    yield check;
  }
}

async function* parts(
  folder: string,
  options: VerifyOptions,
  hasFailed: () => boolean,
): AsyncGenerator<Check> {
  const contents = contentsOf(await listFolder(folder));
  const expected = catalogEntry(basename(folder));
  yield* checkFiles(folder, contents, expected, options);

  const hparams = await loadHparams(folder).catch(() => undefined); // the file's own check said why
  let weights: Numbers | undefined;
  let checkpoint: Numbers | undefined;
  if (contents.hasWeights) {
    const open = () => openWeights(folder);
    weights = yield* checkTensors("weights", open, { ...options, hparams, rounded: false });
  }
  if (contents.hasCheckpoint) {
    const rounded = weights?.dtype === "float16";
    checkpoint = yield* checkTensors("checkpoint", () => openCheckpoint(folder), {
      ...options,
      hparams,
      rounded,
    });
  }
  if (!contents.hasWeights && !contents.hasCheckpoint) {
    yield checksOf("weights").failed("weights: tensors", "there is neither model.json nor a checkpoint");
  }
  if (weights && checkpoint) yield compareForms(weights, checkpoint);

  const vocabulary = await checkVocabulary(folder, hparams);
  yield vocabulary.check;

  const { isOpenAi } = vocabulary;
  const used = contents.hasWeights ? weights : checkpoint;
  const { known, checks, why } = recognise({ used, checkpoint, expected, isOpenAi }, options.known);
  yield* checks;

  const { leftOut } = checksOf("reference");
  if (!known) yield leftOut("reference results", why);
  else if (hasFailed()) yield leftOut("reference results", "not compared: fix what failed first");
  else yield* compute(folder, known, options);
}

/** Whether the converted weights hold the numbers of the checkpoint in the same folder. */
function compareForms(weights: Numbers, checkpoint: Numbers): Check {
  const { ok, failed } = checksOf("weights");
  const isRounded = weights.dtype === "float16";
  const wanted = isRounded ? checkpoint.rounded : checkpoint.fingerprint;
  const name = "weights: conversion";
  if (weights.fingerprint !== wanted) return failed(name, "they differ from the numbers of the checkpoint");
  return ok(name, `the numbers are the checkpoint's${isRounded ? ", rounded to float16" : ""}`);
}

/** Loads the model in float32 and compares what it computes. @throws UserError when nothing here can compute it */
async function* compute(
  folder: string,
  { reference }: KnownWeights,
  { backend, threads, gpu, onProgress, signal }: VerifyOptions,
): AsyncGenerator<Check> {
  const bytes = 4 * countParameters(await loadHparams(folder));
  const model = await loadFolder(folder, {
    backend,
    threads,
    gpu,
    precision: "float32",
    signal,
    onProgress: (done, total) => onProgress?.("loading", (bytes * done) / total, bytes), // done: values, or tensors
  });
  try {
    yield* checkReference(model, reference, signal);
  } finally {
    await model.engine.dispose();
  }
}
