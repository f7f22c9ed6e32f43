/**
 * Numbers that the WebAssembly programs share with the TypeScript that drives them, each written once: asc and tsc
 * both compile this file. (The records are in src/engines/cpu/runtime/records.ts; a test compares them with the
 * classes here.)
 */

/** Where the control words are: address 0 means "none", and from 1024 on the kernels keep their own constants. */
export const CONTROL_AT: u32 = 2048;
/** Words that all threads see, in this order from CONTROL_AT. */
export enum Control {
  /** Counts beginnings and ends of jobs: odd while one can be joined. */
  JOB,
  KIND,
  ARGUMENT,
  THREADS,
  /** Units of this phase that are done. */
  FINISHED,
  /** Counts phases: a new value lets threads go on. */
  GENERATION,
  /** Threads asleep until it changes. */
  ASLEEP,
  /** Not 0 once a thread has failed: all others then stop. */
  FAILED,
  /** How many times to look before sleeping. */
  SPINS,
  /** Seconds without progress after which a thread gives up. */
  PATIENCE,
  /** The memory's size, in units of 64 KiB: kernels outside WebAssembly check addresses against it. */
  PAGES,
  /** Workers in the job. */
  INSIDE,
  /** Not 0 while the first thread waits for them to leave. */
  LEAVING,
  /** GENERATION when the job began. */
  START,
}
/** Each thread's words follow, on its own cache line; this is the first one's distance from the control words. */
export const LINE: u32 = 64;
/** Words of a thread. */
export enum Own {
  /** 64 bits: the phase that its share was last taken from, and below it how many units are taken. */
  TAKEN,
  /** The phase that the thread is at. */
  PHASE = 2,
  /** The units of its last loop, by all threads. */
  ALL,
  /** Those that it did itself. */
  DONE,
}

/** Jobs of the inference program. Every program knows STOP. */
export enum InferenceJob {
  STOP,
  FORWARD,
  PACK_LINEAR,
  PACK_ROWS,
  QUANTIZE_LINEAR,
  QUANTIZE_ROWS,
  PACK_LINEAR_FLOAT16,
  PACK_ROWS_FLOAT16,
}

/** Jobs of the training program. */
export enum TrainingJob {
  STOP,
  MATMUL,
  LAYERNORM_FORWARD,
  LAYERNORM_BACKWARD,
  ATTENTION_FORWARD,
  ATTENTION_BACKWARD,
  ACTIVATION_FORWARD,
  ACTIVATION_BACKWARD,
  BIAS_BACKWARD,
  RESIDUAL,
  SCALE,
  COPY,
  EMBEDDING_FORWARD,
  EMBEDDING_BACKWARD,
  CROSSENTROPY,
  ADAM,
  SGD,
}

/** How a matrix's weights are stored: Linear.type. */
export enum WeightType {
  FLOAT32,
  FLOAT16,
  INT8,
}

/**
 * What happens to a product: y = sum; y += sum; y = activation(sum), for each activation of model/hparams.ts. Training
 * uses the same numbers for activations.
 */
export enum Mode {
  STORE,
  ADD,
  GELU_NEW,
  GELU,
  RELU,
  SILU,
  QUICK_GELU,
}

/** Outputs side by side in a panel. */
export const PANEL: u32 = 8;
/** Positions in a page of the key/value cache. */
export const PAGE: u32 = 32;
/** Most rows in a block of attention. */
export const BLOCK_ROWS: u32 = 4;
/** Up to this many rows, every thread prepares all of them for itself: cheaper than a barrier. */
export const ROWS_ALONE: u32 = 2;
