import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import type { NativeFunction } from "../../dist/src/engines/cpu/runtime/native.js";

export type Kernels = Record<string, NativeFunction>;

const CONTROL = 2048;
const THREADS = 3;
const PAGES = 10;
const RUNTIME = new URL("../../dist/src/engines/cpu/runtime/", import.meta.url);
// As src/engines/cpu/runtime/features.ts: Node 20 has relaxed SIMD, but has to be told.
if (process.versions.v8.startsWith("11.")) setFlagsFromString("--experimental-wasm-relaxed-simd");
const modules = new Map<string, WebAssembly.Module>();

/** WebAssembly's own kernels on a thread: gpt2-kernels or train-kernels. */
export function wasmKernels(name: string, memory: WebAssembly.Memory, thread: number): Kernels {
  let module = modules.get(name);
  if (!module) {
    module = new WebAssembly.Module(readFileSync(new URL(`${name}.wasm`, RUNTIME)));
    modules.set(name, module);
  }
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  (exports.join as NativeFunction)(CONTROL, thread);
  return exports as Kernels;
}

/** Kernels of any make over a memory of their own; several with the same inputs must leave the same bytes behind. */
export class KernelWorld {
  readonly kernels: readonly Kernels[];
  readonly memory: WebAssembly.Memory;
  readonly words: Uint32Array;
  readonly floats: Float32Array;

  constructor(
    readonly name: string,
    pages: number,
    readonly threads: number,
    make: (memory: WebAssembly.Memory, thread: number) => Kernels,
  ) {
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: 65535, shared: true });
    this.words = new Uint32Array(this.memory.buffer);
    this.floats = new Float32Array(this.memory.buffer);
    this.words[CONTROL / 4 + THREADS] = threads;
    this.words[CONTROL / 4 + PAGES] = pages;
    this.kernels = Array.from({ length: threads }, (_, thread) => make(this.memory, thread));
  }

  /** All threads do their share, one after another, starting with `first`; then the counters are reset. */
  run(kernel: string, args: readonly number[], first = 0): void {
    for (let i = 0; i < this.threads; i++) this.kernels[(first + i) % this.threads][kernel](...args);
    for (let t = 0; t < this.threads; t++) this.words[(CONTROL + 64 + 64 * t) / 4] = 0;
  }
}

/** Places and values for a test, the same for every world. */
export class Inputs {
  private at = 8192;
  private readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  private readonly floats: Float32Array;
  /** Scratch memory: its contents are not compared. */
  private readonly scratches: [number, number][] = [];

  constructor(
    pages: number,
    private seed: number,
  ) {
    this.bytes = new Uint8Array(pages * 65536);
    this.words = new Uint32Array(this.bytes.buffer);
    this.floats = new Float32Array(this.bytes.buffer);
  }

  random(): number {
    this.seed = (Math.imul(this.seed, 1664525) + 1013904223) >>> 0;
    return this.seed / 2 ** 32;
  }

  whole(begin: number, end: number): number {
    return begin + Math.floor(this.random() * (end - begin + 1));
  }

  /** Memory for this many bytes, in its own cache lines, with padding. */
  room(bytes: number): number {
    const at = this.at;
    this.at += Math.ceil(bytes / 64) * 64 + 64;
    assert.ok(this.at <= this.bytes.length, "a larger memory is needed");
    return at;
  }

  scratch(bytes: number): number {
    const at = this.room(bytes);
    this.scratches.push([at, at + bytes]);
    return at;
  }

  record(...values: number[]): number {
    const at = this.room(values.length * 4);
    this.words.set(values, at / 4);
    return at;
  }

  /** Values around 0; `odd` of them, each with some chance: NaN, infinities, denormals, very large and zeros. */
  values(n: number, scale = 1, odd = 0): number {
    const at = this.room(n * 4);
    const others = [Number.NaN, Infinity, -Infinity, 1e-41, -1e-45, 3e38, -3e38, 0, -0];
    for (let i = 0; i < n; i++)
      this.floats[at / 4 + i] =
        this.random() < odd ? others[this.whole(0, others.length - 1)] : (this.random() * 2 - 1) * scale;
    return at;
  }

  setFloat(at: number, value: number): void {
    this.floats[at / 4] = value;
  }

  raw(bytes: number): number {
    const at = this.room(bytes);
    for (let i = 0; i < bytes; i++) this.bytes[at + i] = this.whole(0, 255);
    return at;
  }

  /** Puts everything into a world. */
  into(world: KernelWorld): void {
    new Uint8Array(world.memory.buffer, 8192, this.at - 8192).set(this.bytes.subarray(8192, this.at));
  }

  /** All bytes of two worlds, outside of scratch, are the same: a NaN is a NaN. */
  compare(one: KernelWorld, other: KernelWorld, what: () => string): void {
    const inScratch = (at: number): boolean => this.scratches.some(([begin, end]) => at >= begin && at < end);
    for (let i = 2048; i < this.at / 4; i++) {
      const [a, b] = [one.words[i], other.words[i]];
      if (a === b || (isNaNWord(a) && isNaNWord(b)) || inScratch(i * 4)) continue;
      const values = `${one.floats[i]} (${one.name}) and ${other.floats[i]} (${other.name})`;
      assert.fail(`${what()}: ${values} at ${i * 4}`);
    }
  }
}

const isNaNWord = (word: number): boolean => (word & 0x7fffffff) > 0x7f800000;
