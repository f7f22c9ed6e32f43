import assert from "node:assert/strict";
import { join } from "node:path";
import { assertDone, gpt2, TEMPORARY } from "../../support/spawn.js";
import { contents } from "./folders.js";

export type Dtype = "float32" | "float16";
export const DTYPES: readonly Dtype[] = ["float32", "float16"];
export const isWeights = (name: string): boolean => /^model\.json$|^group1-shard\d+of\d+\.bin$/.test(name);
/** What a process that is ended by force may leave, until the next one tidies. */
export const isLeftover = (name: string): boolean =>
  /\.part(\.json)?$|^\.(download|writing)\.lock/.test(name);
const pick = (files: Record<string, string>, test: (name: string) => boolean): Record<string, string> =>
  Object.fromEntries(Object.entries(files).filter(([name]) => test(name)));

/** A model with a checkpoint, and what converting it undisturbed gives. */
export interface Original {
  readonly folder: string;
  readonly weights: Record<Dtype, Record<string, string>>;
}

export async function original(folder: string, name: string): Promise<Original> {
  const weights = { float32: {}, float16: {} };
  for (const dtype of DTYPES) {
    const out = join(TEMPORARY, `${name}-${dtype}`);
    assertDone(await gpt2(["convert", folder, "--out", out, "--dtype", dtype]));
    weights[dtype] = pick(contents(out), isWeights);
    assert.ok(Object.keys(weights[dtype]).length >= 2, "no weights");
  }
  return { folder, weights };
}

/** Whether a folder holds the whole weights of one kind, and which; "none" without model.json. */
export function weightsIn(folder: string, { weights }: Original): Dtype | "none" {
  const found = pick(contents(folder), isWeights);
  if (!("model.json" in found)) return "none";
  const which = DTYPES.find((dtype) => JSON.stringify(found) === JSON.stringify(weights[dtype]));
  assert.ok(which, `half weights that look whole: ${Object.keys(found).join(" ")}`);
  return which;
}
