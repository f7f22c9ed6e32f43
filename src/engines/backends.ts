/** What can run TensorFlow.js here, fastest first. */
export const TFJS_BACKENDS = ["tfjs-node-gpu", "tfjs-webgpu", "tfjs-node", "tfjs-wasm", "tfjs-cpu"] as const;
/** A backend of TensorFlow.js. */
export type TfjsBackend = (typeof TFJS_BACKENDS)[number];

/**
 * What can compute. "native" and "wasm" are the CPU engine, with this machine's own instructions or with WebAssembly;
 * the results are the same to the bit. "webgpu" is the GPU engine; "tfjs" is the fastest tfjs-... that works here.
 */
export const BACKENDS = ["auto", "native", "wasm", "webgpu", "tfjs", ...TFJS_BACKENDS] as const;
/** What computes. */
export type Backend = (typeof BACKENDS)[number];

/** How weights are held. "auto" is float16 for a model stored that way, int8 for other large models, else float32. */
export const PRECISIONS = ["auto", "float32", "float16", "int8"] as const;
/** How the weights are to be held. */
export type PrecisionChoice = (typeof PRECISIONS)[number];
