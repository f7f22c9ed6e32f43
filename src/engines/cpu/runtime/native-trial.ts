import { CONTROL_AT, Control, LINE, Mode, WeightType } from "../../../../assembly/abi.js";
import { messageOf } from "../../../system/errors.js";
import { createMemory, Heap } from "./heap.js";
import { loadNative } from "./native.js";
import { HEAP_START } from "./pool.js";
import type { Kernels, ProgramName } from "./program.js";
import {
  type Fields,
  type FieldValues,
  LAYERNORM,
  LINEAR,
  MATMUL,
  NORM,
  type RecordType,
  VALUES,
  write,
} from "./records.js";

/** Native kernels that can be used here, and which; or why not, in one line. */
export type NativeTrial =
  | { readonly works: true; readonly description: string }
  | { readonly works: false; readonly reason: string };

const trials = new Map<ProgramName, NativeTrial>();

/** Loads the native kernels and tries those that a program needs, once per process. */
export function tryNative(program: ProgramName): NativeTrial {
  const trial = trials.get(program) ?? runTrial(program);
  trials.set(program, trial);
  return trial;
}

function runTrial(program: ProgramName): NativeTrial {
  try {
    const native = loadNative();
    if (typeof native === "string") return { works: false, reason: native };
    const make = (memory: WebAssembly.Memory): Kernels =>
      native.kernels(new Uint8Array(memory.buffer), CONTROL_AT, 0) as Kernels;
    if (hashOfTrial(program, make) === TRIAL_HASHES[program])
      return { works: true, description: native.description };
    return {
      works: false,
      reason: `the ${native.description} kernels do not compute the bits that they must`,
    };
  } catch (error) {
    return { works: false, reason: messageOf(error) };
  }
}

/** What every set of kernels must give; test/engines/cpu/runtime/native-trial.test.ts compares WebAssembly's with it. */
export const TRIAL_HASHES: Readonly<Record<ProgramName, number>> = {
  gpt2: 0x96774ca0,
  train: 0x3f4a6c28,
};

/**
 * Runs a program's kernels on small inputs, in their own memory. gpt2: LayerNorm with products in float32 and int8, a
 * bias and every activation; train: the product in two layouts, and the gradients of LayerNorm and activations.
 * @param make makes the kernels over a memory, for its first thread
 * @returns a hash of the bits of all results
 */
export function hashOfTrial(program: ProgramName, make: (memory: WebAssembly.Memory) => Kernels): number {
  const trial = new Trial(make);
  if (program === "gpt2") trial.infer();
  else trial.train();
  return trial.hash;
}

class Trial {
  /** FNV-1a over the words of all results. */
  hash = 0x811c9dc5;
  private readonly memory = createMemory(1 << 22, 64);
  private readonly words = new Int32Array(this.memory.buffer);
  private readonly heap = new Heap(this.memory, HEAP_START(1));
  private readonly kernels: Kernels;
  private state = 1;

  constructor(make: (memory: WebAssembly.Memory) => Kernels) {
    this.words[CONTROL_AT / 4 + Control.THREADS] = 1;
    this.words[CONTROL_AT / 4 + Control.PAGES] = this.memory.buffer.byteLength / 65536;
    this.kernels = make(this.memory);
  }

  infer(): void {
    const [rows, n_in, n_out] = [5, 37, 24];
    const own = this.heap.allocate(this.kernels.inference_own_bytes(64, n_in));
    const x = this.floats(rows * n_in);
    const norm = this.record(NORM, { g: this.floats(n_in), b: this.floats(n_in), epsilon: 1e-5 });
    const [a, q, scales] = [this.floats(rows * n_in), this.floats(rows * 19), this.floats(rows)];
    const sizes = { n_in, n_out, b: this.floats(n_out) };
    const w = this.floats(n_in * n_out);
    const matrix = this.record(LINEAR, { ...sizes, w, type: WeightType.FLOAT32 });
    // Any bytes can be int8 weights; each output's scale is one of the numbers.
    const int8 = { w, scale: this.floats(n_out), limit: 16000, type: WeightType.INT8 };
    const rounded = this.record(LINEAR, { ...sizes, ...int8 });
    for (const n of [1, rows]) {
      const [y, z] = [this.floats(rows * n_out), this.floats(rows * n_out)];
      this.run("prepare", rounded, norm, n, x, n_in, a, n_in, q, scales, 0);
      this.run("linear_float32", matrix, n, a, n_in, y, n_out, Mode.GELU_NEW);
      this.run("linear_int8", rounded, n, q, scales, z, n_out, Mode.ADD, own);
      this.take(y, n * n_out);
      this.take(z, n * n_out);
    }
    for (const mode of [Mode.GELU, Mode.RELU, Mode.SILU, Mode.QUICK_GELU]) {
      const y = this.floats(rows * n_out);
      this.run("linear_float32", matrix, rows, a, n_in, y, n_out, mode);
      this.take(y, rows * n_out);
    }
  }

  train(): void {
    const [m, k, n] = [7, 29, 19];
    const [own, shared] = [this.kernels.training_own_bytes(k, 1, 8), this.kernels.training_shared_bytes(k)];
    const room = { own: this.heap.allocate(own), own_bytes: own, shared: this.heap.allocate(shared) };
    const [a, b, c] = [this.floats(m * k), this.floats(k * n), this.floats(m * n)];
    const product = { m, n, k, a, b, c, c_row: n, add: 1, bias: this.floats(n), ...room };
    for (const order of [
      { a_row: k, a_k: 1, b_k: n, b_column: 1 },
      { a_row: 1, a_k: m, b_k: 1, b_column: k },
    ]) {
      const record = this.record(MATMUL, { ...product, ...order });
      const blocks = this.kernels.matmul_blocks(record);
      for (let block = 0; block < blocks; block++) {
        this.run("matmul_pack", record, block);
        this.run("matmul_block", record, block);
      }
    }
    this.take(c, m * n);
    const [g, dx, dg, db] = [k, m * k, k, k].map((size) => this.floats(size));
    const moments = this.floats(2 * m);
    const norm = this.record(LAYERNORM, {
      rows: m,
      n: k,
      g,
      x: a,
      y: this.floats(m * k),
      dx,
      dg,
      db,
      moments,
      epsilon: 1e-5,
    });
    this.run("layernorm_backward_rows", norm);
    this.run("layernorm_backward_columns", norm);
    this.take(dx, m * k);
    this.take(dg, k);
    this.take(db, k);
    const count = 48;
    for (const activation of [Mode.GELU_NEW, Mode.GELU, Mode.RELU, Mode.SILU, Mode.QUICK_GELU]) {
      const [x, y, z] = [count, count, count].map((size) => this.floats(size));
      this.run("activation_backward", this.record(VALUES, { n: count, x, y, z, activation }));
      this.take(y, count);
      this.take(z, count);
    }
  }

  /** Runs a kernel, then resets the counter of units, as a barrier does. */
  private run(kernel: string, ...args: number[]): void {
    this.kernels[kernel](...args);
    this.words[(CONTROL_AT + LINE) / 4] = 0;
  }

  private take(at: number, n: number): void {
    for (const word of new Uint32Array(this.memory.buffer, at, n))
      this.hash = Math.imul(this.hash ^ word, 0x01000193) >>> 0;
  }

  /** Numbers in [-1, 1), the same every time. @returns their address */
  private floats(n: number): number {
    const at = this.heap.allocate(n * 4);
    const values = new Float32Array(this.memory.buffer, at, n);
    for (let i = 0; i < n; i++) {
      this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
      values[i] = (this.state >>> 8) / 2 ** 23 - 1;
    }
    return at;
  }

  private record<F extends Fields>(type: RecordType<F>, values: Partial<FieldValues<F>>): number {
    const at = this.heap.allocate(type.bytes);
    new Uint8Array(this.memory.buffer, at, type.bytes).fill(0);
    write(this.memory, at, type, values);
    return at;
  }
}
