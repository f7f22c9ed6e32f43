import { createHash } from "node:crypto";
import type { Model } from "../../models/load.js";
import { UserError } from "../../system/errors.js";
import { readSmallFileIfThere, replaceFile } from "../../system/files.js";
import type { GeneratingOptions } from "../options/sampling.js";

/** A value that an option has in a record. */
type Value = string | number | boolean | null | readonly string[];
/** Every option that decides a sample's text, by its name. */
export type Deciding = Readonly<Record<string, Value>>;

/** What decided the texts of a file's samples, beside their prompt and seed. */
export interface ResumeRecord {
  readonly options: Deciding;
  /** See markOf(). */
  readonly model: string;
}

const RECORD_BYTES = 1_000_000;

/** Where the record of a file of samples lies. */
export const recordPath = (samples: string): string => `${samples}.run.json`;

/** The options that decide a text. Not those that say which samples are written, how many at once, or where. */
export function decidingOptions(options: GeneratingOptions): Deciding {
  const { length, temperature, top_k, top_p, min_p, repetition_penalty, stop, ignore_eos } = options;
  const biases = [...options.logit_bias].sort(([a], [b]) => a - b);
  return {
    length: length ?? null,
    temperature,
    top_k,
    top_p,
    min_p,
    repetition_penalty,
    logit_bias: biases.map(([id, bias]) => `${id}=${bias}`),
    stop: [...stop].sort(),
    ignore_eos: ignore_eos === true,
  };
}

/**
 * A model's fingerprint as far as texts go: of its vocabulary, and of the logits that it computes for a few tokens.
 * Unlike a checksum of its files it is the same in every format and for every engine that computes the same, costs
 * no second reading of the weights, and differs where a precision or fast math makes other texts.
 */
export async function markOf({ engine, encoder }: Model): Promise<string> {
  const { n_vocab, n_ctx } = engine.hparams;
  const ids = Array.from({ length: Math.min(16, n_ctx) }, (_, i) => Math.floor((i * n_vocab) / 16));
  const sequence = engine.createSequence();
  try {
    const [logits] = await engine.forward([{ sequence, ids }], "last");
    const hash = createHash("sha256").update(encoder.decode(Array(n_vocab).keys()));
    return hash.update(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength)).digest("hex");
  } finally {
    engine.free(sequence);
  }
}

/**
 * Reads the record beside a file of samples; undefined where there is none.
 * @throws UserError when the file of that name is something else
 */
export async function readRecord(samples: string): Promise<ResumeRecord | undefined> {
  const path = recordPath(samples);
  const next = "choose another file for --resume";
  const json = await readSmallFileIfThere(path, RECORD_BYTES, next);
  if (!json) return undefined;
  try {
    const record = JSON.parse(json.toString("utf8")) as Partial<ResumeRecord> | null;
    if (typeof record?.options === "object" && record.options && typeof record.model === "string")
      return record as ResumeRecord;
  } catch {
    // The same as any other text.
  }
  throw new UserError(`${path} is not what --resume writes there: ${next}`);
}

/** Writes the record beside a file of samples. */
export async function writeRecord(samples: string, record: ResumeRecord): Promise<void> {
  await replaceFile(recordPath(samples), `${JSON.stringify(record, undefined, 2)}\n`);
}

const show = (value: Value | undefined): string =>
  value === null || value === undefined || (Array.isArray(value) && value.length === 0)
    ? "not given"
    : JSON.stringify(value);

/** In words, the options that differ; undefined where none does. */
export function differences(before: Deciding, now: Deciding): string | undefined {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  const different = [...names].filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]));
  if (different.length === 0) return undefined;
  return different.map((name) => `${name} was ${show(before[name])}, is ${show(now[name])}`).join("; ");
}
