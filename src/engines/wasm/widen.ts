import { setFlagsFromString } from "node:v8";

/**
 * V8's optimizing compiler can join two neighbouring vectors of four values into one of eight where the processor
 * has AVX2 (x64). It is an experiment of V8's, and so it is asked for only in the versions that were tried, those
 * of Node 24, 25 and 26 (in Node 22 it does nothing), for one module alone; what comes out is checked before it is
 * used.
 */
const TRIED = ["13.6.", "14.1.", "14.6."];
/**
 * The whole module by the optimizing compiler, now: then the flags can be taken back at once. Without inlining:
 * Node 25 ends with "Check failed" where it looks for what the other compiler would have noted for it.
 */
const FLAGS = [
  "--experimental-wasm-revectorize",
  "--no-liftoff",
  "--no-wasm-lazy-compilation",
  "--no-wasm-inlining",
];
const BACK = [
  "--no-experimental-wasm-revectorize",
  "--liftoff",
  "--wasm-lazy-compilation",
  "--wasm-inlining",
];

/** A module's product kernels, as assembly/train/index.ts exports them. */
interface Kernels {
  tile: Tile;
  tileWide: Tile;
}
type Tile = (a: number, b: number, k: number, c: number, step: number, bias: number, add: number) => void;

/** Whether this Node may join vectors. */
export function canWiden(): boolean {
  return process.arch === "x64" && TRIED.some((version) => process.versions.v8?.startsWith(version));
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

/**
 * Whether the wide tile is the faster one: it takes two thirds of the other's time where vectors were joined, and
 * twice its time where they were not.
 */
export function isWideFaster({ narrow, wide }: Trial): boolean {
  return wide < 1.1 * narrow;
}

/** Tries a training program's product kernels, in memory of their own; some 10 ms. */
export function tryTiles(module: WebAssembly.Module): Trial {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 65536, shared: true });
  const { tile, tileWide } = new WebAssembly.Instance(module, { env: { memory } })
    .exports as unknown as Kernels;
  const tiles = [new TriedTile(tile, memory, 8), new TriedTile(tileWide, memory, 16)];
  const right = tiles.every((each) => each.isRight());
  // In turns: on a busy machine both meet the same hindrances.
  for (let round = 0; round < ROUNDS; round++) for (const each of tiles) each.time();
  const [narrow, wide] = tiles.map(({ fastest }) => fastest);
  return { right, narrow, wide };
}

/** One tile and its factors: [5, K] times [K, columns]. */
class TriedTile {
  /** Milliseconds for a value of the result. */
  fastest = Number.POSITIVE_INFINITY;
  private readonly values: Float32Array;
  private readonly a = 1024; // [K, 5]
  private readonly b = this.a + ROWS * K * 4; // [K, columns]
  private readonly bias: number; // [columns]
  private readonly c: number; // [5, columns]

  constructor(
    private readonly tile: Tile,
    memory: WebAssembly.Memory,
    private readonly columns: number,
  ) {
    this.bias = this.b + columns * K * 4;
    this.c = this.bias + columns * 4;
    this.values = new Float32Array(memory.buffer);
  }

  /** With a bias and without, in place of c and added to it. */
  isRight(): boolean {
    const { columns, values, a, b, bias, c } = this;
    for (let k = 0; k < K; k++) {
      for (let row = 0; row < ROWS; row++) values[a / 4 + k * ROWS + row] = left(row, k);
      for (let column = 0; column < columns; column++)
        values[b / 4 + k * columns + column] = right(k, column);
    }
    for (let column = 0; column < columns; column++) values[bias / 4 + column] = column + 1;
    return [0, bias].every((useBias) =>
      [0, 1].every((add) => {
        for (let i = 0; i < ROWS * columns; i++) values[c / 4 + i] = i * i;
        this.tile(a, b, K, c, columns * 4, useBias, add);
        return Array.from({ length: ROWS * columns }, (_, i) => {
          const column = i % columns;
          const more = (useBias ? column + 1 : 0) + (add ? i * i : 0);
          return values[c / 4 + i] === product(Math.floor(i / columns), column) + more;
        }).every(Boolean);
      }),
    );
  }

  time(): void {
    const { columns, a, b, c } = this;
    const started = performance.now();
    for (let run = 0; run < RUNS; run++) this.tile(a, b, K, c, columns * 4, 0, 0);
    this.fastest = Math.min(this.fastest, (performance.now() - started) / (RUNS * ROWS * columns));
  }
}

// Factors of whole numbers whose sums stay below 2^24: exact in any order, fused or not.
const left = (row: number, k: number): number => ((row * 5 + k * 7) % 17) - 8;
const right = (k: number, column: number): number => ((k * 11 + column * 3) % 19) - 9;

function product(row: number, column: number): number {
  let sum = 0;
  for (let k = 0; k < K; k++) sum += left(row, k) * right(k, column);
  return sum;
}
