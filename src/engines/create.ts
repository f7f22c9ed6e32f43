import type { Engine } from "../model/engine.js";
import type { Hparams } from "../model/hparams.js";
import { checkParameters } from "../model/parameters.js";
import type { Trainer, TrainerOptions } from "../model/trainer.js";
import type { WeightSource } from "../model/weight-source.js";
import { debug } from "../system/debug.js";
import { messageOf, option, UsageError, UserError } from "../system/errors.js";
import { isInstalled } from "../system/package.js";
import { BACKENDS, type Backend, type PrecisionChoice, TFJS_BACKENDS, type TfjsBackend } from "./backends.js";
import { type Precision, weightBytes } from "./cpu/inference/weights.js";
import { defaultThreads } from "./cpu/runtime/cpu-quota.js";
import { hasWasmFeatures } from "./cpu/runtime/features.js";
import { tryNative } from "./cpu/runtime/native-trial.js";
import { isFused, type ProgramName } from "./cpu/runtime/program.js";
import { loadTf } from "./tfjs/backend.js";

/** Above this many bytes of float32 weights (774M, 1558M) the default is int8 or float16: less to hold and to read. */
const FLOAT32_BYTES = 2 ** 31;

/** How a model is run. */
export interface EngineOptions {
  /** What computes; default: $GPT2_BACKEND, else what is fastest here. */
  readonly backend?: Backend;
  /** How weights are held; default: "auto". */
  readonly precision?: PrecisionChoice;
  /** Of the CPU engine; default: as many as this machine, container or process may use. */
  readonly threads?: number;
  /** Part of the name of the GPU for webgpu; default: the fastest real one. */
  readonly gpu?: string;
  /** Called while the parameters are read. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Called with a line for the user about a choice made on their behalf. */
  readonly onNotice?: (line: string) => void;
  /** Aborts loading; the signal's reason is thrown. */
  readonly signal?: AbortSignal;
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

/**
 * The backend asked for, by option or $GPT2_BACKEND; naming a GPU asks for webgpu.
 * @throws UsageError for an unknown name, or for a GPU named along with another backend
 */
function wantedBackend(asked: Backend = "auto", gpu?: string): Backend {
  if (gpu !== undefined) {
    if (asked === "webgpu" || asked === "tfjs-webgpu") return asked;
    if (asked === "auto") return "webgpu";
    throw new UsageError(`${option("gpu")} needs ${option("backend", "webgpu")}, not ${asked}`);
  }
  const name = process.env["GPT2_BACKEND"];
  if (asked !== "auto" || !name) return asked;
  const backend = BACKENDS.find((known) => known === name);
  if (!backend)
    throw new UsageError(`GPT2_BACKEND is ${name}`, { next: `it must be one of ${BACKENDS.join(", ")}` });
  return backend;
}

/** What "auto" means here: a GPU if there is one, else native kernels, else WebAssembly, else TensorFlow.js. */
async function chooseBackend(program: ProgramName): Promise<Exclude<Backend, "auto">> {
  if (await hasGpu()) return "tfjs-node-gpu";
  if (!hasWasmFeatures()) return "tfjs";
  const native = tryNative(program);
  if (native.works) return "native";
  debug(`no native kernels: ${native.reason}`);
  return "wasm";
}

/** What computes by default, for `gpt2 --version`: a line, and one for each model that a GPU was tried with. */
export async function describeDefault(): Promise<string> {
  const line = await describeBackend();
  if (wantedBackend(undefined) !== "auto" || !isInstalled("webgpu")) return line;
  try {
    const { findGpu, mayHaveGpu } = await import("./webgpu/adapter.js");
    if (!mayHaveGpu()) return line;
    const { describeTrials } = await import("./webgpu/trial.js");
    const { name, driver } = await findGpu();
    return [
      `${line}; a GPU, ${name} (${driver}), where it is faster`,
      ...(await describeTrials(name, driver)),
    ].join("\n");
  } catch (error) {
    debug(`no GPU: ${messageOf(error)}`);
    return line;
  }
}

async function describeBackend(): Promise<string> {
  const wanted = wantedBackend(undefined);
  const program = "gpt2";
  const backend = wanted === "auto" ? await chooseBackend(program) : wanted;
  const threads = `on ${defaultThreads()} threads`;
  const native = tryNative(program);
  if (backend === "native" && native.works) return `native kernels (${native.description}) ${threads}`;
  if (backend === "native" || backend === "wasm") {
    const why = native.works ? "" : `; no native kernels: ${native.reason}`;
    const unfused = hasWasmFeatures() && !(await isFused()) ? `; ${UNFUSED}` : "";
    return `WebAssembly kernels ${threads}${why}${unfused}`;
  }
  if (backend === "webgpu") {
    const { findGpu } = await import("./webgpu/adapter.js");
    const { name, driver } = await findGpu();
    return `WebGPU on ${name} (${driver})`;
  }
  const { tf, backend: name } = await loadTf(backend === "tfjs" ? undefined : (backend as TfjsBackend));
  return `TensorFlow.js ${tf.version_core} on ${name}`;
}

const UNFUSED = "this processor has no fused multiply-add: texts may differ from other machines'";
const SLOWER = "this Node lacks WebAssembly SIMD or threads: TensorFlow.js computes instead, more slowly";
let unfusedTold = false;

/**
 * Whether a backend of native or wasm uses native kernels. Warns once where results may differ from other machines'.
 * @throws UserError when native kernels are asked for and not available
 */
async function usesNative(
  backend: "native" | "wasm",
  program: ProgramName,
  onNotice: (line: string) => void,
): Promise<boolean> {
  if (backend === "native") {
    const native = tryNative(program);
    if (native.works) return true;
    throw new UserError(`native kernels cannot be used (${native.reason})`, {
      next: `use ${option("backend", "wasm")}`,
    });
  }
  if (!unfusedTold && hasWasmFeatures() && !(await isFused())) {
    unfusedTold = true;
    onNotice(UNFUSED);
  }
  return false;
}

/** Whether every matrix of a model is stored as float16. */
function isStoredAsFloat16(source: WeightSource): boolean {
  return [...source.tensors].every(
    ([name, { dtype }]) => dtype === "float16" || !/\/w$|wte$|lm_head$/.test(name),
  );
}

/** Tells the user that a large model is rounded. */
function roundingNotice(hparams: Hparams, precision: Precision): string {
  const gigabytes = (weightBytes(hparams, "float32") / 1e9).toFixed(1);
  return `float32 weights would take ${gigabytes} GB: they are rounded to ${precision} (${option("precision")} overrides this)`;
}

/** The GPU engine, with notices about what was chosen. */
async function createOnGpu(hparams: Hparams, source: WeightSource, options: EngineOptions): Promise<Engine> {
  const { precision = "auto", gpu, onProgress, signal, onNotice = () => {} } = options;
  const automatic = automaticPrecision(hparams, source) === "float32" ? "float32" : "float16";
  const chosen = precision === "float32" || precision === "float16" ? precision : automatic;
  if (precision === "auto" && chosen === "float16" && !isStoredAsFloat16(source)) {
    onNotice(roundingNotice(hparams, chosen));
  }
  const { createWebgpuEngine } = await import("./webgpu/engine.js");
  const engine = await createWebgpuEngine(hparams, source, { gpu, precision: chosen, onProgress, signal });
  if (engine.isSoftware) onNotice(`${engine.gpu} is software, not a GPU: other backends are faster`);
  return engine;
}

/**
 * Loads parameters into the engine asked for, or into the one that suits this machine.
 * @throws UsageError when options contradict each other; UserError when the engine is not available or the parameters
 *   cannot be read; the signal's reason on an abort
 */
export async function createEngine(
  hparams: Hparams,
  source: WeightSource,
  options: EngineOptions,
): Promise<Engine> {
  checkParameters(hparams, source);
  const { precision = "auto", threads, onProgress, signal, onNotice = () => {} } = options;
  const wanted = wantedBackend(options.backend, options.gpu);
  // Only our own engines have int8 and float16: asking for one of them asks for the CPU engine.
  const own = precision === "int8" || precision === "float16";
  const automatic = async (): Promise<Exclude<Backend, "auto">> => {
    const backend = await chooseBackend("gpt2");
    if (!own || backend === "native") return backend;
    return tryNative("gpt2").works ? "native" : "wasm";
  };
  const backend = wanted === "auto" ? await automatic() : wanted;
  if (backend !== "native" && backend !== "wasm") {
    if (wanted === "auto" && backend === "tfjs") onNotice(SLOWER);
    if (own && !(backend === "webgpu" && precision === "float16"))
      throw new UsageError(
        `${option("precision", precision)} needs ${option("backend", "native")} or wasm, not ${backend}`,
      );
    if (backend === "webgpu") return createOnGpu(hparams, source, options);
    const tfjs = TFJS_BACKENDS.find((name): name is TfjsBackend => name === backend);
    const { createTfjsEngine } = await import("./tfjs/engine.js");
    return createTfjsEngine(hparams, source, { backend: tfjs, gpu: options.gpu, onProgress, signal });
  }
  const onCpu = (): Promise<Engine> => createOnCpu(backend, hparams, source, options);
  // Only the CPU engine has threads: giving their number chooses it.
  if (wanted !== "auto" || own || threads !== undefined || !isInstalled("webgpu")) return onCpu();
  const { findGpu, mayHaveGpu } = await import("./webgpu/adapter.js");
  if (!mayHaveGpu()) return onCpu();
  const { fasterEngine } = await import("./webgpu/trial.js");
  const stored = precision === "auto" ? automaticPrecision(hparams, source) : precision;
  return fasterEngine({
    hparams,
    backend,
    threads: defaultThreads(),
    precision: { gpu: stored === "float32" ? stored : "float16", cpu: stored },
    find: findGpu,
    onGpu: () => createOnGpu(hparams, source, options),
    onCpu,
    onNotice,
    signal,
  });
}

/** The CPU engine, with notices about what was chosen. */
async function createOnCpu(
  backend: "native" | "wasm",
  hparams: Hparams,
  source: WeightSource,
  { precision = "auto", threads, onProgress, signal, onNotice = () => {} }: EngineOptions,
): Promise<Engine> {
  const native = await usesNative(backend, "gpt2", onNotice);
  const chosen = precision === "auto" ? automaticPrecision(hparams, source) : precision;
  if (precision === "auto" && chosen === "int8") onNotice(roundingNotice(hparams, chosen));
  debug(`computing with ${backend} kernels, ${chosen}, ${threads ?? defaultThreads()} threads`);
  const { createCpuEngine } = await import("./cpu/inference/engine.js");
  return createCpuEngine(hparams, source, { precision: chosen, threads, native, onProgress, signal });
}

/** What precision "auto" means for a model: the same on every machine, as int8 changes texts. */
function automaticPrecision(hparams: Hparams, source: WeightSource): Precision {
  if (weightBytes(hparams, "float32") > FLOAT32_BYTES) return "int8";
  return isStoredAsFloat16(source) ? "float16" : "float32";
}

/** How a model is trained, and by what. */
export interface TrainerChoice
  extends TrainerOptions,
    Pick<EngineOptions, "backend" | "threads" | "gpu" | "onNotice" | "onProgress"> {
  /** Aborts loading; the signal's reason is thrown. */
  readonly signal?: AbortSignal;
}

/**
 * Loads parameters into the trainer asked for, or into the one that suits this machine: like createEngine().
 * @throws UserError when it is not available or the parameters cannot be read
 */
export async function createTrainer(
  hparams: Hparams,
  source: WeightSource,
  options: TrainerChoice,
): Promise<Trainer> {
  checkParameters(hparams, source);
  const { backend: option, threads, onNotice = () => {}, ...training } = options;
  const wanted = wantedBackend(option, options.gpu);
  const backend = wanted === "auto" ? await chooseBackend("train") : wanted;
  if (backend === "native" || backend === "wasm") {
    debug(`training with ${backend} kernels on ${threads ?? defaultThreads()} threads`);
    const native = await usesNative(backend, "train", onNotice);
    const { createCpuTrainer } = await import("./cpu/training/trainer.js");
    return createCpuTrainer(hparams, source, { ...training, threads, native });
  }
  if (wanted === "auto" && backend === "tfjs") onNotice(SLOWER);
  // TensorFlow.js trains on GPUs: it has the operations and their gradients.
  const named = backend === "webgpu" ? "tfjs-webgpu" : backend;
  const tfjs = TFJS_BACKENDS.find((name): name is TfjsBackend => name === named);
  const { createTfjsTrainer } = await import("./tfjs/trainer.js");
  return createTfjsTrainer(hparams, source, { ...training, backend: tfjs });
}
