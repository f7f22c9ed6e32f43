import type { Engine, Hparams, WeightSource } from "../model.js";
import { TFJS_BACKENDS, type TfjsBackend } from "./tfjs/backend.js";
import { createTfjsEngine } from "./tfjs/engine.js";

/** What --backend takes: "tfjs" is the fastest of the tfjs-... that works here. */
export const BACKENDS = ["auto", "tfjs", ...TFJS_BACKENDS] as const;
export type Backend = (typeof BACKENDS)[number];

/** How a model is run. */
export interface EngineOptions {
  readonly backend?: Backend;
  /** Called while the parameters are read. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Loads parameters into the engine that was asked for, or into the one that suits this machine. */
export async function createEngine(
  hparams: Hparams,
  source: WeightSource,
  options: EngineOptions,
): Promise<Engine> {
  const { backend = "auto", onProgress } = options;
  const tfjs = TFJS_BACKENDS.find((name): name is TfjsBackend => name === backend);
  return createTfjsEngine(hparams, source, { backend: tfjs, onProgress });
}
