// Loaded into the built program (NODE_OPTIONS=--import=...): what waits 60 seconds for a host waits 1.2. Nothing
// else changes; files, sockets and threads are as slow as ever.
import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers/promises";

const TIMES = 50;
const { setTimeout: start } = globalThis;
const { setTimeout: sleep } = timers;
globalThis.setTimeout = Object.assign((callback, ms, ...rest) => start(callback, ms / TIMES, ...rest), start);
timers.setTimeout = (ms, ...rest) => sleep(ms / TIMES, ...rest);
syncBuiltinESMExports();
