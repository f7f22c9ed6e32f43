#!/usr/bin/env node
// Starts the built program. Plain old JavaScript, so that an old Node reads it and gets a clear answer.
var major = Number(process.versions.node.split(".")[0]);
if (major < 20) {
  process.stderr.write("gpt2: Node 20 or newer is needed, this is " + process.version + ": see nodejs.org\n");
  process.exitCode = 1;
} else {
  if (process.pid === 1) endOnSignals();
  import("../dist/src/cli/main.js").then(
    (program) => program.main(process.argv.slice(2)),
    (error) => {
      if (error.code !== "ERR_MODULE_NOT_FOUND" || String(error.message).indexOf("cli/main.js") < 0)
        throw error;
      process.stderr.write("gpt2: the program is not built yet: run `npm run build` in its folder\n");
      process.exitCode = 1;
    },
  );
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
