// The layers of src/, held by `npm run lint`: a module imports what stands beside it here, and nothing else.
const BELOW = {
  system: [],
  model: ["system", "random"],
  encoder: ["system"],
  formats: ["system", "encoder", "model"], // model: its WeightSource is what they open
  sampling: ["system", "encoder", "model", "random"],
  engines: ["system", "model", "random"],
  models: ["system", "encoder", "model", "formats", "sampling", "engines", "random"],
  download: ["system", "models", "formats"], // formats: whether converted weights are whole
  verify: ["system", "encoder", "model", "formats", "sampling", "engines", "models", "random"],
  finetune: ["system", "encoder", "model", "formats", "sampling", "engines", "models", "random"],
  serve: ["system", "encoder", "model", "sampling", "models", "random"],
  api: ["system", "encoder", "model", "formats", "sampling", "engines", "models", "random"],
  report: ["sampling", "probability-scale"],
  page: ["probability-scale"], // it runs in a browser
};

export default {
  forbidden: [
    { name: "no-circles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "cli-is-above-everything",
      comment: "The command line is the top: a library user never loads it.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/cli/" },
      to: { path: "^src/cli/" },
    },
    {
      name: "the-page-is-for-browsers",
      comment: "The server serves what it is built to; nothing imports it.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/page/" },
      to: { path: "^src/page/" },
    },
    {
      name: "only-engines-hold-tensors",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/engines/" },
      to: { path: "@tensorflow/" },
    },
    {
      name: "nothing-unresolvable",
      severity: "error",
      from: {},
      to: { couldNotResolve: true, pathNot: "@tensorflow/tfjs-node-gpu|\\.wasm$" },
    },
    ...Object.entries(BELOW).map(([module, below]) => ({
      name: `layers-${module}`,
      comment: `src/${module}/ may import ${["itself", ...below].join(", ")}.`,
      severity: "error",
      from: { path: `^src/${module}/` },
      to: { path: "^src/", pathNot: `^src/(${[module, ...below].join("|")})(/|\\.ts$)` },
    })),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "types", "default"] },
  },
};
