/** A worker thread: its own instance over the shared memory, serving jobs until it is told to stop. */
import { parentPort, workerData } from "node:worker_threads";
import type { WorkerData } from "./pool.js";
import { instantiate } from "./program.js";

const { program, memory, thread } = workerData as WorkerData;
const { exports } = instantiate(program, memory, thread);
parentPort?.postMessage("ready");
exports.serve(0);
