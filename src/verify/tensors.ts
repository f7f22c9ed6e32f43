import type { Hparams } from "../model/hparams.js";
import { checkParameters, countParameters } from "../model/parameters.js";
import type { ScannableSource } from "../model/weight-source.js";
import { messageOf, UserError } from "../system/errors.js";
import { type Check, checksOf, type Progress, showCount } from "./check.js";
import { type Numbers, scanTensors } from "./scan.js";

/** How weights are read for their checks. */
export interface TensorOptions {
  /** Undefined where hparams.json cannot be read. */
  readonly hparams: Hparams | undefined;
  /** Tell what the numbers would be, had they been rounded to float16. */
  readonly rounded: boolean;
  readonly onProgress?: Progress;
  readonly signal?: AbortSignal;
}

/**
 * Reads all weights of one form and checks them: names and shapes, every checksum, every number. A few megabytes
 * at a time are in memory.
 * @param part "checkpoint" or "weights"
 * @param open opens them; what it throws is a failed check
 * @returns their numbers; undefined where something is wrong with them
 * @throws the signal's reason on an abort
 */
export async function* checkTensors(
  part: "checkpoint" | "weights",
  open: () => Promise<ScannableSource>,
  { hparams, rounded, onProgress, signal }: TensorOptions,
): AsyncGenerator<Check, Numbers | undefined> {
  const { ok, failed, leftOut } = checksOf(part);
  let source: ScannableSource;
  try {
    source = await open();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    yield failed(`${part}: tensors`, messageOf(error));
    return undefined;
  }
  try {
    const fit = checkShapes(part, source, hparams);
    yield fit;
    const report = (done: number, total: number): void => onProgress?.(part, done, total);
    const { numbers, damaged, strange } = await scanTensors(source, { rounded, onProgress: report, signal });
    const count = showCount(source.tensors.size);
    if (damaged.length > 0)
      yield failed(`${part}: checksums`, `${damaged.length} of ${count}: ${damaged[0]}`);
    else if (source.checksum) yield ok(`${part}: checksums`, `${source.checksum} of all ${count} tensors`);
    else yield leftOut(`${part}: checksums`, "model.json carries none: another program wrote it");
    if (strange.length > 0) yield failed(`${part}: numbers`, strange.join("; "));
    else if (damaged.length === 0) yield ok(`${part}: numbers`, "no NaN and no infinity");
    else yield leftOut(`${part}: numbers`, "not checked: the checksums are wrong");
    return fit.result === "ok" && damaged.length + strange.length === 0 ? numbers : undefined;
  } finally {
    await source.close();
  }
}

function checkShapes(part: "checkpoint" | "weights", source: ScannableSource, hparams?: Hparams): Check {
  const { ok, failed, leftOut } = checksOf(part);
  const name = `${part}: tensors`;
  if (!hparams) return leftOut(name, "hparams.json does not say what should be there");
  try {
    checkParameters(hparams, source);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return failed(name, messageOf(error));
  }
  const dtypes = [...new Set([...source.tensors.values()].map(({ dtype }) => dtype))].join(", ");
  const parameters = `${showCount(countParameters(hparams))} parameters`;
  return ok(
    name,
    `${source.tensors.size} tensors, ${parameters} in ${dtypes}: names and shapes are those of hparams.json`,
  );
}
