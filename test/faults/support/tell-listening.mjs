// Loaded into the built program (NODE_OPTIONS=--import=...): it says on stderr when it hears Ctrl-C itself. Before that,
// the system ends it.
process.on("newListener", (name) => {
  if (name === "SIGINT") queueMicrotask(() => process.stderr.write("listening\n")); // the listener comes after this
});
