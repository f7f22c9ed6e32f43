import { createHash } from "node:crypto";
import type { LoadedModel } from "../../models/folder.js";
import { BEAM_OPTIONS, SAMPLING_OPTIONS, type SamplingOption } from "../../sampling/options.js";
import { UserError } from "../../system/errors.js";
import { readSmallFileIfThere, replaceFile } from "../../system/files.js";
import type { GeneratingOptions } from "../options/sampling.js";

/** A value that an option has in a record. */
type Value = string | number | boolean | readonly string[];
/** Options that decide a sample's text, by their names. */
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

const OPTIONS = { ...SAMPLING_OPTIONS, ...BEAM_OPTIONS };

/** The options that decide a text, where they are not what they are by default. */
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
 * A model's fingerprint as far as texts go: of its vocabulary, and of the logits that it computes for a few tokens.
 * Unlike a checksum of its files it is the same in every format and for every engine that computes the same, costs
 * no second reading of the weights, and differs where a precision or another engine makes other texts.
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
    // Not JSON: refused below, like a text of any other kind.
  }
  throw new UserError(`${path} is not a record written by --resume`, { next });
}

/** Writes the record beside a file of samples. */
export async function writeRecord(samples: string, record: ResumeRecord): Promise<void> {
  await replaceFile(recordPath(samples), `${JSON.stringify(record, undefined, 2)}\n`);
}

/** A value for people: that of an option which was not given is the one in --help. */
function show(name: string, value: Value | undefined): string {
  const initial = (OPTIONS as Readonly<Record<string, SamplingOption | undefined>>)[name]?.initial;
  return value === undefined && initial === undefined ? "not given" : JSON.stringify(value ?? initial);
}

/** In words, the options that differ; undefined where none does. */
export function differences(before: Deciding, now: Deciding): string | undefined {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  const different = [...names].filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]));
  if (different.length === 0) return undefined;
  return different
    .map((name) => `${name} was ${show(name, before[name])}, is ${show(name, now[name])}`)
    .join("; ");
}
