import { createCpuTrainer } from "../../../../dist/src/engines/cpu/training/trainer.js";
import { trainerConformance } from "../../../support/trainer-conformance.js";

trainerConformance("trainer on wasm", (hparams, source, options) =>
  createCpuTrainer(hparams, source, { ...options, threads: 2 }),
);
