import { createHash } from "node:crypto";
import type { LoadedModel } from "../../models/folder.js";
import { BEAM_OPTIONS, SAMPLING_OPTIONS, type SamplingOption } from "../../sampling/options.js";
import { UserError } from "../../system/errors.js";
import { readSmallFileIfThere, replaceFile } from "../../system/files.js";
import { tryJson } from "../../system/json.js";
import type { GeneratingOptions } from "../options/sampling.js";

/** An option's value in a record. */
type Value = string | number | boolean | readonly string[];
/** Options that determine a sample's text, by name. */
export type Deciding = Readonly<Record<string, Value>>;

/** What determined the texts of a file's samples, besides their prompt and seed. */
export interface ResumeRecord {
  readonly options: Deciding;
  /** See markOf(). */
  readonly model: string;
}

const RECORD_BYTES = 1_000_000;

/** The next step for a file of --resume that this run cannot use. */
export const ANOTHER_FILE = "choose another file for --resume";

/** The path of the record for a file of samples. */
export const recordPath = (samples: string): string => `${samples}.run.json`;

const OPTIONS = { ...SAMPLING_OPTIONS, ...BEAM_OPTIONS };

/** The options that determine a text and are not at their defaults. */
export function decidingOptions(options: GeneratingOptions): Deciding {
  const deciding: Record<string, Value> = {};
  for (const name of Object.keys(OPTIONS) as (keyof typeof OPTIONS)[]) {
    const { keepsText, initial }: SamplingOption = OPTIONS[name];
    const value = options[name];
    if (keepsText || value === undefined || value === initial) continue;
    if (typeof value !== "object") deciding[name] = value;
    else if ("entries" in value && value instanceof Map) {
      const biases = [...value].sort(([a], [b]) => a - b);
      if (biases.length > 0) deciding[name] = biases.map(([id, bias]) => `${id}=${bias}`);
    } else if ((value as readonly string[]).length > 0)
      deciding[name] = [...(value as readonly string[])].sort();
  }
  return deciding;
}

/**
 * A model's fingerprint: the hash of its vocabulary and of the logits that it computes for a few tokens. Unlike a
 * checksum of the files, it is the same in every format and every engine that computes the same numbers, differs where
 * an engine or precision gives other texts, and needs no second reading of the weights.
 */
export async function markOf({ engine, encoder }: LoadedModel): Promise<string> {
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
 * Reads the record beside a file of samples; undefined if there is none.
 * @throws UserError when the file of that name is something else
 */
export async function readRecord(samples: string): Promise<ResumeRecord | undefined> {
  const path = recordPath(samples);
  const json = await readSmallFileIfThere(path, RECORD_BYTES, ANOTHER_FILE);
  if (!json) return undefined;
  const record = tryJson(json.toString("utf8")) as Partial<ResumeRecord> | null | undefined;
  if (typeof record?.options === "object" && record.options && typeof record.model === "string")
    return record as ResumeRecord;
  throw new UserError(`${path} is not a record written by --resume`, { next: ANOTHER_FILE });
}

/** Writes the record beside a file of samples. */
export async function writeRecord(samples: string, record: ResumeRecord): Promise<void> {
  await replaceFile(recordPath(samples), `${JSON.stringify(record, undefined, 2)}\n`);
}

/** An option's value for a message; the default if it was not given. */
function show(name: string, value: Value | undefined): string {
  const initial = (OPTIONS as Readonly<Record<string, SamplingOption | undefined>>)[name]?.initial;
  return value === undefined && initial === undefined ? "not given" : JSON.stringify(value ?? initial);
}

/** The options that differ, in words; undefined if none do. */
export function differences(before: Deciding, now: Deciding): string | undefined {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  const different = [...names].filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]));
  if (different.length === 0) return undefined;
  return different
    .map((name) => `${name} was ${show(name, before[name])}, is ${show(name, now[name])}`)
    .join("; ");
}
