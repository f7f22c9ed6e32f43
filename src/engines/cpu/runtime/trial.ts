/** Trials of a module's product kernels before it is used: are they right, and which is faster? */

import { LIMIT_PAGES } from "./heap.js";

/** c = a b (+ bias), or c += a b (+ bias), for factors in a kernel's own layout. All places are addresses. */
export interface Kernel {
  readonly rows: number;
  readonly columns: number;
  /** Where a value of a [rows, K] lies, counted in values from a's first; of b [K, columns]. */
  readonly leftAt: (row: number, k: number) => number;
  readonly rightAt: (k: number, column: number) => number;
  /** Whether it adds a bias if it is told to. */
  readonly biased: boolean;
  /** @param step bytes from row to row of c @param bias [columns], or 0 */
  readonly run: (
    a: number,
    b: number,
    k: number,
    c: number,
    step: number,
    bias: number,
    add: boolean,
  ) => void;
}

/** What a narrow and a wide kernel make of the same factors, and how long they take. */
export interface Trial {
  /** Both kernels' results are what they must be, to the bit. */
  readonly right: boolean;
  /** Milliseconds for a value of the result. */
  readonly narrow: number;
  readonly wide: number;
}

const K = 384;
/** Runs that are timed together, and how often: the fastest counts. */
const RUNS = 20;
const ROUNDS = 30;

type Tile = (a: number, b: number, k: number, c: number, step: number, add: number) => void;
type Rows = (
  ...args: [w: number, x: number, xs: number, y: number, ys: number, n_in: number, b: number, mode: number]
) => void;

/** Tries a training program's tiles (assembly/train), in memory of their own; some 10 ms. */
export function tryTiles(module: WebAssembly.Module): Trial {
  const panels = (tile: Tile, rows: number, columns: number): Kernel => ({
    ...{ rows, columns, biased: false },
    leftAt: (row, k) => k * rows + row,
    rightAt: (k, column) => k * columns + column,
    run: (a, b, k, c, step, _, add) => tile(a, b, k, c, step, Number(add)),
  });
  return tryKernels(module, ({ tile5x8, tile6x16 }) => [
    panels(tile5x8 as Tile, 5, 8),
    panels(tile6x16 as Tile, 6, 16),
  ]);
}

/** Tries the engine's float32 kernels for several rows (assembly/inference/linear.ts), likewise. */
export function tryRows(module: WebAssembly.Module): Trial {
  const panels = (rows: Rows, columns: number): Kernel => ({
    ...{ rows: 4, columns, biased: true },
    leftAt: (row, k) => row * K + k,
    rightAt: (k, column) => Math.floor(column / 8) * 8 * K + k * 8 + (column % 8),
    run: (a, b, k, c, step, bias, add) => rows(b, a, k * 4, c, step, k, bias, Number(add)),
  });
  return tryKernels(module, ({ rows4panel1, rows4panels2 }) => [
    panels(rows4panel1 as Rows, 8),
    panels(rows4panels2 as Rows, 16),
  ]);
}

/**
 * Whether the wide kernel is the faster one: it takes two thirds of the other's time where vectors were joined, and
 * twice its time where they were not.
 */
export function isWideFaster({ narrow, wide }: Trial): boolean {
  return wide < 1.1 * narrow;
}

function tryKernels(
  module: WebAssembly.Module,
  pick: (exports: Record<string, unknown>) => readonly [Kernel, Kernel],
): Trial {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: LIMIT_PAGES, shared: true });
  const kernels = pick(new WebAssembly.Instance(module, { env: { memory } }).exports);
  const tried = kernels.map((kernel) => new Tried(kernel, memory));
  const right = tried.every((each) => each.isRight());
  // In turns: on a busy machine both meet the same hindrances.
  for (let round = 0; round < ROUNDS; round++) for (const each of tried) each.time();
  const [narrow, wide] = tried.map(({ fastest }) => fastest);
  return { right, narrow, wide };
}

/** One kernel and its factors. */
class Tried {
  /** Milliseconds for a value of the result. */
  fastest = Number.POSITIVE_INFINITY;
  private readonly values: Float32Array;
  private readonly a = 2048;
  private readonly b: number;
  private readonly bias: number;
  private readonly c: number;

  constructor(
    private readonly kernel: Kernel,
    memory: WebAssembly.Memory,
  ) {
    const { rows, columns } = kernel;
    this.b = this.a + rows * K * 4;
    this.bias = this.b + columns * K * 4;
    this.c = this.bias + columns * 4;
    this.values = new Float32Array(memory.buffer);
  }

  /** With a bias and without, in place of c and added to it. */
  isRight(): boolean {
    const { values, a, b, bias, c } = this;
    const { rows, columns, leftAt, rightAt } = this.kernel;
    for (let k = 0; k < K; k++) {
      for (let row = 0; row < rows; row++) values[a / 4 + leftAt(row, k)] = left(row, k);
      for (let column = 0; column < columns; column++) values[b / 4 + rightAt(k, column)] = right(k, column);
    }
    for (let column = 0; column < columns; column++) values[bias / 4 + column] = column + 1;
    return (this.kernel.biased ? [0, bias] : [0]).every((useBias) =>
      [false, true].every((add) => {
        for (let i = 0; i < rows * columns; i++) values[c / 4 + i] = i * i;
        this.kernel.run(a, b, K, c, columns * 4, useBias, add);
        return Array.from({ length: rows * columns }, (_, i) => {
          const column = i % columns;
          const more = (useBias ? column + 1 : 0) + (add ? i * i : 0);
          return values[c / 4 + i] === product(Math.floor(i / columns), column) + more;
        }).every(Boolean);
      }),
    );
  }

  time(): void {
    const { kernel, a, b, c } = this;
    const { rows, columns } = kernel;
    const started = performance.now();
    for (let run = 0; run < RUNS; run++) kernel.run(a, b, K, c, columns * 4, 0, false);
    this.fastest = Math.min(this.fastest, (performance.now() - started) / (RUNS * rows * columns));
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
