// Loaded into the built program (NODE_OPTIONS=--import=...): a pause before the next try lasts a fiftieth of its time,
// and patience with a silent host a twentieth (60 seconds are 3), because a busy machine may take a second over an
// honest answer. Nothing else changes; files, sockets and threads are as slow as ever.
import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers/promises";

const { setTimeout: start } = globalThis;
const { setTimeout: sleep } = timers;
globalThis.setTimeout = Object.assign((callback, ms, ...rest) => start(callback, ms / 20, ...rest), start);
timers.setTimeout = (ms, ...rest) => sleep(ms / 50, ...rest);
syncBuiltinESMExports();
