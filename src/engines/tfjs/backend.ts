import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, sep } from "node:path";
import type * as TfWasm from "@tensorflow/tfjs-backend-wasm";
import type * as TfCore from "@tensorflow/tfjs-core";
import { messageOf, UserError } from "../../system/errors.js";

/** The operations of TensorFlow.js, whichever package brought them. */
export type Tf = typeof TfCore;

/** What can run TensorFlow.js here, the fastest first. */
export const TFJS_BACKENDS = ["tfjs-node-gpu", "tfjs-node", "tfjs-wasm", "tfjs-cpu"] as const;
export type TfjsBackend = (typeof TFJS_BACKENDS)[number];

/** A backend that is ready. */
export interface LoadedTf {
  readonly tf: Tf;
  readonly backend: TfjsBackend;
  /** The version of the package that runs it. */
  readonly version: string;
}

// tfjs packages are CommonJS, and their ES-module builds cannot be imported by Node.
const require = createRequire(import.meta.url);

/**
 * tfjs-node 4.22 calls functions of node:util that Node 23 removed (tensorflow/tfjs#8425): puts them back.
 * Does nothing on a Node that still has them.
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

async function loadCpu(): Promise<LoadedTf> {
  const tf = require("@tensorflow/tfjs-core") as Tf;
  const cpu = require("@tensorflow/tfjs-backend-cpu") as { version_cpu: string };
  if (!(await tf.setBackend("cpu"))) throw new Error("the plain JavaScript backend did not start");
  // Its first use in Node prints an advertisement for tfjs-node, whether that can be had or not.
  (tf.backend() as unknown as { firstUse: boolean }).firstUse = false;
  return { tf, backend: "tfjs-cpu", version: cpu.version_cpu };
}

/** Whether a package is there, working or not. */
export function isInstalled(name: string): boolean {
  return (require.resolve.paths(name) ?? []).some((folder) => existsSync(`${folder}/${name}/package.json`));
}

/** Tells something under DEBUG=gpt2. */
export const debug = (line: string): void => {
  if (process.env["DEBUG"]?.split(",").includes("gpt2")) process.stderr.write(`gpt2: ${line}\n`);
};

/**
 * Starts TensorFlow.js on the fastest backend that works here, or on the one asked for.
 * tfjs-node-gpu counts only when it finds a GPU. Why a backend was passed over is told under DEBUG=gpt2.
 * @throws UserError when the one asked for does not work
 */
export async function loadTf(wanted?: TfjsBackend): Promise<LoadedTf> {
  for (const backend of wanted ? [wanted] : TFJS_BACKENDS) {
    const isNode = backend === "tfjs-node" || backend === "tfjs-node-gpu";
    const name = `@tensorflow/${backend}`;
    try {
      if (isNode && !isInstalled(name)) throw new Error(`${name} is not installed`);
      const loaded = await (isNode ? loadNode(backend) : backend === "tfjs-wasm" ? loadWasm() : loadCpu());
      debug(`TensorFlow.js runs on ${loaded.backend} ${loaded.version}`);
      return loaded;
    } catch (error) {
      debug(`${backend} cannot be used: ${messageOf(error)}`);
      if (wanted) {
        const next = isNode ? `npm install ${name}, or choose --backend auto` : "choose --backend auto";
        throw new UserError(`--backend ${backend} cannot be used (${messageOf(error)}): ${next}`, {
          cause: error,
        });
      }
    }
  }
  throw new UserError("no backend of TensorFlow.js works here: DEBUG=gpt2 shows why");
}
