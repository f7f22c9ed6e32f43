/**
 * Causal attention of whole sequences, and its gradient. One thread does one head of one sequence at a time,
 * with that head's panels in memory of its own; probabilities are never kept: the way back makes them again
 * from each row's largest score and the sum of its exponentials (Dao et al., FlashAttention, arXiv 2205.14135).
 */
import { barrier, first, next, threadIndex } from "../threads";
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
import { tile } from "./product";

@unmanaged
export class Attention {
  /** Sequences, and the length of each. */
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
}

/** All threads together; a barrier ends it. */
export function attend(p: Attention): void {
  for (let unit = first(p.n * p.n_head); unit >= 0; unit = next()) attendHead(p, <u32>unit);
  barrier();
}

function attendHead(p: Attention, unit: u32): void {
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
  // This thread's panels.
  let own = p.own + <usize>threadIndex() * p.own_bytes;
  const keys = own; // left [t / 5, n_state, 5]
  own += (<usize>up(t, LEFT) * n_state) << 2;
  const values = own; // left [n_state / 5, t, 5]
  own += (<usize>width * t) << 2;
  const query = own; // right [n_state, 8]
  own += <usize>n_state * RIGHT_BYTES;
  const mixed = own; // [width, 8]
  own += <usize>width * RIGHT_BYTES;
  const inverse = own; // [8], and [8] largest scores
  const s = own + 2 * RIGHT_BYTES; // [up(t, 5), 8]
  const keyPanel = <usize>n_state * LEFT_BYTES;
  for (let i: u32 = 0; i < t; i += LEFT)
    leftFromRows(k + <usize>i * step, step, min(LEFT, t - i), n_state, keys + <usize>(i / LEFT) * keyPanel);
  const valuePanel = <usize>t * LEFT_BYTES;
  leftFromColumns(v, step, n_state, t, values, valuePanel);
  const scale = <f32>1.0 / sqrt<f32>(<f32>n_state);
  for (let i: u32 = 0; i < t; i += RIGHT) {
    const count = min(RIGHT, t - i);
    const n = i + count; // keys that the last row sees
    rightFromRows(q + <usize>i * step, step, count, n_state, query);
    let panel = keys;
    for (let key: u32 = 0; key < n; key += LEFT, panel += keyPanel)
      tile(panel, query, n_state, s + <usize>key * RIGHT_BYTES, RIGHT_BYTES, 0, 0);
    softmax8(s, i, n, scale, rows + (<usize>i << 3), count, inverse);
    panel = values;
    for (let f: u32 = 0; f < width; f += LEFT, panel += valuePanel)
      tile(panel, s, n, mixed + <usize>f * RIGHT_BYTES, RIGHT_BYTES, 0, 0);
    rowsFromRight(mixed, n_state, a + <usize>i * out, out, count, inverse);
  }
}

/**
 * Eight rows' scores, one a lane, become e^(score - largest), 0 where a row does not look.
 * @param s [n, 8] @param from the first row's position @param rows where `count` rows' two numbers go
 * @param inverse [2, 8]: 1 / sum, largest score
 */
function softmax8(s: usize, from: u32, n: u32, scale: f32, rows: usize, count: u32, inverse: usize): void {
  const end = s + <usize>n * RIGHT_BYTES;
  const scales = f32x4.splat(scale);
  for (let key = from; key < n; key++)
    for (let r: u32 = 0; r < key - from; r++)
      store<f32>(s + <usize>key * RIGHT_BYTES + (<usize>r << 2), -Infinity);
  let top = v128.load(s);
  let top1 = v128.load(s, 16);
  for (let p = s + RIGHT_BYTES; p < end; p += RIGHT_BYTES) {
    top = f32x4.max(top, v128.load(p));
    top1 = f32x4.max(top1, v128.load(p, 16));
  }
  top = f32x4.mul(top, scales);
  top1 = f32x4.mul(top1, scales);
  let sum = f32x4.splat(0);
  let sum1 = sum;
  for (let p = s; p < end; p += RIGHT_BYTES) {
    const e = exp(f32x4.sub(f32x4.mul(v128.load(p), scales), top));
    const e1 = exp(f32x4.sub(f32x4.mul(v128.load(p, 16), scales), top1));
    v128.store(p, e);
    v128.store(p, e1, 16);
    sum = f32x4.add(sum, e);
    sum1 = f32x4.add(sum1, e1);
  }
  const one = f32x4.splat(1);
  v128.store(inverse, f32x4.div(one, sum));
  v128.store(inverse, f32x4.div(one, sum1), 16);
  v128.store(inverse, top, 32);
  v128.store(inverse, top1, 48);
  for (let r: usize = 0; r < count; r++) {
    store<f32>(rows + (r << 3), load<f32>(inverse + (r << 2), 32));
    store<f32>(rows + (r << 3), load<f32>(inverse + (r << 2)), 4);
  }
}
