#!/usr/bin/env node
// Starts the built program. Plain old JavaScript, so that an old Node reads it and gets a clear answer.
var major = Number(process.versions.node.split(".")[0]);
if (major < 20) {
  process.stderr.write("gpt2: Node 20 or newer is needed, this is " + process.version + ": see nodejs.org\n");
  process.exitCode = 1;
} else {
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
