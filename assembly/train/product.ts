/**
 * C = A B in float32, the one matrix product of training, in whatever order its factors lie. Every element of C
 * is added up over k in ascending order, in stretches that depend on k alone: its bits do not depend on the
 * number of threads, on the place in C, or on how many rows or columns there are beside it.
 *
 * A block of A is brought into panels that all threads read; each thread brings the columns of B that it is at
 * into panels of its own. Source of the scheme: Goto and van de Geijn, "Anatomy of high-performance matrix
 * multiplication", ACM TOMS 34 (2008).
 */
import { barrier, first, next, threadIndex } from "../threads";
import { madd } from "../vector";
import {
  LEFT,
  LEFT_BYTES,
  leftFromColumns,
  leftFromRows,
  RIGHT,
  RIGHT_BYTES,
  rightFromColumns,
  rightFromRowsInto,
  WIDE,
  WIDE_BYTES,
} from "./panels";
import { tileWide } from "./wide";

/** Steps of k in one go: a left panel of them stays in a core's first cache, a strip of B in its second. */
const DEPTH: u32 = 384;
/** Columns of C that a thread works at. */
const STRIP: u32 = 96;
/** The block of A that is in panels at a time; src/engines/wasm/train/operations.ts has the same numbers. */
const SHARED_ROWS: u32 = 1540;
const SHARED_DEPTH: u32 = 3072;
/** So many units of work at least, where there is enough of it: threads come to the end together. */
const UNITS: u32 = 16;
/** Left panels that are made in one go. */
const GROUP: u32 = 16;

@unmanaged
export class Product {
  m: u32;
  n: u32;
  k: u32;
  /** [m, k], with these numbers of values from row to row and from k to k; one of them is 1. */
  a: usize;
  a_row: u32;
  a_k: u32;
  /** [k, n], likewise */
  b: usize;
  b_k: u32;
  b_column: u32;
  /** [m, n], rows so many values apart */
  c: usize;
  c_row: u32;
  /** [n] or 0 */
  bias: usize;
  /** Not 0: C += A B. */
  add: u32;
  /** Room for min(m, SHARED_ROWS) (rounded up to panels) x min(k, SHARED_DEPTH) values. */
  shared: usize;
  own: usize;
  own_bytes: u32;
  /** Not 0: panels of 16 columns, for wider vectors. The result is the same. */
  wide: u32;
}

/** All threads together; a barrier ends it. */
export function multiply(p: Product): void {
  for (let k: u32 = 0; k < p.k; k += SHARED_DEPTH) {
    const depth = min(SHARED_DEPTH, p.k - k);
    for (let row: u32 = 0; row < p.m; row += SHARED_ROWS) {
      const rows = min(SHARED_ROWS, p.m - row);
      const panels = (rows + LEFT - 1) / LEFT;
      for (let unit = first((panels + GROUP - 1) / GROUP); unit >= 0; unit = next())
        shareRows(p, row, rows, <u32>unit * GROUP * LEFT, k, depth);
      barrier();
      const strips = (p.n + STRIP - 1) / STRIP;
      const chunks = min((UNITS + strips - 1) / strips, (panels + GROUP - 1) / GROUP);
      const each = (panels + chunks - 1) / chunks;
      for (let unit = first(strips * chunks); unit >= 0; unit = next()) {
        const begin = (<u32>unit % chunks) * each;
        const end = min(begin + each, panels);
        if (begin < end) strip(p, (<u32>unit / chunks) * STRIP, row, rows, begin, end, k, depth);
      }
      barrier();
    }
  }
}

/** Some rows of a block of A -> panels. @param from the first of them, counted in the block */
function shareRows(p: Product, row: u32, rows: u32, from: u32, k: u32, depth: u32): void {
  const count = min(GROUP * LEFT, rows - from);
  const panel = <usize>depth * LEFT_BYTES;
  const step = <usize>p.a_row << 2;
  let a = p.a + ((<usize>(row + from) * p.a_row + <usize>k * p.a_k) << 2);
  let to = p.shared + <usize>(from / LEFT) * panel;
  if (p.a_k != 1) leftFromColumns(a, <usize>p.a_k << 2, count, depth, to, panel);
  else
    for (let r: u32 = 0; r < count; r += LEFT) {
      leftFromRows(a, step, min(LEFT, count - r), depth, to);
      a += LEFT * step;
      to += panel;
    }
}

/** Some columns of C, from left panel `begin` to `end`, over the k's of a block. */
function strip(
  p: Product, column: u32, row: u32, rows: u32, begin: u32, end: u32, k: u32, depth: u32,
): void {
  const own = p.own + <usize>threadIndex() * p.own_bytes;
  const columns = min(STRIP, p.n - column);
  const line = p.wide ? WIDE_BYTES : RIGHT_BYTES;
  for (let done: u32 = 0; done < depth; done += DEPTH) {
    const count = min(DEPTH, depth - done);
    ownColumns(p, column, columns, k + done, count, own, line);
    const start = k + done == 0;
    const bias = start && p.bias ? p.bias + (<usize>column << 2) : 0;
    const add: u32 = start ? p.add : 1;
    for (let i = begin; i < end; i++) {
      const a = p.shared + (<usize>i * depth + done) * LEFT_BYTES;
      const c = p.c + ((<usize>(row + i * LEFT) * p.c_row + column) << 2);
      tiles(a, own, line, columns, count, c, <usize>p.c_row << 2, min(LEFT, rows - i * LEFT), bias, add);
    }
  }
}

/** Columns of B -> this thread's panels, behind the room for one block of C. @param line bytes of a panel's k */
function ownColumns(p: Product, column: u32, columns: u32, k: u32, count: u32, own: usize, line: usize): void {
  const panel = <usize>count * line;
  let b = p.b + ((<usize>k * p.b_k + <usize>column * p.b_column) << 2);
  let to = own + TILE;
  if (p.b_column == 1) return rightFromColumns(b, <usize>p.b_k << 2, columns, count, to, line, panel);
  const step = <usize>p.b_column << 2;
  const width = <u32>(line >> 2);
  for (let c: u32 = 0; c < columns; c += width) {
    for (let half: u32 = 0; half < width; half += RIGHT) {
      const room = columns > c + half ? columns - c - half : 0;
      rightFromRowsInto(b, step, min(RIGHT, room), count, to + (<usize>half << 2), line);
      b += RIGHT * step;
    }
    to += panel;
  }
}

/** Bytes of a block of C in whole. */
const TILE: usize = 320; // LEFT * WIDE_BYTES: cache lines in whole

/** One left panel by all right panels of a strip. @param line bytes of one k in these */
function tiles(
  a: usize, own: usize, line: usize, columns: u32, k: u32, c: usize, step: usize, rows: u32, bias: usize,
  add: u32,
): void {
  const width = <u32>(line >> 2);
  const right = <usize>k * line;
  let b = own + TILE;
  for (let column: u32 = 0; column < columns; column += width) {
    if (rows == LEFT && columns - column >= width) block(line, a, b, k, c, step, bias, add);
    else {
      block(line, a, b, k, own, line, 0, 0);
      partOfTile(own, line, c, step, rows, min(width, columns - column), bias, add);
    }
    b += right;
    c += line;
    if (bias) bias += line;
  }
}

// @ts-ignore: decorator
@inline
function block(
  line: usize, a: usize, b: usize, k: u32, c: usize, step: usize, bias: usize, add: u32,
): void {
  if (line == WIDE_BYTES) tileWide(a, b, k, c, step, bias, add);
  else tile(a, b, k, c, step, bias, add);
}

/** Takes from a block of C what lies within the matrix; the same arithmetic as tile()'s end. */
function partOfTile(
  from: usize, line: usize, c: usize, step: usize, rows: u32, columns: u32, bias: usize, add: u32,
): void {
  for (let r: u32 = 0; r < rows; r++) {
    for (let i: usize = 0; i < columns; i++) {
      const at = c + (i << 2);
      let value = load<f32>(from + (i << 2));
      if (bias) value += load<f32>(bias + (i << 2));
      if (add) value = load<f32>(at) + value;
      store<f32>(at, value);
    }
    from += line;
    c += step;
  }
}

// @ts-ignore: decorator
@inline
function finish(c: usize, low: v128, high: v128): void {
  v128.store(c, low);
  v128.store(c, high, 16);
}

/** One lane of a vector, in all four. */
// @ts-ignore: decorator
@inline
function spread(v: v128, lane: u8): v128 {
  if (lane == 0) return v128.shuffle<f32>(v, v, 0, 0, 0, 0);
  if (lane == 1) return v128.shuffle<f32>(v, v, 1, 1, 1, 1);
  if (lane == 2) return v128.shuffle<f32>(v, v, 2, 2, 2, 2);
  return v128.shuffle<f32>(v, v, 3, 3, 3, 3);
}

/**
 * The inner loop: 5 rows by 8 columns of C over k, at least 1. V8 puts a step's loads before its arithmetic: ten
 * sums, the four vectors that are loaded and one that is spread are what its 15 registers hold; a larger block
 * would be slower, and so is one whose rows are loaded one by one.
 * @param a left panel [k, 5] @param b right panel [k, 8] @param step bytes from row to row of c
 * @param bias 8 values, or 0
 */
export function tile(a: usize, b: usize, k: u32, c: usize, step: usize, bias: usize, add: u32): void {
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero, e0 = zero, e1 = zero;
  const end = b + <usize>k * RIGHT_BYTES;
  do {
    const w0 = v128.load(b);
    const w1 = v128.load(b, 16);
    const four = v128.load(a);
    let x = spread(four, 0);
    a0 = madd(w0, x, a0);
    a1 = madd(w1, x, a1);
    x = spread(four, 1);
    b0 = madd(w0, x, b0);
    b1 = madd(w1, x, b1);
    x = spread(four, 2);
    c0 = madd(w0, x, c0);
    c1 = madd(w1, x, c1);
    x = spread(four, 3);
    d0 = madd(w0, x, d0);
    d1 = madd(w1, x, d1);
    x = v128.load_splat<f32>(a, 16);
    e0 = madd(w0, x, e0);
    e1 = madd(w1, x, e1);
    a += LEFT_BYTES;
    b += RIGHT_BYTES;
  } while (b < end);
  if (bias) {
    const low = v128.load(bias);
    const high = v128.load(bias, 16);
    a0 = f32x4.add(a0, low);
    a1 = f32x4.add(a1, high);
    b0 = f32x4.add(b0, low);
    b1 = f32x4.add(b1, high);
    c0 = f32x4.add(c0, low);
    c1 = f32x4.add(c1, high);
    d0 = f32x4.add(d0, low);
    d1 = f32x4.add(d1, high);
    e0 = f32x4.add(e0, low);
    e1 = f32x4.add(e1, high);
  }
  if (add) {
    finish(c, f32x4.add(v128.load(c), a0), f32x4.add(v128.load(c, 16), a1));
    c += step;
    finish(c, f32x4.add(v128.load(c), b0), f32x4.add(v128.load(c, 16), b1));
    c += step;
    finish(c, f32x4.add(v128.load(c), c0), f32x4.add(v128.load(c, 16), c1));
    c += step;
    finish(c, f32x4.add(v128.load(c), d0), f32x4.add(v128.load(c, 16), d1));
    c += step;
    finish(c, f32x4.add(v128.load(c), e0), f32x4.add(v128.load(c, 16), e1));
  } else {
    finish(c, a0, a1);
    c += step;
    finish(c, b0, b1);
    c += step;
    finish(c, c0, c1);
    c += step;
    finish(c, d0, d1);
    c += step;
    finish(c, e0, e1);
  }
}
