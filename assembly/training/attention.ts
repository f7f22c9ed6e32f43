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
import { tile, tileColumn } from "./tile";

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
  const keys = own; // left [t / LEFT, n_state, LEFT]
  own += (<usize>up(t, LEFT) * n_state) << 2;
  const values = own; // left [n_state / LEFT, t, LEFT]
  own += (<usize>width * t) << 2;
  const query = own; // right [n_state, RIGHT]
  own += <usize>n_state * RIGHT_BYTES;
  const mixed = own; // [width, RIGHT]
  own += <usize>width * RIGHT_BYTES;
  const inverse = own; // [RIGHT], and [RIGHT] largest scores
  const s = own + 2 * RIGHT_BYTES; // [up(up(t, RIGHT), LEFT), RIGHT]
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
      tile(panel, query, n_state, s + <usize>key * RIGHT_BYTES, RIGHT_BYTES, 0);
    for (let g: u32 = 0; g < count; g += GROUP) {
      const lane = <usize>g << 2;
      softmax(s + lane, i + g, n, scale, rows + (<usize>(i + g) << 3), min(GROUP, count - g), inverse + lane);
    }
    tileColumn(values, valuePanel, width / LEFT, s, n, mixed);
    rowsFromRight(mixed, n_state, a + <usize>i * out, out, count, inverse);
  }
}

/** Rows whose softmax is done together. */
const GROUP: u32 = 8;

/**
 * The scores of 8 rows, one a lane, become e^(score - largest), 0 where a row does not look.
 * @param s [n, RIGHT], of which 8 columns @param from the first row's position
 * @param rows where `count` rows' two numbers go
 * @param inverse [8]: 1 / sum, and RIGHT_BYTES behind it the largest score
 */
function softmax(s: usize, from: u32, n: u32, scale: f32, rows: usize, count: u32, inverse: usize): void {
  const end = s + <usize>n * RIGHT_BYTES;
  const scales = f32x4.splat(scale);
  for (let key = from; key < n; key++)
    for (let r: u32 = 0; r < min(GROUP, key - from); r++)
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
    const x = v128.load(p);
    const x1 = v128.load(p, 16);
    const e = exp(f32x4.sub(f32x4.mul(x, scales), top));
    const e1 = exp(f32x4.sub(f32x4.mul(x1, scales), top1));
    v128.store(p, e);
    v128.store(p, e1, 16);
    sum = f32x4.add(sum, e);
    sum1 = f32x4.add(sum1, e1);
  }
  const one = f32x4.splat(1);
  v128.store(inverse, f32x4.div(one, sum));
  v128.store(inverse, f32x4.div(one, sum1), 16);
  v128.store(inverse + RIGHT_BYTES, top);
  v128.store(inverse + RIGHT_BYTES, top1, 16);
  for (let r: usize = 0; r < count; r++) {
    store<f32>(rows + (r << 3), load<f32>(inverse + RIGHT_BYTES + (r << 2)));
    store<f32>(rows + (r << 3), load<f32>(inverse + (r << 2)), 4);
  }
}
