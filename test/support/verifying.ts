import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sizeOf } from "../../dist/src/model/parameters.js";
import type { WeightSource } from "../../dist/src/model/weight-source.js";
import { convert } from "../../dist/src/models/convert.js";
import { openModel } from "../../dist/src/models/folder.js";
import type { Check } from "../../dist/src/verify/check.js";
import type { KnownWeights } from "../../dist/src/verify/known.js";
import type { Reference } from "../../dist/src/verify/reference.js";
import { type VerifyOptions, verifyModel } from "../../dist/src/verify/verify.js";
import { MICRO } from "./models.js";
import { TEMPORARY } from "./spawn.js";
import { slowCrc32c } from "./write-checkpoint.js";

export const DATA = "model.ckpt.data-00000-of-00001";

let count = 0;
/** A folder of a name that no other test has; `name` is its last part. */
export const fresh = (name = "model"): string => join(TEMPORARY, `verify-${count++}`, name);

/** A copy of the micro model. */
export function copyMicro(name?: string): string {
  const folder = fresh(name);
  cpSync(MICRO.folder, folder, { recursive: true });
  return folder;
}

/** A copy of micro with converted weights beside the checkpoint, or instead of it. */
export async function converted(dtype: "float32" | "float16", withCheckpoint = true): Promise<string> {
  const folder = copyMicro();
  await convert(folder, { dtype });
  if (!withCheckpoint)
    for (const end of ["index", "meta", DATA.slice(11)]) rmSync(join(folder, `model.ckpt.${end}`));
  return folder;
}

/** A source whose values are changed on their way. */
export function changed(
  source: WeightSource,
  change: (name: string, values: Float32Array) => void,
): WeightSource {
  const { path, tensors } = source;
  const read = async (name: string, target: Float32Array): Promise<void> => {
    await source.read(name, target);
    change(name, target);
  };
  return { path, tensors, read, close: () => source.close() };
}

/** Flips a bit of the byte at a place of a file; from its end where that is negative. */
export function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at < 0 ? bytes.length + at : at]! ^= 1;
  writeFileSync(path, bytes);
}

/** All checks of a folder, by their names. */
export async function verified(folder: string, options: VerifyOptions = {}): Promise<Map<string, Check>> {
  const checks = new Map<string, Check>();
  for await (const check of verifyModel(folder, options)) {
    assert.ok(!checks.has(check.check), `two checks are called ${check.check}`);
    assert.doesNotMatch(check.detail, /\n|undefined|NaN bytes|\[object/, check.check);
    checks.set(check.check, check);
  }
  return checks;
}

/** The names of the checks with this result. */
export const named = (checks: ReadonlyMap<string, Check>, result: Check["result"]): string[] =>
  [...checks.values()].filter((check) => check.result === result).map(({ check }) => check);

/** The fingerprint from its definition: CRC-32C bit by bit over the values that read() gives. */
export async function slowFingerprint(folder: string): Promise<string> {
  const source = await openModel(folder);
  const lines: string[] = [];
  for (const [name, { shape }] of source.tensors) {
    const values = new Float32Array(sizeOf(shape));
    await source.read(name, values);
    const bytes = Buffer.alloc(4 * values.length);
    for (const [i, value] of values.entries()) bytes.writeFloatLE(value, 4 * i);
    lines.push(`${name} ${slowCrc32c(bytes).toString(16).padStart(8, "0")}\n`);
  }
  await source.close();
  return createHash("sha256").update(lines.sort().join("")).digest("hex");
}

/** What the float64 reference computed with micro, in the form of published results. */
export function microReference(): Reference {
  const { prompts, sequences, texts } = MICRO.expected;
  const source = "the test's reference";
  const [single] = sequences; // one id: its mean is that of all logits
  const text = texts.find(({ ids }) => ids.length > 1)!;
  return {
    continuations: prompts
      .filter(({ prompt }) => prompt !== "")
      .map(({ prompt, greedy_ids }) => ({ prompt, ids: greedy_ids, source })),
    logits: [
      ...sequences.slice(1).map(({ ids, last_logits_first_16 }) => ({
        ids,
        position: ids.length - 1,
        values: last_logits_first_16,
        tolerance: 1e-3,
        source,
      })),
      {
        ids: single!.ids,
        position: 0,
        values: single!.last_logits_first_16,
        mean: single!.last_logits_mean,
        tolerance: 1e-3,
        source,
      },
    ],
    logprobs: [
      { prompt: "", token: text.text.slice(0, 1), logprob: text.logprobs[0]!, tolerance: 1e-4, source },
    ],
  };
}

/** Micro's weights as weights that are known. */
export async function knownMicro(reference = microReference()): Promise<KnownWeights[]> {
  const fingerprint = await slowFingerprint(MICRO.folder);
  return [{ title: "the micro model", fingerprint, isOpenAi: false, reference }];
}
