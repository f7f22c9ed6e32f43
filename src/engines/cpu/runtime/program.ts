import { readFile } from "node:fs/promises";
import { CONTROL_AT } from "../../../../assembly/abi.js";
import { hasWasmFeatures } from "./features.js";
import { loadNative } from "./native.js";

/** Functions over the shared memory, by name: assembly/inference/kernels.ts and assembly/training/kernels.ts. */
export type Kernels = Readonly<Record<string, (...args: number[]) => number>>;

/** The programs: gpt2 runs models, train trains them. */
export type ProgramName = "gpt2" | "train";

/** What a thread runs. */
export interface Program {
  readonly module: WebAssembly.Module;
  /** The module of the kernels that it imports; undefined for native ones. */
  readonly kernels: WebAssembly.Module | undefined;
}

/** What a program exports. */
export interface ProgramExports {
  /** Tells the instance its thread's number, before any other call. */
  join(control: number, thread: number): void;
  /** Serves jobs until told to stop: the whole life of a worker. */
  serve(seen: number): void;
  /** Runs this thread's share of the current job and ends the job. */
  run(): void;
}

/** A program on a thread. */
export interface Instance<Exports extends ProgramExports = ProgramExports> {
  readonly exports: Exports;
  readonly kernels: Kernels;
}

/** Compiles the file of this name in this module's folder. */
async function compile(name: string): Promise<WebAssembly.Module> {
  hasWasmFeatures(); // Node 20 has to be told first
  return WebAssembly.compile(await readFile(new URL(`${name}.wasm`, import.meta.url)));
}

/** A program and its kernels. */
export async function loadProgram(name: ProgramName, native: boolean): Promise<Program> {
  const [module, kernels] = await Promise.all([
    compile(name),
    native ? undefined : compile(`${name}-kernels`),
  ]);
  return { module, kernels };
}

/** An instance of a program over a shared memory, as one of several threads. */
export function instantiate<Exports extends ProgramExports>(
  { module, kernels }: Program,
  memory: WebAssembly.Memory,
  thread: number,
): Instance<Exports> {
  const filled = kernels ? wasmKernels(kernels, memory, thread) : nativeKernels(memory, thread);
  const imports = { env: { memory }, kernels: filled };
  const exports = new WebAssembly.Instance(module, imports).exports as unknown as Exports;
  exports.join(CONTROL_AT, thread);
  return { exports, kernels: filled };
}

/** WebAssembly's own kernels, for one thread. */
export function wasmKernels(module: WebAssembly.Module, memory: WebAssembly.Memory, thread: number): Kernels {
  const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as Kernels;
  kernels.join(CONTROL_AT, thread);
  return kernels;
}

function nativeKernels(memory: WebAssembly.Memory, thread: number): Kernels {
  const native = loadNative();
  if (typeof native === "string") throw new Error(native);
  return native.kernels(new Uint8Array(memory.buffer), CONTROL_AT, thread) as Kernels;
}

let fused: Promise<boolean> | undefined;

/** Whether WebAssembly's multiply-add rounds once here, like the native kernels': if not, results may differ. */
export function isFused(): Promise<boolean> {
  fused ??= compile("gpt2-kernels").then((module) => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65535, shared: true });
    return wasmKernels(module, memory, 0).isFused(1) === 1;
  });
  return fused;
}
