/**
 * C = A B in float32: training's only matrix product, with factors in any layout. Every element of C is one sum over k
 * in ascending order, which blocks continue through C itself: its bits depend on nothing else.
 *
 * A block of A is packed into panels that all threads read; each thread packs the columns of B that it is working on
 * into panels of its own. Source of the scheme: Goto and van de Geijn, "Anatomy of high-performance matrix
 * multiplication", ACM TOMS 34 (2008).
 */
import { first, next, threadCount, threadIndex } from "../threads";
import {
  LEFT,
  LEFT_BYTES,
  leftFromColumns,
  leftFromRows,
  RIGHT,
  RIGHT_BYTES,
  rightFromColumns,
  rightFromRows,
  up,
} from "./panels";
import { DEPTH, tile } from "./tile";

/** Columns of C that a thread works on. */
const STRIP: u32 = 96;
/** The block of A that is packed at a time. */
const SHARED_ROWS: u32 = 1530;
const SHARED_DEPTH: u32 = 768;
/** At least this many units of work per thread, if there is enough: all threads then finish together. */
const UNITS: u32 = 4;
/** Left panels packed in one go. */
const GROUP: u32 = 16;
/** Extra distance between left panels: at a multiple of 4 KiB they would share few lines of the L1 cache. */
const LINE: usize = 64;

/** A product C = A B. */
@unmanaged
export class Matmul {
  m: u32;
  n: u32;
  k: u32;
  /** [m, k], with this many values from row to row and from k to k; one of the two is 1. */
  a: usize;
  a_row: u32;
  a_k: u32;
  /** [k, n], in the same way */
  b: usize;
  b_k: u32;
  b_column: u32;
  /** [m, n], rows this many values apart */
  c: usize;
  c_row: u32;
  /** [n] or 0 */
  bias: usize;
  /** Not 0: C += A B, whose sums begin at C. */
  add: u32;
  /** Scratch for a packed block of A. */
  shared: usize;
  own: usize;
  own_bytes: u32;
}

/** A thread's scratch: the panels of a strip of B, then blocks of C, LEFT by RIGHT, for all left panels. */
const STRIP_BYTES: usize = 4 * STRIP * DEPTH;
const BLOCK: usize = LEFT * RIGHT_BYTES;

// What this thread is working on: a product, and the block of A that is packed.
let p: Matmul = changetype<Matmul>(0);
/** The block's first row and k, and how many of each. */
let row: u32 = 0;
let rows: u32 = 0;
let at: u32 = 0;
let depth: u32 = 0;
/** Bytes between its panels. */
let panel: usize = 0;

/** Bytes of scratch memory a thread needs for a product. @param longest the longest side of any product */
export function matmulBytes(longest: u32): u32 {
  return <u32>STRIP_BYTES + up(min(longest, SHARED_ROWS), LEFT) * STRIP * 4;
}

/** Bytes of a packed block of A. @param longest as in matmulBytes() */
export function training_shared_bytes(longest: u32): u32 {
  return (up(min(longest, SHARED_ROWS), LEFT) / LEFT) * (min(longest, SHARED_DEPTH) * <u32>LEFT_BYTES + <u32>LINE);
}

/** Blocks of A in a product, k outermost. */
export function matmul_blocks(product: Matmul): u32 {
  return ceil(product.k, SHARED_DEPTH) * ceil(product.m, SHARED_ROWS);
}

// @ts-ignore: decorator
@inline
function ceil(n: u32, unit: u32): u32 {
  return (n + unit - 1) / unit;
}

/** Makes a block the one this thread works on. */
function select(product: Matmul, block: u32): void {
  p = product;
  const blocks = ceil(p.m, SHARED_ROWS);
  at = (block / blocks) * SHARED_DEPTH;
  depth = min(SHARED_DEPTH, p.k - at);
  row = (block % blocks) * SHARED_ROWS;
  rows = min(SHARED_ROWS, p.m - row);
  panel = <usize>depth * LEFT_BYTES + LINE;
}

/** Packs a block of A into panels: this thread's share; a barrier must follow, here and below. */
export function matmul_pack(product: Matmul, block: u32): void {
  select(product, block);
  for (let unit = first(ceil(ceil(rows, LEFT), GROUP)); unit >= 0; unit = next()) shareRows(<u32>unit * GROUP * LEFT);
}

/** C += the packed block times its rows of B. */
export function matmul_block(product: Matmul, block: u32): void {
  select(product, block);
  const panels = ceil(rows, LEFT);
  const strips = ceil(p.n, STRIP);
  const chunks = min(ceil(UNITS * threadCount(), strips), ceil(panels, GROUP));
  const each = ceil(panels, chunks);
  for (let unit = first(strips * chunks); unit >= 0; unit = next()) {
    const begin = (<u32>unit % chunks) * each;
    const end = min(begin + each, panels);
    if (begin < end) strip((<u32>unit / chunks) * STRIP, begin, end);
  }
}

/** Packs a few rows of a block of A. @param from the first of them, counted within the block */
function shareRows(from: u32): void {
  const count = min(GROUP * LEFT, rows - from);
  const step = <usize>p.a_row << 2;
  let a = p.a + ((<usize>(row + from) * p.a_row + <usize>at * p.a_k) << 2);
  let to = p.shared + (from / LEFT) * panel;
  if (p.a_k != 1) return leftFromColumns(a, <usize>p.a_k << 2, count, depth, to, panel);
  for (let r: u32 = 0; r < count; r += LEFT) {
    leftFromRows(a, step, min(LEFT, count - r), depth, to);
    a += LEFT * step;
    to += panel;
  }
}

/** Columns of a strip of C, from left panel `begin` to `end`, over the block's k. */
function strip(column: u32, begin: u32, end: u32): void {
  const own = p.own + <usize>threadIndex() * p.own_bytes;
  const columns = min(STRIP, p.n - column);
  const add = at > 0 || p.add;
  if (add) takeStrip(own + STRIP_BYTES, column, columns, begin, end);
  for (let done: u32 = 0; done < depth; done += DEPTH) {
    const count = min(DEPTH, depth - done);
    ownColumns(column, columns, at + done, count, own);
    let block = own + STRIP_BYTES;
    for (let i = begin; i < end; i++) {
      let b = own;
      for (let c: u32 = 0; c < columns; c += RIGHT) {
        tile(p.shared + i * panel + done * LEFT_BYTES, b, count, block, <u32>(done > 0 || add));
        b += <usize>count * RIGHT_BYTES;
        block += BLOCK;
      }
    }
  }
  putStrip(own + STRIP_BYTES, column, columns, begin, end);
}

/** Packs columns of B into this thread's panels. @param from the first k */
function ownColumns(column: u32, columns: u32, from: u32, count: u32, to: usize): void {
  const right = <usize>count * RIGHT_BYTES;
  let b = p.b + ((<usize>from * p.b_k + <usize>column * p.b_column) << 2);
  if (p.b_column == 1) return rightFromColumns(b, <usize>p.b_k << 2, columns, count, to, right);
  const step = <usize>p.b_column << 2;
  for (let c: u32 = 0; c < columns; c += RIGHT) {
    rightFromRows(b, step, min(RIGHT, columns - c), count, to);
    b += RIGHT * step;
    to += right;
  }
}

/** Loads C's values where a strip's blocks continue from them. */
function takeStrip(block: usize, column: u32, columns: u32, begin: u32, end: u32): void {
  for (let i = begin; i < end; i++) {
    const lines = min(LEFT, rows - i * LEFT);
    const c = p.c + ((<usize>(row + i * LEFT) * p.c_row + column) << 2);
    for (let done: u32 = 0; done < columns; done += RIGHT, block += BLOCK)
      takeBlock(c + (<usize>done << 2), block, lines, min(RIGHT, columns - done));
  }
}

function takeBlock(c: usize, to: usize, lines: u32, columns: u32): void {
  for (let r: u32 = 0; r < lines; r++) {
    if (columns == RIGHT) {
      v128.store(to, v128.load(c));
      v128.store(to, v128.load(c, 16), 16);
    } else memory.copy(to, c, <usize>columns << 2);
    to += RIGHT_BYTES;
    c += <usize>p.c_row << 2;
  }
}

/**
 * Stores a strip's blocks in C, with the bias once their sums are complete. Until now they were side by side: C's rows
 * may be 4 KiB apart.
 */
function putStrip(block: usize, column: u32, columns: u32, begin: u32, end: u32): void {
  const biased = at + depth == p.k && p.bias;
  for (let i = begin; i < end; i++) {
    const lines = min(LEFT, rows - i * LEFT);
    const c = p.c + ((<usize>(row + i * LEFT) * p.c_row + column) << 2);
    for (let done: u32 = 0; done < columns; done += RIGHT, block += BLOCK)
      putBlock(
        block, c + (<usize>done << 2), lines, min(RIGHT, columns - done),
        biased ? p.bias + (<usize>(column + done) << 2) : 0,
      );
  }
}

/** c = block (+ bias), for what lies within the matrix. */
function putBlock(from: usize, c: usize, lines: u32, columns: u32, bias: usize): void {
  const whole = <usize>(columns & ~3) << 2;
  const bytes = <usize>columns << 2;
  for (let r: u32 = 0; r < lines; r++) {
    for (let i: usize = 0; i < whole; i += 16) {
      let x = v128.load(from + i);
      if (bias) x = f32x4.add(x, v128.load(bias + i));
      v128.store(c + i, x);
    }
    for (let i = whole; i < bytes; i += 4) {
      let x = load<f32>(from + i);
      if (bias) x += load<f32>(bias + i);
      store<f32>(c + i, x);
    }
    from += RIGHT_BYTES;
    c += <usize>p.c_row << 2;
  }
}
