import { createHash } from "node:crypto";
import type { Trainer } from "../../model/trainer.js";
import type { Corpus } from "../dataset/corpus.js";
import { compareOptions, isSame, type TrainingOptions } from "./options.js";
import { openState } from "./restore.js";
import type { Progress } from "./save.js";
import type { Start } from "./start.js";

/** What a run is going to be trained with. */
export interface Ready {
  readonly options: TrainingOptions;
  readonly corpus: Corpus;
  /** Tokens of a row. */
  readonly context: number;
  /** Made from the start's weights. */
  readonly trainer: Trainer;
}

/** A number for the dataset's tokens: another dataset, vocabulary or part held out has another. */
function fingerprintOf({ tokens, validation }: Corpus): string {
  const hash = createHash("sha256").update(`${tokens.length} ${tokens.BYTES_PER_ELEMENT} `);
  for (const { buffer, byteOffset, byteLength } of [tokens, validation]) {
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest("hex").slice(0, 32);
}

/**
 * Where a training stands. Where it goes on from a save, the optimizer's state is put back and the user is told
 * what is not as it was; with another optimizer, rank or choice of layers the state begins anew.
 * @throws UserError when the state cannot be read
 */
export async function resumeAt(
  start: Start,
  { options, corpus, context, trainer }: Ready,
  onNotice: (line: string) => void,
): Promise<Progress> {
  const { base, save, number } = start;
  const fingerprint = fingerprintOf(corpus);
  const now = { run: number, options, context, fingerprint, base: base.name, trainer: trainer.name };
  if (!save) return { ...now, step: 0, updates: 0, hasState: false, seconds: 0, average: [0, 0] };
  const before = save.progress;
  const { phrases, isStateLost } = compareOptions(before.options, options);
  const changes = [...phrases];
  const isPartedAnew =
    before.options.validation !== options.validation || !isSame(before.options.column, options.column);
  if (before.fingerprint !== fingerprint && !isPartedAnew) changes.push("another dataset");
  if (before.context !== context) changes.push(`rows of ${before.context} -> ${context} tokens`);
  if (before.trainer !== trainer.name) changes.push(`backend ${before.trainer} -> ${trainer.name}`);
  if (changes.length > 0) {
    const anew = isStateLost ? "; the optimizer begins anew" : "";
    onNotice(`the run goes on, but not as before: ${changes.join(", ")}${anew}`);
  }
  if (isStateLost) return { ...before, ...now, updates: 0, hasState: false };
  const state = await openState(save.folder);
  try {
    await trainer.restore(before.updates, state);
  } finally {
    await state.close();
  }
  return { ...before, ...now };
}
