/** One worker thread: an instance of its own over the shared memory, serving jobs until it is told to stop. */
import { parentPort, workerData } from "node:worker_threads";
import { instantiate, type WorkerData } from "./pool.js";

const exports = instantiate(workerData as WorkerData);
parentPort?.postMessage("ready");
exports.serve(0);
