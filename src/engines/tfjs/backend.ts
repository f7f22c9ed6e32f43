import { createRequire } from "node:module";
import { dirname, sep } from "node:path";
import type * as TfWasm from "@tensorflow/tfjs-backend-wasm";
import type * as TfCore from "@tensorflow/tfjs-core";
import { debug } from "../../system/debug.js";
import { messageOf, option, UserError } from "../../system/errors.js";
import { isInstalled } from "../../system/package.js";
import { TFJS_BACKENDS, type TfjsBackend } from "../backends.js";

/** TensorFlow.js's operations, whichever package they come from. */
export type Tf = typeof TfCore;

/** Those that are tried without being named: tfjs-webgpu is a reference for the engine in WGSL, and slower. */
const UNASKED = TFJS_BACKENDS.filter((name) => name !== "tfjs-webgpu");

/** A backend that is ready. */
export interface LoadedTf {
  readonly tf: Tf;
  readonly backend: TfjsBackend;
  /** The version of the package that runs it. */
  readonly version: string;
}

const TFJS_WEBGPU = "@tensorflow/tfjs-backend-webgpu";

// tfjs packages are CommonJS, and Node cannot import their ES-module builds.
const require = createRequire(import.meta.url);

/**
 * Puts back the functions of node:util that tfjs-node 4.22 calls and Node 23 removed (tensorflow/tfjs#8425). Does
 * nothing on a Node that still has them.
 */
export function restoreRemovedUtil(util: Record<string, unknown>): void {
  util["isNullOrUndefined"] ??= (value: unknown) => value === null || value === undefined;
  util["isArray"] ??= Array.isArray;
}

async function loadNode(backend: "tfjs-node" | "tfjs-node-gpu"): Promise<LoadedTf> {
  restoreRemovedUtil(require("node:util") as Record<string, unknown>);
  process.env["TF_CPP_MIN_LOG_LEVEL"] ??= "2"; // libtensorflow's notes on processor features
  const tf = require(`@tensorflow/${backend}`) as Tf & { version: Record<string, string> };
  await tf.ready();
  if (backend === "tfjs-node-gpu") {
    const device = tf.backend() as unknown as { isUsingGpuDevice?: boolean };
    if (!device.isUsingGpuDevice) throw new Error("it finds no GPU");
  }
  return { tf, backend, version: tf.version[backend] ?? tf.version["tfjs-node"] ?? "" };
}

async function loadWasm(): Promise<LoadedTf> {
  const tf = require("@tensorflow/tfjs-core") as Tf;
  const wasm = require("@tensorflow/tfjs-backend-wasm") as typeof TfWasm;
  wasm.setWasmPaths(dirname(require.resolve("@tensorflow/tfjs-backend-wasm")) + sep);
  if (!(await tf.setBackend("wasm"))) throw new Error("WebAssembly did not start");
  return { tf, backend: "tfjs-wasm", version: wasm.version_wasm };
}

/** Starts tfjs-backend-webgpu on a GPU of the package webgpu; it looks for both in a browser's globals. */
/** TensorFlow.js keeps its first device for good, and Dawn ends with its last reference, even in mid-computation. */
const gpus: unknown[] = [];

/** Starts TensorFlow.js on a GPU of the package webgpu; it looks for both in a browser's globals. */
async function loadWebgpu(name?: string): Promise<LoadedTf> {
  const { findGpu } = await import("../webgpu/adapter.js");
  const found = await findGpu(name);
  gpus.push(found);
  Object.assign(globalThis, found.globals);
  const navigator = { gpu: { requestAdapter: async () => found.adapter }, userAgent: "node" };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });
  const tf = require("@tensorflow/tfjs-core") as Tf;
  require(TFJS_WEBGPU);
  const { version } = require(`${TFJS_WEBGPU}/package.json`) as { version: string };
  if (!(await tf.setBackend("webgpu"))) throw new Error("WebGPU did not start");
  return { tf, backend: "tfjs-webgpu", version };
}

async function loadCpu(): Promise<LoadedTf> {
  const tf = require("@tensorflow/tfjs-core") as Tf;
  const cpu = require("@tensorflow/tfjs-backend-cpu") as { version_cpu: string };
  if (!(await tf.setBackend("cpu"))) throw new Error("the plain JavaScript backend did not start");
  // On its first use in Node it prints an advertisement for tfjs-node, whether that is available or not.
  (tf.backend() as unknown as { firstUse: boolean }).firstUse = false;
  return { tf, backend: "tfjs-cpu", version: cpu.version_cpu };
}

/** The packages that a backend needs besides those that come with gpt2. */
const PACKAGES: Readonly<Partial<Record<TfjsBackend, readonly string[]>>> = {
  "tfjs-node-gpu": ["@tensorflow/tfjs-node-gpu"],
  "tfjs-node": ["@tensorflow/tfjs-node"],
  "tfjs-webgpu": ["webgpu", TFJS_WEBGPU],
};

function load(backend: TfjsBackend, gpu?: string): Promise<LoadedTf> {
  if (backend === "tfjs-webgpu") return loadWebgpu(gpu);
  if (backend === "tfjs-wasm") return loadWasm();
  if (backend === "tfjs-cpu") return loadCpu();
  return loadNode(backend);
}

/**
 * Starts TensorFlow.js on the fastest backend that works here, or on the one asked for.
 * tfjs-node-gpu counts only if it finds a GPU; tfjs-webgpu is used only if asked for. DEBUG=gpt2 shows why a backend
 * was passed over.
 * @param gpu the adapter of tfjs-webgpu, see findGpu
 * @throws UserError when the one asked for does not work
 */
export async function loadTf(wanted?: TfjsBackend, gpu?: string): Promise<LoadedTf> {
  for (const backend of wanted ? [wanted] : UNASKED) {
    const needed = PACKAGES[backend] ?? [];
    try {
      const missing = needed.filter((name) => !isInstalled(name));
      if (missing.length > 0) throw new Error(`${missing.join(" and ")} not installed`);
      const loaded = await load(backend, gpu);
      debug(`TensorFlow.js runs on ${loaded.backend} ${loaded.version}`);
      return loaded;
    } catch (error) {
      debug(`${backend} cannot be used: ${messageOf(error)}`);
      if (wanted && error instanceof UserError) throw error;
      if (wanted) {
        const install = needed.length > 0 ? `npm install ${needed.join(" ")}, or ` : "";
        throw new UserError(`${option("backend", backend)} cannot be used (${messageOf(error)})`, {
          next: `${install}use ${option("backend", "auto")}`,
          cause: error,
        });
      }
    }
  }
  throw new UserError("no backend of TensorFlow.js works here", { next: "DEBUG=gpt2 shows why" });
}
