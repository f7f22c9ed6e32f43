import { setFlagsFromString } from "node:v8";

/**
 * V8's optimizing compiler can join two neighbouring vectors of four values into one of eight where the processor
 * has AVX2 (x64). It is an experiment of V8's, and so it is asked for only in the one version that was tried,
 * Node 24's (in 12.4 it does nothing, in 14.1 the process crashes), for one module alone; what comes out is
 * checked before it is used.
 */
const TRIED = "13.6.";
/** The whole module by the optimizing compiler, now: then the flags can be taken back at once. */
const FLAGS = ["--experimental-wasm-revectorize", "--no-liftoff", "--no-wasm-lazy-compilation"];
const BACK = ["--no-experimental-wasm-revectorize", "--liftoff", "--wasm-lazy-compilation"];

/** A module's product kernels, as assembly/train/index.ts exports them. */
interface Kernels {
  tile: Tile;
  tileWide: Tile;
}
type Tile = (a: number, b: number, k: number, c: number, step: number, bias: number, add: number) => void;

/** Whether this Node may join vectors. */
export function canWiden(): boolean {
  return process.arch === "x64" && process.versions.v8?.startsWith(TRIED) === true;
}

/**
 * Compiles a module with vectors joined. For a canWiden() Node; it takes some 0.1 s.
 * @throws WebAssembly.CompileError
 */
export function compileWide(program: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  for (const flag of FLAGS) setFlagsFromString(flag);
  try {
    return new WebAssembly.Module(program);
  } finally {
    for (const flag of BACK) setFlagsFromString(flag);
  }
}

const ROWS = 5;
const K = 384;
/** Runs that are timed together, and how often: the fastest counts. */
const RUNS = 20;
const ROUNDS = 30;

/** What the two tiles make of the same factors, and how long they take. */
export interface Trial {
  /** Both tiles' results are what they must be, to the bit. */
  readonly right: boolean;
  /** Milliseconds for a value of the result. */
  readonly narrow: number;
  readonly wide: number;
}

/** Tries a training program's product kernels, in memory of their own; some 10 ms. */
export function tryTiles(module: WebAssembly.Module): Trial {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 65536, shared: true });
  const { tile, tileWide } = new WebAssembly.Instance(module, { env: { memory } })
    .exports as unknown as Kernels;
  const narrow = tryTile(tile, memory, 8);
  const wide = tryTile(tileWide, memory, 16);
  return { right: narrow.right && wide.right, narrow: narrow.time, wide: wide.time };
}

/** [5, K] times [K, columns], with a bias and without, in place of c and added to it. */
function tryTile(tile: Tile, memory: WebAssembly.Memory, columns: number): { right: boolean; time: number } {
  const a = 1024; // [K, 5]
  const b = a + ROWS * K * 4; // [K, columns]
  const bias = b + columns * K * 4; // [columns]
  const c = bias + columns * 4; // [5, columns]
  const values = new Float32Array(memory.buffer);
  const at = (address: number, i: number): number => address / 4 + i;
  // Whole numbers whose sums stay below 2^24: exact in any order, fused or not.
  const left = (row: number, k: number): number => ((row * 5 + k * 7) % 17) - 8;
  const right = (k: number, column: number): number => ((k * 11 + column * 3) % 19) - 9;
  for (let k = 0; k < K; k++) {
    for (let row = 0; row < ROWS; row++) values[at(a, k * ROWS + row)] = left(row, k);
    for (let column = 0; column < columns; column++) values[at(b, k * columns + column)] = right(k, column);
  }
  for (let column = 0; column < columns; column++) values[at(bias, column)] = column + 1;
  const sums = Array.from({ length: ROWS * columns }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += left(Math.floor(i / columns), k) * right(k, i % columns);
    return sum;
  });
  let isRight = true;
  for (const useBias of [0, bias])
    for (const add of [0, 1]) {
      for (let i = 0; i < sums.length; i++) values[at(c, i)] = i * i;
      tile(a, b, K, c, columns * 4, useBias, add);
      isRight &&= sums.every(
        (sum, i) => values[at(c, i)] === sum + (useBias ? (i % columns) + 1 : 0) + (add ? i * i : 0),
      );
    }
  let time = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    for (let run = 0; run < RUNS; run++) tile(a, b, K, c, columns * 4, 0, 0);
    time = Math.min(time, performance.now() - started);
  }
  return { right: isRight, time: time / (RUNS * sums.length) };
}
