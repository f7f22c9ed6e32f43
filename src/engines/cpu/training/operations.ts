import { setImmediate } from "node:timers/promises";
import type { Heap } from "../runtime/heap.js";
import type { Pool } from "../runtime/pool.js";
import { bytesOf, type Values, write } from "../runtime/records.js";

/** Jobs; assembly/training/index.ts has the same numbers. */
const JOB = {
  product: 1,
  norm: 2,
  normBack: 3,
  attend: 4,
  attendBack: 5,
  gelu: 6,
  geluBack: 7,
  columnSums: 8,
  scale: 9,
  copy: 10,
  embed: 11,
  embedBack: 12,
  crossEntropy: 13,
  step: 14,
} as const;

/** The classes in assembly/train/ have the same fields in the same order. */
const PRODUCT = [
  ...(["m", "n", "k", "a", "a_row", "a_k", "b", "b_k", "b_column", "c", "c_row", "bias", "add"] as const),
  ...(["shared", "own", "own_bytes"] as const),
] as const;
const NORM = ["rows", "n", "g", "b", "x", "y", "dx", "dg", "db", "moments"] as const;
const ATTENTION = [
  ...(["n", "t", "n_head", "n_embd", "qkv", "a", "rows", "da", "dqkv"] as const),
  ...(["own", "own_bytes"] as const),
] as const;
const VALUES = ["n", "rows", "x", "y", "z", "factor"] as const;
const EMBEDDING = ["rows", "t", "n", "ids", "wte", "wpe", "x"] as const;
const LOSS = ["rows", "n_vocab", "row", "logits", "targets", "losses", "factor"] as const;
const STEP = ["n", "values", "gradients", "m", "v", "mean", "rate", "correction"] as const;

/** Of the product in assembly/training/matmul.ts: the block of the left factor that is in panels at a time. */
const SHARED_ROWS = 1530;
const SHARED_DEPTH = 768;
/** Columns of a strip of the right factor, and how many k's of it are in panels at a time (assembly/training/tile.ts). */
const STRIP = 96;
const DEPTH = 256;
/** Rows of a block of attention's way back. */
const ATTENTION_BLOCK = 96;

/** After so many milliseconds of work the event loop has its turn: signals, timers, a progress bar. */
const TURN = 50;

/** A factor of a product: where it is, and how many values lie between its rows; `turned` swaps its two sides. */
export interface Factor {
  readonly at: number;
  readonly row: number;
  readonly turned?: boolean;
}

/** Rows of a left panel and columns of a right one, in either build of assembly/train/. */
const PANELS = [
  { LEFT: 5, RIGHT: 8 },
  { LEFT: 6, RIGHT: 16 },
];

const up = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/**
 * Bytes that each thread needs for itself, for products and attention: assembly/training/matmul.ts, attention.ts and
 * attention_gradient.ts cut them.
 * @param longest no factor of a product has more rows or columns @param t positions @param n_state width of a head
 */
export function ownBytes(longest: number, t: number, n_state: number): number {
  const floats = PANELS.map(({ LEFT, RIGHT }) => {
    const width = up(n_state, LEFT);
    const length = up(t, RIGHT);
    const forward =
      (up(t, LEFT) + RIGHT) * n_state + width * (length + RIGHT) + 2 * RIGHT + up(length, LEFT) * RIGHT;
    const back =
      RIGHT +
      ATTENTION_BLOCK +
      length * (2 * n_state + 3 * width + ATTENTION_BLOCK) +
      2 * up(ATTENTION_BLOCK, LEFT) * (n_state + RIGHT) +
      2 * ATTENTION_BLOCK * width +
      RIGHT * width;
    // A strip of the right factor and one of the result.
    const product = STRIP * (DEPTH + up(Math.min(longest, SHARED_ROWS), LEFT));
    return Math.max(product, forward, back);
  });
  return up(Math.max(...floats) * 4 + 64, 64);
}

/** Bytes that a product's left panels take, at most. @param longest as of ownBytes() */
export function sharedBytes(longest: number): number {
  const rows = Math.min(longest, SHARED_ROWS);
  const depth = Math.min(longest, SHARED_DEPTH);
  return Math.max(...PANELS.map(({ LEFT }) => Math.ceil(rows / LEFT) * (LEFT * depth * 4 + 64)));
}

/** What the threads can do, one call a job. Each returns when all of them are done. */
export class Operations {
  /**
   * Two records in turn: a thread may look at one once more when the others are through with its job, but not
   * when they are through with the next.
   */
  private readonly records: readonly number[];
  private jobs = 0;
  private turn = performance.now();
  /** Room for the threads' panels. */
  panels = { shared: 0, own: 0, own_bytes: 0 };

  constructor(
    private readonly heap: Heap,
    private readonly pool: Pool,
  ) {
    this.records = [heap.allocate(bytesOf(PRODUCT)), heap.allocate(bytesOf(PRODUCT))];
  }

  /**
   * c = a b, or c += a b. a [m, k], b [k, n], c [m, n]
   * @param bias [n], or 0 @param c_row values from row to row of c
   */
  product(
    [m, k, n]: readonly [number, number, number],
    a: Factor,
    b: Factor,
    c: number,
    { add = false, bias = 0, c_row = n } = {},
  ): Promise<void> {
    const [a_row, a_k] = a.turned ? [1, a.row] : [a.row, 1];
    const [b_k, b_column] = b.turned ? [1, b.row] : [b.row, 1];
    const { shared, own, own_bytes } = this.panels;
    const sides = { a: a.at, a_row, a_k, b: b.at, b_k, b_column, c, c_row, bias, add: Number(add) };
    return this.run(JOB.product, PRODUCT, { m, n, k, ...sides, shared, own, own_bytes });
  }

  norm(values: Pick<Values<typeof NORM>, "rows" | "n" | "g" | "b" | "x" | "y">): Promise<void> {
    return this.run(JOB.norm, NORM, values);
  }

  normBack(values: Omit<Values<typeof NORM>, "b">): Promise<void> {
    return this.run(JOB.normBack, NORM, values);
  }

  attend(values: Pick<Values<typeof ATTENTION>, AttentionFields>): Promise<void> {
    const { own, own_bytes } = this.panels;
    return this.run(JOB.attend, ATTENTION, { ...values, own, own_bytes });
  }

  attendBack(values: Pick<Values<typeof ATTENTION>, AttentionFields | "da" | "dqkv">): Promise<void> {
    const { own, own_bytes } = this.panels;
    return this.run(JOB.attendBack, ATTENTION, { ...values, own, own_bytes });
  }

  gelu(n: number, x: number, y: number): Promise<void> {
    return this.run(JOB.gelu, VALUES, { n, x, y });
  }

  /** z = z gelu'(x), y = gelu(x) */
  geluBack(n: number, x: number, y: number, z: number): Promise<void> {
    return this.run(JOB.geluBack, VALUES, { n, x, y, z });
  }

  /** y += the sum of the rows of x [rows, n] */
  columnSums(rows: number, n: number, x: number, y: number): Promise<void> {
    return this.run(JOB.columnSums, VALUES, { rows, n, x, y });
  }

  /** x = factor x */
  scale(n: number, x: number, factor: number): Promise<void> {
    return this.run(JOB.scale, VALUES, { n, x, y: x, factor });
  }

  copy(n: number, x: number, y: number): Promise<void> {
    return this.run(JOB.copy, VALUES, { n, x, y });
  }

  clear(n: number, y: number): Promise<void> {
    return this.run(JOB.copy, VALUES, { n, x: 0, y });
  }

  embed(values: Values<typeof EMBEDDING>): Promise<void> {
    return this.run(JOB.embed, EMBEDDING, values);
  }

  embedBack(values: Values<typeof EMBEDDING>): Promise<void> {
    return this.run(JOB.embedBack, EMBEDDING, values);
  }

  crossEntropy(values: Values<typeof LOSS>): Promise<void> {
    return this.run(JOB.crossEntropy, LOSS, values);
  }

  step(values: Values<typeof STEP>): Promise<void> {
    return this.run(JOB.step, STEP, values);
  }

  private async run<Fields extends readonly string[]>(
    job: number,
    fields: Fields,
    values: Partial<Values<Fields>>,
  ): Promise<void> {
    if (performance.now() - this.turn > TURN) {
      await setImmediate();
      this.turn = performance.now();
    }
    const record = this.records[this.jobs++ % 2];
    write(this.heap.memory, record, fields, values);
    this.pool.run(job, record);
  }
}

type AttentionFields = "n" | "t" | "n_head" | "n_embd" | "qkv" | "a" | "rows";
