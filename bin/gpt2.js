#!/usr/bin/env node
// Starts the built program. Plain old JavaScript, so that an old Node reads it and gets a clear answer.
import { fileURLToPath } from "node:url";

var args = process.argv.slice(2);
// A Tab is answered without loading the commands.
var entry = args[0] === "__complete" ? "completion/answer.js" : "main.js";
var major = Number(process.versions.node.split(".")[0]);
if (major < 20) {
  fail("Node 20 or newer is needed, this is " + process.version + ": see nodejs.org");
} else {
  if (process.pid === 1) endOnSignals();
  import("../dist/src/cli/" + entry).then((program) => program.main(args)).catch(explain);
}

function fail(line) {
  process.stderr.write("gpt2: " + line + "\n");
  process.exitCode = 1;
}

// Why the program cannot be loaded: it was not built, or a package that it needs is not installed.
function explain(error) {
  if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  var found = /^Cannot find package '([^']+)'/.exec(error.message);
  var folder = fileURLToPath(new URL("..", import.meta.url));
  if (found) fail("the package " + found[1] + " is missing: run `npm install` in " + folder);
  else fail("the program is not built yet: run `npm run build` in " + folder);
}

// The first process of a container has no default action for signals: without this `docker stop` waits in vain.
function endOnSignals() {
  Object.entries({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }).forEach(([signal, code]) => {
    process.on(signal, () => {
      // A command that listens itself decides what happens.
      if (process.listenerCount(signal) === 1) process.exit(code);
    });
  });
}
