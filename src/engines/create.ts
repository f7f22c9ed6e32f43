import { checkParameters, type Engine, type Hparams, type WeightSource } from "../model/hparams.js";
import type { Trainer, TrainerOptions } from "../model/trainer.js";
import { messageOf, UsageError } from "../system/errors.js";
import { weightBytes } from "./cpu/inference/weights.js";
import { defaultThreads, enableRelaxedSimd, wasmSupport } from "./cpu/runtime/support.js";
import { debug, isInstalled, loadTf, TFJS_BACKENDS, type TfjsBackend } from "./tfjs/backend.js";

/** What --backend takes: "tfjs" is the fastest of the tfjs-... that works here. */
export const BACKENDS = ["auto", "wasm", "tfjs", ...TFJS_BACKENDS] as const;
export type Backend = (typeof BACKENDS)[number];

/** What --precision takes. "auto" is float32, or int8 for large models. */
export const PRECISIONS = ["auto", "float32", "int8"] as const;
export type PrecisionChoice = (typeof PRECISIONS)[number];

/** Above so many bytes of float32 weights (774M, 1558M) int8 is the default: a small machine can hold it. */
const FLOAT32_BYTES = 2 ** 31;

/** How a model is run. */
export interface EngineOptions {
  readonly backend?: Backend;
  readonly precision?: PrecisionChoice;
  /** Of the WebAssembly engine; default: as many as this machine, container or process may use. */
  readonly threads?: number;
  /** Fused multiply-add where Node has it: faster, but bits may differ from machine to machine. */
  readonly fast_math?: boolean;
  /** Called while the parameters are read. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Told what the user should know about a choice that was made for them. */
  readonly onNotice?: (line: string) => void;
}

/** Whether tfjs-node-gpu is installed and finds a GPU. */
async function hasGpu(): Promise<boolean> {
  if (!isInstalled("@tensorflow/tfjs-node-gpu")) return false;
  return loadTf("tfjs-node-gpu").then(
    () => true,
    (error: unknown) => {
      debug(messageOf(error));
      return false;
    },
  );
}

/** What "auto" means here: a GPU where there is one, else the WebAssembly engine, else TensorFlow.js. */
export async function chooseBackend(): Promise<Exclude<Backend, "auto">> {
  if (await hasGpu()) return "tfjs-node-gpu";
  const { simd, threads } = wasmSupport();
  return simd && threads ? "wasm" : "tfjs";
}

/** One line on what computes by default, for `gpt2 --version`. */
export async function describeDefault(): Promise<string> {
  const backend = await chooseBackend();
  if (backend === "wasm") return `WebAssembly engine on ${defaultThreads()} threads`;
  const { tf, backend: name } = await loadTf(backend === "tfjs" ? undefined : (backend as TfjsBackend));
  return `TensorFlow.js ${tf.version_core} on ${name}`;
}

/**
 * Loads parameters into the engine that was asked for, or into the one that suits this machine.
 * @throws UsageError when the options contradict each other; UserError when the engine cannot be had or the
 *   parameters cannot be read
 */
export async function createEngine(
  hparams: Hparams,
  source: WeightSource,
  options: EngineOptions,
): Promise<Engine> {
  checkParameters(hparams, source);
  const { precision = "auto", threads, fast_math, onProgress, onNotice = () => {} } = options;
  const wanted = options.backend ?? "auto";
  // int8 exists in the WebAssembly engine only: asking for it is asking for that one.
  const backend = wanted !== "auto" ? wanted : precision === "int8" ? "wasm" : await chooseBackend();
  if (backend !== "wasm") {
    if (wanted === "auto" && backend === "tfjs") {
      onNotice("this Node lacks WebAssembly SIMD or threads: TensorFlow.js computes instead, more slowly");
    }
    if (precision === "int8") throw new UsageError(`--precision int8 needs --backend wasm, not ${backend}`);
    const tfjs = TFJS_BACKENDS.find((name): name is TfjsBackend => name === backend);
    const { createTfjsEngine } = await import("./tfjs/engine.js");
    return createTfjsEngine(hparams, source, { backend: tfjs, onProgress });
  }
  const isLarge = weightBytes(hparams, "float32") > FLOAT32_BYTES;
  const chosen = precision !== "auto" ? precision : isLarge ? "int8" : "float32";
  if (precision === "auto" && chosen === "int8") {
    const gigabytes = (weightBytes(hparams, "float32") / 1e9).toFixed(1);
    onNotice(
      `float32 weights would take ${gigabytes} GB: they are rounded to int8 (--precision says otherwise)`,
    );
  }
  if (fast_math && !enableRelaxedSimd()) {
    onNotice("this Node has no relaxed SIMD: --fast_math changes nothing");
  }
  debug(`computing with the WebAssembly engine, ${chosen}, ${threads ?? defaultThreads()} threads`);
  const { createWasmEngine } = await import("./cpu/inference/engine.js");
  return createWasmEngine(hparams, source, { precision: chosen, threads, fastMath: fast_math, onProgress });
}

/** How a model is trained, and what computes it. */
export interface TrainerChoice
  extends TrainerOptions,
    Pick<EngineOptions, "backend" | "threads" | "onNotice" | "onProgress"> {
  /** Fused multiply-add in the WebAssembly trainer; default: where Node has it. */
  readonly fast_math?: boolean;
  /** Gives up loading, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Loads parameters into the trainer that was asked for, or into the one that suits this machine: as createEngine.
 * @throws UserError when it cannot be had or the parameters cannot be read
 */
export async function createTrainer(
  hparams: Hparams,
  source: WeightSource,
  options: TrainerChoice,
): Promise<Trainer> {
  checkParameters(hparams, source);
  const { backend: wanted = "auto", threads, fast_math, onNotice = () => {}, ...training } = options;
  const backend = wanted === "auto" ? await chooseBackend() : wanted;
  if (backend === "wasm") {
    debug(`training with the WebAssembly engine on ${threads ?? defaultThreads()} threads`);
    const { createWasmTrainer } = await import("./cpu/training/trainer.js");
    return createWasmTrainer(hparams, source, { ...training, threads, fastMath: fast_math });
  }
  if (wanted === "auto" && backend === "tfjs") {
    onNotice("this Node lacks WebAssembly SIMD or threads: TensorFlow.js computes instead, more slowly");
  }
  const tfjs = TFJS_BACKENDS.find((name): name is TfjsBackend => name === backend);
  const { createTfjsTrainer } = await import("./tfjs/trainer.js");
  return createTfjsTrainer(hparams, source, { ...training, backend: tfjs });
}
