/**
 * Measures once whether a GPU is faster than the processor for a model, so that `auto` can choose. It is not always: a
 * small model's token is computed before work even reaches the GPU.
 */
import { availableParallelism, cpus } from "node:os";
import { dirname } from "node:path";
import type { Engine } from "../../model/engine.js";
import { architectureOf, type Hparams } from "../../model/hparams.js";
import { debug } from "../../system/debug.js";
import { messageOf } from "../../system/errors.js";
import { makeFolder, readSmallFile, replaceFile } from "../../system/files.js";
import { isObject, parseJson } from "../../system/json.js";
import { userPath } from "../../system/paths.js";

/** Tokens per second that each decodes for a single text. */
export interface Trial {
  readonly gpu: number;
  readonly cpu: number;
}

/** What a measurement depends on: when any of it changes, it is repeated. */
export interface TrialSubject {
  /** The GPU's name. */
  readonly gpu: string;
  readonly driver: string;
  readonly hparams: Hparams;
  /** How each stores the weights. */
  readonly precision: { readonly gpu: string; readonly cpu: string };
  /** The CPU engine's backend and threads. */
  readonly backend: string;
  readonly threads: number;
}

/** The file that keeps measurements; without it, they are repeated. */
export const trialsFile = (): string => userPath("cache", "gpu-trials.json");
const LARGEST_FILE = 2 ** 20;
/** The most measurements kept, the newest ones. */
const KEPT = 100;
/** Tokens of the prompt read before measuring. */
const PROMPT_TOKENS = 16;
/** Tokens not measured, during which buffers are made, programs compiled and the GPU's clock rises. */
const WARM_TOKENS = 4;
const MEASURED_MS = 500;

/** A key for all that a measurement depends on. */
function nameOf({ gpu, driver, hparams, precision, backend, threads }: TrialSubject): string {
  const { n_layer, n_embd, n_head, n_vocab } = hparams;
  const { n_inner } = architectureOf(hparams);
  const processor = cpus()[0]?.model ?? process.arch;
  return [
    `${gpu} (${driver}) ${precision.gpu}`,
    `${processor}, ${backend} ${precision.cpu}, ${threads} of ${availableParallelism()} threads`,
    `n_layer ${n_layer}, n_embd ${n_embd}, n_inner ${n_inner}, n_head ${n_head}, n_vocab ${n_vocab}`,
  ].join("; ");
}

const isRate = (value: unknown): value is number =>
  typeof value === "number" && value > 0 && Number.isFinite(value);

/** The measurements in a file; none if it is missing or damaged. */
async function readTrials(file: string): Promise<Map<string, Trial>> {
  try {
    const json = parseJson((await readSmallFile(file, LARGEST_FILE, "remove it")).toString(), file);
    return new Map(
      Object.entries(isObject(json) ? json : {}).filter(
        (entry): entry is [string, Trial] =>
          isObject(entry[1]) && isRate(entry[1]["gpu"]) && isRate(entry[1]["cpu"]),
      ),
    );
  } catch (error) {
    debug(`no measurements of GPUs: ${messageOf(error)}`);
    return new Map();
  }
}

/** The measurement for a subject, if there is one. */
export async function findTrial(subject: TrialSubject, file = trialsFile()): Promise<Trial | undefined> {
  return (await readTrials(file)).get(nameOf(subject));
}

/** Saves a measurement; if it cannot be written, it is repeated the next time. */
export async function keepTrial(subject: TrialSubject, trial: Trial, file = trialsFile()): Promise<void> {
  const trials = await readTrials(file);
  trials.delete(nameOf(subject));
  const kept = [...trials, [nameOf(subject), trial]].slice(-KEPT);
  try {
    makeFolder(dirname(file));
    await replaceFile(file, `${JSON.stringify(Object.fromEntries(kept), undefined, 2)}\n`);
  } catch (error) {
    debug(`the measurement of the GPU is not kept: ${messageOf(error)}`);
  }
}

/** An engine's decoding speed in tokens per second, measured for half a second. */
export async function measure(engine: Engine, signal?: AbortSignal): Promise<number> {
  const { n_ctx, n_vocab } = engine.hparams;
  const sequence = engine.createSequence();
  try {
    const ids = Array.from({ length: Math.min(PROMPT_TOKENS, n_ctx - 1) }, (_, i) => i % n_vocab);
    await engine.forward([{ sequence, ids }]);
    let tokens = 0;
    let start = performance.now();
    for (let drawn = 0; sequence.length < n_ctx; drawn++) {
      signal?.throwIfAborted();
      await engine.forward([{ sequence, ids: [drawn % n_vocab] }]);
      if (drawn < WARM_TOKENS) {
        start = performance.now();
        continue;
      }
      tokens++;
      if (performance.now() - start >= MEASURED_MS) break;
    }
    return (tokens / (performance.now() - start)) * 1000;
  } finally {
    engine.free(sequence);
  }
}

/** What `auto` chooses between. */
export interface Choice extends Omit<TrialSubject, "gpu" | "driver"> {
  /** @throws UserError when there is no GPU */
  readonly find: () => Promise<Pick<TrialSubject, "driver"> & { readonly name: string }>;
  readonly onGpu: () => Promise<Engine>;
  readonly onCpu: () => Promise<Engine>;
  readonly onNotice: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Where measurements are kept. */
  readonly file?: string;
}

/**
 * The faster of two engines, by an earlier measurement or a new one. If anything goes wrong with the GPU, the processor
 * is used, with a notice.
 */
export async function fasterEngine(choice: Choice): Promise<Engine> {
  const { onGpu, onCpu, onNotice, signal, file } = choice;
  let found: Awaited<ReturnType<Choice["find"]>>;
  try {
    found = await choice.find();
  } catch (error) {
    debug(`no GPU: ${messageOf(error)}`);
    return onCpu();
  }
  const subject: TrialSubject = { ...choice, gpu: found.name, driver: found.driver };
  const known = await findTrial(subject, file);
  if (known && known.gpu <= known.cpu) return onCpu();
  let gpu: Engine | undefined;
  let rate = 0;
  try {
    gpu = await onGpu();
    if (known) return gpu;
    rate = await measure(gpu, signal);
  } catch (error) {
    await gpu?.dispose();
    signal?.throwIfAborted();
    onNotice(`${messageOf(error)}: the processor computes instead`);
    return onCpu();
  }
  let cpu: Engine | undefined;
  try {
    cpu = await onCpu();
    const trial = { gpu: rate, cpu: await measure(cpu, signal) };
    await keepTrial(subject, trial, file);
    onNotice(`${found.name} and the processor were compared for this model: ${describeTrial(trial)}`);
    const [faster, slower] = trial.gpu > trial.cpu ? [gpu, cpu] : [cpu, gpu];
    await slower.dispose();
    return faster;
  } catch (error) {
    await cpu?.dispose();
    if (!signal?.aborted && !cpu) return gpu; // a model that is too large for the CPU engine
    await gpu.dispose();
    throw error;
  }
}

/** A measurement, in words. */
export function describeTrial({ gpu, cpu }: Trial): string {
  const [fast, slow] = [gpu, cpu].map((rate) => (rate < 10 ? rate.toFixed(1) : String(Math.round(rate))));
  return `GPU ${fast}, processor ${slow} tokens per second`;
}

/** All measurements with a GPU, in words: what each depends on, and its result. */
export async function describeTrials(gpu: string, driver: string, file = trialsFile()): Promise<string[]> {
  const own = [...(await readTrials(file))].filter(([name]) => name.startsWith(`${gpu} (${driver}) `));
  return own.map(([name, trial]) => `${name}: ${describeTrial(trial)}`);
}
