/**
 * The gradient of causal attention, head by head. With p a row's probabilities, o = p v its output and D the product
 * of o and o's gradient, ds = p (do v^T - D) is the gradient of the scaled scores.
 */
import { first, next, threadIndex } from "../threads";
import { exp, madd, part, sum16 } from "../vector";
import { Attention } from "./attention";
import {
  LEFT,
  LEFT_BYTES,
  leftFromColumns,
  leftFromRows,
  RIGHT,
  RIGHT_BYTES,
  rightFromRows,
  rowsFromRight,
  up,
} from "./panels";
import { tile, tileColumn } from "./tile";

/** Rows in a block: a multiple of RIGHT. */
const BLOCK: u32 = 96;
/** Rows of a block in whole left panels. */
const BLOCK_ROWS: u32 = ((BLOCK + LEFT - 1) / LEFT) * LEFT;

/** This thread's share; a barrier must follow. */
export function attention_backward(p: Attention): void {
  for (let unit = first(p.n * p.n_head); unit >= 0; unit = next()) backwardHead(p, <u32>unit);
}

// This thread's memory and the head's sizes, set by backwardHead.
let keys: usize = 0; // right [t / RIGHT, n_state, RIGHT]
let values: usize = 0; // the same
let keysTransposed: usize = 0; // left [n_state / LEFT, t, LEFT]
let queries: usize = 0; // left [BLOCK / LEFT, n_state, LEFT]
let outputs: usize = 0; // the same, of the gradient
let queriesTransposed: usize = 0; // left [n_state / LEFT, BLOCK, LEFT]
let outputsTransposed: usize = 0; // the same, of the gradient
let scores: usize = 0; // right [BLOCK, RIGHT], then probabilities
let slopes: usize = 0; // the same; the gradient of the probabilities, then of the scores
let slopesTransposed: usize = 0; // right [BLOCK / RIGHT, up(t, RIGHT), RIGHT]
let dkeys: usize = 0; // [t / RIGHT, width, RIGHT]
let dvalues: usize = 0; // the same
let dquery: usize = 0; // [width, RIGHT]
let products: usize = 0; // [BLOCK]: D
let ones: usize = 0; // [RIGHT]
let slopesLength: u32 = 0; // up(t, RIGHT)

/** Divides up this thread's own memory. @returns its end */
function layOut(own: usize, t: u32, n_state: u32): usize {
  const width = <usize>up(n_state, LEFT) << 2;
  const state = <usize>n_state << 2;
  const length = <usize>up(t, RIGHT);
  slopesLength = up(t, RIGHT);
  ones = own;
  own += RIGHT_BYTES;
  products = own;
  own += BLOCK << 2;
  keys = own;
  own += length * state;
  values = own;
  own += length * state;
  keysTransposed = own;
  own += length * width;
  queries = own;
  own += BLOCK_ROWS * state;
  outputs = own;
  own += BLOCK_ROWS * state;
  queriesTransposed = own;
  own += BLOCK * width;
  outputsTransposed = own;
  own += BLOCK * width;
  scores = own;
  own += BLOCK_ROWS * RIGHT_BYTES;
  slopes = own;
  own += BLOCK_ROWS * RIGHT_BYTES;
  slopesTransposed = own;
  own += (length << 2) * BLOCK;
  dkeys = own;
  own += length * width;
  dvalues = own;
  own += length * width;
  dquery = own;
  return own + width * RIGHT;
}

/** Bytes of scratch memory a thread needs for attention_backward(). */
export function backwardBytes(t: u32, n_state: u32): u32 {
  return <u32>layOut(0, t, n_state);
}

function backwardHead(p: Attention, unit: u32): void {
  const t = p.t;
  const n_state = p.n_embd / p.n_head;
  const step = (<usize>p.n_embd * 3) << 2;
  const out = <usize>p.n_embd << 2;
  const sequence = <usize>(unit / p.n_head) * t;
  const head = (<usize>(unit % p.n_head) * n_state) << 2;
  const q = p.qkv + sequence * step + head;
  const k = q + out;
  const v = k + out;
  const a = p.a + sequence * out + head;
  const da = p.da + sequence * out + head;
  const dq = p.dqkv + sequence * step + head;
  const width = up(n_state, LEFT);
  const length = up(t, RIGHT);
  layOut(p.own + <usize>threadIndex() * p.own_bytes, t, n_state);
  const panel = <usize>n_state * RIGHT_BYTES;
  for (let i: u32 = 0; i < t; i += RIGHT) {
    const at = <usize>(i / RIGHT) * panel;
    rightFromRows(k + <usize>i * step, step, min(RIGHT, t - i), n_state, keys + at); // [RIGHT, n_state] -> [n_state, RIGHT]
    rightFromRows(v + <usize>i * step, step, min(RIGHT, t - i), n_state, values + at); // the same
  }
  leftFromColumns(k, step, n_state, t, keysTransposed, <usize>t * LEFT_BYTES); // [t, n_state] -> [n_state / LEFT, t, LEFT]
  const bytes = (<usize>length * width) << 2;
  memory.fill(dkeys, 0, bytes);
  memory.fill(dvalues, 0, bytes);
  const one = f32x4.splat(1);
  for (let i: usize = 0; i < RIGHT_BYTES; i += 16) v128.store(ones + i, one);
  for (let row: u32 = 0; row < t; row += BLOCK) {
    const count = min(BLOCK, t - row);
    const n = up(row + count, RIGHT); // keys that the last row sees, in whole panels
    takeRows(q + <usize>row * step, step, count, n_state, queries, queriesTransposed);
    takeRows(da + <usize>row * out, out, count, n_state, outputs, outputsTransposed);
    for (let r: u32 = 0; r < count; r++)
      store<f32>(products + (<usize>r << 2), dot(a + <usize>(row + r) * out, da + <usize>(row + r) * out, n_state));
    const rows = p.rows + ((<usize>unit * t + row) << 3);
    for (let key: u32 = 0; key < n; key += RIGHT) {
      const begin = key > row ? key - row : 0; // earlier rows do not look at these keys
      probabilities(key, row, begin, count, n_state, rows, p.scale);
      const at = <usize>(key / RIGHT) * width * RIGHT_BYTES;
      sumsOverRows(outputsTransposed, scores, dvalues + at, width, begin, count);
      sumsOverRows(queriesTransposed, slopes, dkeys + at, width, begin, count);
    }
    for (let r: u32 = 0; r < count; r += RIGHT) {
      const transposed = slopesTransposed + <usize>(r / RIGHT) * length * RIGHT_BYTES;
      const seen = row + min(r + RIGHT, count);
      tileColumn(keysTransposed, <usize>t * LEFT_BYTES, width / LEFT, transposed, seen, dquery); // [width / LEFT, seen, LEFT] [seen, RIGHT] -> [width, RIGHT]
      rowsFromRight(dquery, n_state, dq + <usize>(row + r) * step, step, min(RIGHT, count - r), ones); // [n_state, RIGHT] -> [RIGHT, n_state]
    }
  }
  const sums = <usize>width * RIGHT_BYTES;
  for (let i: u32 = 0; i < t; i += RIGHT) {
    const at = <usize>(i / RIGHT) * sums;
    const count = min(RIGHT, t - i);
    rowsFromRight(dkeys + at, n_state, dq + out + <usize>i * step, step, count, ones); // [n_state, RIGHT] -> [count, n_state]
    rowsFromRight(dvalues + at, n_state, dq + 2 * out + <usize>i * step, step, count, ones); // the same
  }
}

/** A block's rows [count, n_state], as left panels [count / LEFT, n_state, LEFT] and [n_state / LEFT, BLOCK, LEFT]. */
function takeRows(from: usize, step: usize, count: u32, n_state: u32, to: usize, transposed: usize): void {
  const panel = <usize>n_state * LEFT_BYTES;
  for (let r: u32 = 0; r < count; r += LEFT, to += panel)
    leftFromRows(from + <usize>r * step, step, min(LEFT, count - r), n_state, to);
  leftFromColumns(from, step, n_state, count, transposed, BLOCK * LEFT_BYTES);
}

/** The dot product of rows x and y, n values each. */
function dot(x: usize, y: usize, n: u32): f32 {
  const zero = f32x4.splat(0);
  let a = zero, b = zero, c = zero, d = zero;
  let i: usize = 0;
  for (const whole = <usize>(n & ~15) << 2; i < whole; i += 64) {
    a = madd(v128.load(x + i), v128.load(y + i), a);
    b = madd(v128.load(x + i, 16), v128.load(y + i, 16), b);
    c = madd(v128.load(x + i, 32), v128.load(y + i, 32), c);
    d = madd(v128.load(x + i, 48), v128.load(y + i, 48), d);
  }
  const rest = <i32>(n & 15);
  if (rest) {
    a = madd(part(x + i, rest), part(y + i, rest), a);
    b = madd(part(x + i + 16, rest - 4), part(y + i + 16, rest - 4), b);
    c = madd(part(x + i + 32, rest - 8), part(y + i + 32, rest - 8), c);
    d = madd(part(x + i + 48, rest - 12), part(y + i + 48, rest - 12), d);
  }
  return sum16(a, b, c, d);
}

/**
 * A block's probabilities and the gradient of its scores: its rows from `begin` on, with RIGHT keys.
 * @param rows two numbers per row: see Attention.rows
 */
function probabilities(
  key: u32, row: u32, begin: u32, count: u32, n_state: u32, rows: usize, scale: f32,
): void {
  const panel = <usize>(key / RIGHT) * n_state * RIGHT_BYTES;
  const s = scores;
  const d = slopes;
  const left = <usize>n_state * LEFT_BYTES;
  for (let r = (begin / LEFT) * LEFT; r < count; r += LEFT) {
    const at = <usize>r * RIGHT_BYTES;
    tile(queries + <usize>(r / LEFT) * left, keys + panel, n_state, s + at, 0);
    tile(outputs + <usize>(r / LEFT) * left, values + panel, n_state, d + at, 0);
  }
  const scales = f32x4.splat(scale);
  const key0 = i32x4(0, 1, 2, 3);
  for (let r = begin; r < count; r++) {
    const most = v128.load_splat<f32>(rows + (<usize>r << 3));
    const inverse = v128.load_splat<f32>(rows + (<usize>r << 3), 4);
    const product = v128.load_splat<f32>(products + (<usize>r << 2));
    const last = <i32>(row + r) - <i32>key;
    for (let lane: usize = 0; lane < RIGHT_BYTES; lane += 32) {
      const x = s + <usize>r * RIGHT_BYTES + lane;
      const y = d + <usize>r * RIGHT_BYTES + lane;
      const x0 = v128.load(x);
      const x1 = v128.load(x, 16);
      const y0 = v128.load(y);
      const y1 = v128.load(y, 16);
      let p0 = f32x4.mul(exp(f32x4.sub(f32x4.mul(x0, scales), most)), inverse);
      let p1 = f32x4.mul(exp(f32x4.sub(f32x4.mul(x1, scales), most)), inverse);
      // Nothing beyond the row's own position.
      const seen = last - <i32>(lane >> 2);
      if (seen < 7) {
        p0 = v128.and(p0, i32x4.le_s(key0, i32x4.splat(seen)));
        p1 = v128.and(p1, i32x4.le_s(key0, i32x4.splat(seen - 4)));
      }
      v128.store(x, p0);
      v128.store(x, p1, 16);
      v128.store(y, f32x4.mul(f32x4.mul(p0, f32x4.sub(y0, product)), scales));
      v128.store(y, f32x4.mul(f32x4.mul(p1, f32x4.sub(y1, product)), scales), 16);
    }
  }
  // [BLOCK, RIGHT keys] -> RIGHT keys of [BLOCK / RIGHT, up(t, RIGHT), RIGHT rows]
  for (let r = begin; r < count; r += RIGHT) {
    const to = slopesTransposed + (<usize>(r / RIGHT) * slopesLength + key) * RIGHT_BYTES;
    rightFromRows(d + <usize>r * RIGHT_BYTES, RIGHT_BYTES, min(RIGHT, count - r), RIGHT, to);
  }
}

/** Adds what the rows of a block contribute to the gradient of RIGHT keys or values. @param to [width, RIGHT] */
function sumsOverRows(transposed: usize, right: usize, to: usize, width: u32, begin: u32, count: u32): void {
  let left = transposed + <usize>begin * LEFT_BYTES;
  right += <usize>begin * RIGHT_BYTES;
  for (let f: u32 = 0; f < width; f += LEFT) {
    tile(left, right, count - begin, to, 1);
    left += BLOCK * LEFT_BYTES;
    to += LEFT * RIGHT_BYTES;
  }
}
