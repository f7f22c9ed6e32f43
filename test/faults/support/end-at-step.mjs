// Loaded into the built program (NODE_OPTIONS=--import=...): it gets the signal END_WITH just before its
// END_AT-th step on the disk, counted from 1: creating, flushing, emptying, linking, renaming, removing.
import files from "node:fs";
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";

const last = Number(process.env.END_AT);
const signal = process.env.END_WITH;
let steps = 0;

function wrap(object, name, isStep = () => true) {
  const original = object[name];
  object[name] = function (...args) {
    if (isStep(...args) && ++steps === last) process.kill(process.pid, signal);
    return original.apply(this, args);
  };
}

const { open } = fs;
const handle = await open(new URL(import.meta.url), "r");
for (const name of ["sync", "truncate"]) wrap(Object.getPrototypeOf(handle), name);
await handle.close();
wrap(fs, "open", (_path, flags) => flags !== "r");
for (const name of ["link", "mkdir", "rename", "rm", "rmdir", "writeFile"]) {
  wrap(fs, name);
  wrap(files, `${name}Sync`);
}
syncBuiltinESMExports();
