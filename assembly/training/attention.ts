/**
 * Causal attention over whole sequences, and its gradient. A thread does one head of one sequence at a time, with that
 * head's panels in its own memory. Probabilities are never kept: the backward pass recomputes them from each row's
 * largest score and the sum of its exponentials (Dao et al., FlashAttention, arXiv 2205.14135).
 */
import { first, next, threadIndex } from "../threads";
import { exp } from "../vector";
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

/** One layer's attention over a batch. */
@unmanaged
export class Attention {
  /** How many sequences, and how long each is. */
  n: u32;
  t: u32;
  n_head: u32;
  n_embd: u32;
  /** [n, t, 3 n_embd] */
  qkv: usize;
  /** [n, t, n_embd] */
  a: usize;
  /** [n, n_head, t, 2]: each row's largest score, and 1 / the sum of the exponentials */
  rows: usize;
  /** Gradients of a and of qkv. */
  da: usize;
  dqkv: usize;
  own: usize;
  own_bytes: u32;
  /** What the scores are multiplied by. */
  scale: f32;
}

/** This thread's share; a barrier must follow. */
export function attention_forward(p: Attention): void {
  for (let unit = first(p.n * p.n_head); unit >= 0; unit = next()) forwardHead(p, <u32>unit);
}

// This thread's memory, set by layOut().
let keys: usize = 0; // left [t / LEFT, n_state, LEFT]
let values: usize = 0; // left [n_state / LEFT, t, LEFT]
let query: usize = 0; // right [n_state, RIGHT]
let mixed: usize = 0; // [up(n_state, LEFT), RIGHT]
let inverse: usize = 0; // [RIGHT], and [RIGHT] largest scores
let sums: usize = 0; // [16, RIGHT]
let s: usize = 0; // [up(up(t, RIGHT), LEFT), RIGHT]

/** Divides up this thread's own memory. @returns its end */
function layOut(own: usize, t: u32, n_state: u32): usize {
  const width = <usize>up(n_state, LEFT);
  keys = own;
  own += (<usize>up(t, LEFT) * n_state) << 2;
  values = own;
  own += (width * t) << 2;
  query = own;
  own += <usize>n_state * RIGHT_BYTES;
  mixed = own;
  own += width * RIGHT_BYTES;
  inverse = own;
  own += 2 * RIGHT_BYTES;
  sums = own;
  own += 16 * RIGHT_BYTES;
  s = own;
  return own + <usize>up(up(t, RIGHT), LEFT) * RIGHT_BYTES;
}

/** Bytes of scratch memory a thread needs for attention_forward(). */
export function attentionBytes(t: u32, n_state: u32): u32 {
  return <u32>layOut(0, t, n_state);
}

function forwardHead(p: Attention, unit: u32): void {
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
  const rows = p.rows + (<usize>unit * t << 3);
  const width = up(n_state, LEFT);
  layOut(p.own + <usize>threadIndex() * p.own_bytes, t, n_state);
  const keyPanel = <usize>n_state * LEFT_BYTES;
  for (let i: u32 = 0; i < t; i += LEFT)
    leftFromRows(k + <usize>i * step, step, min(LEFT, t - i), n_state, keys + <usize>(i / LEFT) * keyPanel); // [LEFT, n_state] -> [n_state, LEFT]
  const valuePanel = <usize>t * LEFT_BYTES;
  leftFromColumns(v, step, n_state, t, values, valuePanel); // [t, n_state] -> [n_state / LEFT, t, LEFT]
  for (let i: u32 = 0; i < t; i += RIGHT) {
    const count = min(RIGHT, t - i);
    const n = i + count; // keys that the last row sees
    rightFromRows(q + <usize>i * step, step, count, n_state, query); // [count, n_state] -> [n_state, RIGHT]
    let panel = keys;
    for (let key: u32 = 0; key < n; key += LEFT, panel += keyPanel)
      tile(panel, query, n_state, s + <usize>key * RIGHT_BYTES, 0); // [n_state, LEFT] [n_state, RIGHT] -> [LEFT, RIGHT]
    softmax(i, n, p.scale, rows + (<usize>i << 3), count);
    tileColumn(values, valuePanel, width / LEFT, s, n, mixed); // [width / LEFT, n, LEFT] [n, RIGHT] -> [width, RIGHT]
    rowsFromRight(mixed, n_state, a + <usize>i * out, out, count, inverse); // [n_state, RIGHT] -> [count, n_state]
  }
}

/**
 * The scores of RIGHT rows, one per lane, become e^(score - largest), 0 where a row must not look; `inverse` becomes
 * 1 / their sum. They are summed as in the inference kernel: key i is added to sum i mod 16.
 * @param from the first row's position @param n keys that the last row sees
 * @param rows where the two numbers of each of the `count` rows go
 */
function softmax(from: u32, n: u32, scale: f32, rows: usize, count: u32): void {
  const end = s + <usize>n * RIGHT_BYTES;
  const scales = f32x4.splat(scale);
  for (let key = from; key < n; key++)
    for (let r: u32 = 0; r < min(RIGHT, key - from); r++)
      store<f32>(s + <usize>key * RIGHT_BYTES + (<usize>r << 2), -Infinity);
  let top = v128.load(s);
  let top1 = v128.load(s, 16);
  for (let p = s + RIGHT_BYTES; p < end; p += RIGHT_BYTES) {
    top = f32x4.max(top, v128.load(p));
    top1 = f32x4.max(top1, v128.load(p, 16));
  }
  top = f32x4.mul(top, scales);
  top1 = f32x4.mul(top1, scales);
  for (let p = s; p < end; p += RIGHT_BYTES) {
    v128.store(p, exp(f32x4.sub(f32x4.mul(v128.load(p), scales), top)));
    v128.store(p, exp(f32x4.sub(f32x4.mul(v128.load(p, 16), scales), top1)), 16);
  }
  for (let i: usize = 0; i < 16; i++) {
    let sum = f32x4.splat(0);
    let sum1 = sum;
    for (let p = s + i * RIGHT_BYTES; p < end; p += 16 * RIGHT_BYTES) {
      sum = f32x4.add(sum, v128.load(p));
      sum1 = f32x4.add(sum1, v128.load(p, 16));
    }
    v128.store(sums + i * RIGHT_BYTES, sum);
    v128.store(sums + i * RIGHT_BYTES, sum1, 16);
  }
  // As in sum16(): halves are added.
  for (let half: usize = 8 * RIGHT_BYTES; half >= RIGHT_BYTES; half >>= 1)
    for (let p = sums; p < sums + half; p += 16) v128.store(p, f32x4.add(v128.load(p), v128.load(p + half)));
  const one = f32x4.splat(1);
  v128.store(inverse, f32x4.div(one, v128.load(sums)));
  v128.store(inverse, f32x4.div(one, v128.load(sums, 16)), 16);
  v128.store(inverse + RIGHT_BYTES, top);
  v128.store(inverse + RIGHT_BYTES, top1, 16);
  for (let r: usize = 0; r < count; r++) {
    store<f32>(rows + (r << 3), load<f32>(inverse + RIGHT_BYTES + (r << 2)));
    store<f32>(rows + (r << 3), load<f32>(inverse + (r << 2)), 4);
  }
}
