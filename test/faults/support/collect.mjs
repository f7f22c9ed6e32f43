// Loaded into the built program (NODE_OPTIONS=--import=...): what nobody holds any more is given back often, so that
// growing memory is memory that somebody holds.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
setInterval(collect, 500).unref();
