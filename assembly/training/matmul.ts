/**
 * C = A B in float32, the one matrix product of training, in whatever order its factors lie. Every element of C
 * is added up over k in ascending order, in stretches that depend on the sizes alone: its bits do not depend on the
 * number of threads.
 *
 * A block of A is brought into panels that all threads read; each thread brings the columns of B that it is at
 * into panels of its own. Source of the scheme: Goto and van de Geijn, "Anatomy of high-performance matrix
 * multiplication", ACM TOMS 34 (2008).
 */
import { barrier, first, next, threadCount, threadIndex } from "../threads";
import {
  LEFT,
  LEFT_BYTES,
  leftFromColumns,
  leftFromRows,
  RIGHT,
  RIGHT_BYTES,
  rightFromColumns,
  rightFromRows,
} from "./panels";
import { DEPTH, tile } from "./tile";

/** Columns of C that a thread works at; src/engines/cpu/training/operations.ts has this number and the next two. */
const STRIP: u32 = 96;
/** The block of A that is in panels at a time. */
const SHARED_ROWS: u32 = 1530;
const SHARED_DEPTH: u32 = 768;
/** So many units of work for each thread at least, where there is enough of it: they come to the end together. */
const UNITS: u32 = 4;
/** Left panels that are made in one go. */
const GROUP: u32 = 16;
/** Left panels lie so much further apart: a multiple of 4 KiB has the first cache hold few of them. */
const LINE: usize = 64;

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
  /** Room for a block of A, in panels. */
  shared: usize;
  own: usize;
  own_bytes: u32;
}

/** A thread's room: the panels of a strip of B, then blocks of C, LEFT by RIGHT: those of all left panels. */
const STRIP_BYTES: usize = 4 * STRIP * DEPTH;
const BLOCK: usize = LEFT * RIGHT_BYTES;

// What this thread works at: a product, and the block of A that is in panels.
let p: Product = changetype<Product>(0);
/** Its first row and k, and how many of each. */
let row: u32 = 0;
let rows: u32 = 0;
let at: u32 = 0;
let depth: u32 = 0;
/** Bytes from one of its panels to the next. */
let panel: usize = 0;

/** All threads together; a barrier ends it. */
export function multiply(product: Product): void {
  p = product;
  for (at = 0; at < p.k; at += SHARED_DEPTH) {
    depth = min(SHARED_DEPTH, p.k - at);
    panel = <usize>depth * LEFT_BYTES + LINE;
    for (row = 0; row < p.m; row += SHARED_ROWS) {
      rows = min(SHARED_ROWS, p.m - row);
      const panels = (rows + LEFT - 1) / LEFT;
      const groups = (panels + GROUP - 1) / GROUP;
      for (let unit = first(groups); unit >= 0; unit = next()) shareRows(<u32>unit * GROUP * LEFT);
      barrier();
      const strips = (p.n + STRIP - 1) / STRIP;
      const chunks = min((UNITS * threadCount() + strips - 1) / strips, groups);
      const each = (panels + chunks - 1) / chunks;
      for (let unit = first(strips * chunks); unit >= 0; unit = next()) {
        const begin = (<u32>unit % chunks) * each;
        const end = min(begin + each, panels);
        if (begin < end) strip((<u32>unit / chunks) * STRIP, begin, end);
      }
      barrier();
    }
  }
}

/** Some rows of a block of A -> panels. @param from the first of them, counted in the block */
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

/** Columns of a strip of C, from left panel `begin` to `end`, over the k's of a block. */
function strip(column: u32, begin: u32, end: u32): void {
  const own = p.own + <usize>threadIndex() * p.own_bytes;
  const columns = min(STRIP, p.n - column);
  for (let done: u32 = 0; done < depth; done += DEPTH) {
    const count = min(DEPTH, depth - done);
    ownColumns(column, columns, at + done, count, own);
    let block = own + STRIP_BYTES;
    for (let i = begin; i < end; i++) {
      let b = own;
      for (let c: u32 = 0; c < columns; c += RIGHT) {
        tile(p.shared + i * panel + done * LEFT_BYTES, b, count, block, RIGHT_BYTES, <u32>(done > 0));
        b += <usize>count * RIGHT_BYTES;
        block += BLOCK;
      }
    }
  }
  putStrip(own + STRIP_BYTES, column, columns, begin, end);
}

/** Columns of B -> this thread's panels. @param from the first k */
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

/** A strip's blocks go where they belong. They were side by side until now: C's rows may be 4 KiB apart. */
function putStrip(block: usize, column: u32, columns: u32, begin: u32, end: u32): void {
  const start = at == 0;
  for (let i = begin; i < end; i++) {
    const lines = min(LEFT, rows - i * LEFT);
    const c = p.c + ((<usize>(row + i * LEFT) * p.c_row + column) << 2);
    for (let done: u32 = 0; done < columns; done += RIGHT, block += BLOCK) {
      const bias = start && p.bias ? p.bias + (<usize>(column + done) << 2) : 0;
      putBlock(block, c + (<usize>done << 2), lines, min(RIGHT, columns - done), bias, start ? p.add : 1);
    }
  }
}

/** c = block (+ bias), or c += block (+ bias), of what lies within the matrix. */
function putBlock(from: usize, c: usize, lines: u32, columns: u32, bias: usize, add: u32): void {
  const whole = <usize>(columns & ~3) << 2;
  const bytes = <usize>columns << 2;
  for (let r: u32 = 0; r < lines; r++) {
    for (let i: usize = 0; i < whole; i += 16) {
      let x = v128.load(from + i);
      if (bias) x = f32x4.add(x, v128.load(bias + i));
      if (add) x = f32x4.add(v128.load(c + i), x);
      v128.store(c + i, x);
    }
    for (let i = whole; i < bytes; i += 4) {
      let x = load<f32>(from + i);
      if (bias) x += load<f32>(bias + i);
      if (add) x = load<f32>(c + i) + x;
      store<f32>(c + i, x);
    }
    from += RIGHT_BYTES;
    c += <usize>p.c_row << 2;
  }
}
