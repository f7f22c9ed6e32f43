// Loaded into the built program (NODE_OPTIONS=--import=...): it gets SIGNAL at its SIGNAL_STEP-th step (0: at once)
// and, when it ends by itself, writes to SIGNAL_LOG how many steps it took after that. Steps: each read from an open
// file, each file or folder in SIGNAL_IN that is opened or looked at.
import fs, { writeFileSync } from "node:fs";
import promises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { isMainThread } from "node:worker_threads";

const { SIGNAL, SIGNAL_STEP, SIGNAL_IN, SIGNAL_LOG } = process.env;
const at = Number(SIGNAL_STEP);
let steps = 0;

function step() {
  if (++steps === at) process.kill(process.pid, SIGNAL);
}

function wrap(object, name, isStep) {
  const original = object[name];
  object[name] = function (...args) {
    if (isStep(...args)) step();
    return original.apply(this, args);
  };
}

if (isMainThread) {
  const isInside = (path) => String(path).startsWith(SIGNAL_IN);
  const handle = await promises.open(new URL(import.meta.url), "r");
  wrap(Object.getPrototypeOf(handle), "read", () => true);
  await handle.close();
  for (const name of ["open", "readFile", "readdir", "stat"]) wrap(promises, name, isInside);
  for (const name of ["existsSync", "lstatSync", "readFileSync", "readdirSync", "statSync"]) {
    wrap(fs, name, isInside);
  }
  syncBuiltinESMExports();
  if (at === 0) process.kill(process.pid, SIGNAL);
  process.on("exit", () => writeFileSync(SIGNAL_LOG, String(steps - at)));
}
