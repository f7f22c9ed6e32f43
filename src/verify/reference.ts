import type { Engine } from "../model/engine.js";
import type { LoadedModel } from "../models/folder.js";
import { logProbability } from "../sampling/logprobs.js";
import { promptIds } from "../sampling/prompt.js";
import { sample } from "../sampling/sample.js";
import { type Check, checksOf } from "./check.js";

/** What other programs computed with a model, in float32 or better. */
export interface Reference {
  /** Always the likeliest token. */
  readonly continuations: readonly {
    readonly prompt: string;
    readonly ids: readonly number[];
    readonly source: string;
  }[];
  readonly logits: readonly {
    readonly ids: readonly number[];
    /** After which of the ids, counted from 0. */
    readonly position: number;
    /** For tokens 0, 1, 2, ... */
    readonly values: readonly number[];
    /** Of all values at all positions, where it is known. */
    readonly mean?: number;
    readonly tolerance: number;
    readonly source: string;
  }[];
  /** The natural logarithm of a token's probability after a prompt; after "" it begins a text. */
  readonly logprobs: readonly {
    readonly prompt: string;
    readonly token: string;
    readonly logprob: number;
    readonly tolerance: number;
    readonly source: string;
  }[];
}

const { ok, failed } = checksOf("reference");

/** A text in quotes, short enough for its column. */
function quote(text: string): string {
  return JSON.stringify(text.length > 24 ? `${text.slice(0, 21)}...` : text);
}

/**
 * Compares what a model computes with what other programs computed with it.
 * @throws the signal's reason on an abort
 */
export async function* checkReference(
  model: LoadedModel,
  { continuations, logits, logprobs }: Reference,
  signal?: AbortSignal,
): AsyncGenerator<Check> {
  const { engine, encoder } = model;
  const idsOf = (prompt: string): readonly number[] => promptIds(model, prompt, { onNotice: () => {} });
  for (const { prompt, ids, source } of continuations) {
    const found = await continuation(engine, idsOf(prompt), ids.length, signal);
    signal?.throwIfAborted();
    const at = ids.findIndex((id, i) => found[i] !== id);
    if (at < 0) {
      yield ok(quote(prompt), `continues with the same ${ids.length} tokens as ${source}`);
      continue;
    }
    const show = (id: number | undefined): string =>
      id === undefined ? "nothing" : `${id} (${JSON.stringify(encoder.decode([id]))})`;
    const difference = `token ${at + 1} is ${show(found[at])}, not ${show(ids[at])}`;
    yield failed(quote(prompt), `continues differently from ${source}: ${difference}`);
  }
  for (const { ids, position, values, mean, tolerance, source } of logits) {
    signal?.throwIfAborted();
    const rows = await allLogits(engine, ids);
    const { n_vocab } = engine.hparams;
    const pairs = values.map((wanted, i) => ({
      what: `logit ${i}`,
      wanted,
      found: rows[position * n_vocab + i],
    }));
    if (mean !== undefined) {
      const sum = rows.reduce((total, logit) => total + logit, 0);
      pairs.push({ what: "the mean of all logits", wanted: mean, found: sum / rows.length });
    }
    yield compare(`logits at position ${position}`, pairs, tolerance, source);
  }
  for (const { prompt, token, logprob, tolerance, source } of logprobs) {
    signal?.throwIfAborted();
    const ids = idsOf(prompt);
    const rows = await allLogits(engine, ids);
    const last = rows.subarray(-engine.hparams.n_vocab); // [n_vocab]
    const [id] = encoder.encode(token);
    const where = prompt === "" ? "at the beginning" : `after ${quote(prompt)}`;
    const pair = { what: "it", wanted: logprob, found: logProbability(last, id) };
    yield compare(`log P(${JSON.stringify(token)}) ${where}`, [pair], tolerance, source);
  }
}

/** The ids that the sampling core generates at temperature 0. */
async function continuation(
  engine: Engine,
  prompt: readonly number[],
  length: number,
  signal?: AbortSignal,
): Promise<number[]> {
  const written: number[] = [];
  const push = (id: number): string => {
    written.push(id);
    return "";
  };
  // With no end-of-text id, that token counts like any other.
  const decoding = { decoder: () => ({ push, end: () => "" }) };
  const options = { seed: 0, nsamples: 1, batch_size: 1, temperature: 0, top_k: 0, top_p: 1, length, signal };
  for await (const event of sample(engine, decoding, prompt, options)) if (event.type === "end") break;
  return written;
}

/** The logits after each of the ids: [ids.length, n_vocab], a copy. */
async function allLogits(engine: Engine, ids: readonly number[]): Promise<Float32Array> {
  const sequence = engine.createSequence();
  try {
    const [logits] = await engine.forward([{ sequence, ids }], "all");
    return logits.slice();
  } finally {
    engine.free(sequence);
  }
}

function compare(
  check: string,
  pairs: readonly { what: string; wanted: number; found: number }[],
  tolerance: number,
  source: string,
): Check {
  const off = pairs.map(({ wanted, found }) => Math.abs(found - wanted));
  const wrong = pairs.find((_, i) => !(off[i] <= tolerance)); // a NaN is wrong
  if (wrong) {
    const { what, wanted, found } = wrong;
    const detail = `${what} is ${found.toFixed(5)}, where ${source} has ${wanted}`;
    return failed(check, `${detail}: more than ${tolerance} apart`);
  }
  const most = Math.max(...off).toExponential(1);
  return ok(check, `at most ${most} from ${source} (${tolerance} is allowed)`);
}
