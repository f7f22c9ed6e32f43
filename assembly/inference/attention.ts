/**
 * Causal attention over the key/value cache. A page holds 32 positions of one sequence for every layer: keys in panels
 * of 8 positions [n_head, 4, n_state, 8], so that scores come 8 at a time; values in panels of 8 features
 * [n_head, ceil(n_state / 8), 32, 8]. Scores add products in feature order, outputs in position order, each in one
 * accumulator: the bits do not depend on how the prompt was cut.
 */
import { BLOCK_ROWS, PAGE, PANEL } from "../abi";
import { first, next, threadIndex } from "../threads";
import { exp, largest, madd, sum16 } from "../vector";
import { Block, Layer, Model } from "./model";

/** Writes the keys and values of this pass's rows to the cache: this thread's share; a barrier must follow. */
export function remember(m: Model, layer: u32): void {
  const n_state = m.n_embd / m.n_head; // features of a head
  const featurePanels = (n_state + PANEL - 1) / PANEL;
  const valuesAt = (<usize>m.n_head * n_state * PAGE) << 2;
  for (let unit = first(m.rows); unit >= 0; unit = next()) {
    const row = <usize>unit;
    const position = load<u32>(m.positions + (row << 2));
    const pages = load<usize>(m.row_pages + (row << 2));
    const page = load<usize>(pages + (<usize>(position / PAGE) << 2)) + <usize>layer * m.page_layer;
    const inPage = position % PAGE;
    const key = m.qkv + ((row * m.qkv_stride + m.n_embd) << 2);
    const value = key + (<usize>m.n_embd << 2);
    for (let head: u32 = 0; head < m.n_head; head++) {
      const from = (<usize>head * n_state) << 2;
      // [n_head, 4, n_state, 8]
      const keys = page + (((<usize>head * (PAGE / PANEL) + inPage / PANEL) * n_state * PANEL + inPage % PANEL) << 2);
      // [n_head, ceil(n_state / 8), 32, 8]
      const values = page + valuesAt + ((<usize>head * featurePanels * PAGE * PANEL + inPage * PANEL) << 2);
      for (let i: usize = 0; i < n_state; i++) {
        store<f32>(keys + (i << 5), load<f32>(key + from + (i << 2)));
        store<f32>(values + (((i >> 3) * (PAGE << 3) + (i & 7)) << 2), load<f32>(value + from + (i << 2)));
      }
    }
  }
}

/** Scores of one row against the 32 positions of a page. keys [4, n_state, 8], q [n_state] -> s [32] */
function scores1(keys: usize, q: usize, n_state: u32, s: usize, scale: v128): void {
  const size = (<usize>n_state) << 5;
  let k1 = keys + size;
  let k2 = k1 + size;
  let k3 = k2 + size;
  const end = k1;
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
  while (keys < end) {
    const x = v128.load_splat<f32>(q);
    a0 = madd(v128.load(keys), x, a0);
    a1 = madd(v128.load(keys, 16), x, a1);
    b0 = madd(v128.load(k1), x, b0);
    b1 = madd(v128.load(k1, 16), x, b1);
    c0 = madd(v128.load(k2), x, c0);
    c1 = madd(v128.load(k2, 16), x, c1);
    d0 = madd(v128.load(k3), x, d0);
    d1 = madd(v128.load(k3, 16), x, d1);
    q += 4;
    keys += 32;
    k1 += 32;
    k2 += 32;
    k3 += 32;
  }
  v128.store(s, f32x4.mul(a0, scale));
  v128.store(s, f32x4.mul(a1, scale), 16);
  v128.store(s, f32x4.mul(b0, scale), 32);
  v128.store(s, f32x4.mul(b1, scale), 48);
  v128.store(s, f32x4.mul(c0, scale), 64);
  v128.store(s, f32x4.mul(c1, scale), 80);
  v128.store(s, f32x4.mul(d0, scale), 96);
  v128.store(s, f32x4.mul(d1, scale), 112);
}

/** Scores of four rows against 8 positions. keys [n_state, 8]; qs, ss: bytes from row to row */
function scores4(keys: usize, q: usize, qs: usize, n_state: u32, s: usize, ss: usize, scale: v128): void {
  const end = keys + ((<usize>n_state) << 5);
  let q1 = q + qs;
  let q2 = q1 + qs;
  let q3 = q2 + qs;
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
  while (keys < end) {
    const k0 = v128.load(keys);
    const k1 = v128.load(keys, 16);
    let x = v128.load_splat<f32>(q);
    a0 = madd(k0, x, a0);
    a1 = madd(k1, x, a1);
    x = v128.load_splat<f32>(q1);
    b0 = madd(k0, x, b0);
    b1 = madd(k1, x, b1);
    x = v128.load_splat<f32>(q2);
    c0 = madd(k0, x, c0);
    c1 = madd(k1, x, c1);
    x = v128.load_splat<f32>(q3);
    d0 = madd(k0, x, d0);
    d1 = madd(k1, x, d1);
    keys += 32;
    q += 4;
    q1 += 4;
    q2 += 4;
    q3 += 4;
  }
  v128.store(s, f32x4.mul(a0, scale));
  v128.store(s, f32x4.mul(a1, scale), 16);
  s += ss;
  v128.store(s, f32x4.mul(b0, scale));
  v128.store(s, f32x4.mul(b1, scale), 16);
  s += ss;
  v128.store(s, f32x4.mul(c0, scale));
  v128.store(s, f32x4.mul(c1, scale), 16);
  s += ss;
  v128.store(s, f32x4.mul(d0, scale));
  v128.store(s, f32x4.mul(d1, scale), 16);
}

/**
 * Turns a row's scores into weights e^(s - max), 0 beyond its own position.
 * @param s [n], padded to a multiple of 32 @param end positions that the block looks at, at least n
 * @returns 1 / their sum
 */
function softmax(s: usize, n: u32, end: u32): f32 {
  const last = s + (<usize>((n + 15) & ~15) << 2);
  for (let p = s + (<usize>n << 2); p < last; p += 4) store<f32>(p, -Infinity);
  let top = v128.load(s);
  for (let p = s + 16; p < last; p += 16) top = f32x4.max(top, v128.load(p));
  const most = f32x4.splat(largest(top));
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  for (let p = s; p < last; p += 64) {
    const e0 = exp(f32x4.sub(v128.load(p), most));
    v128.store(p, e0);
    a = f32x4.add(a, e0);
    const e1 = exp(f32x4.sub(v128.load(p, 16), most));
    v128.store(p, e1, 16);
    b = f32x4.add(b, e1);
    const e2 = exp(f32x4.sub(v128.load(p, 32), most));
    v128.store(p, e2, 32);
    c = f32x4.add(c, e2);
    const e3 = exp(f32x4.sub(v128.load(p, 48), most));
    v128.store(p, e3, 48);
    d = f32x4.add(d, e3);
  }
  for (let p = last; p < s + (<usize>end << 2); p += 16) v128.store(p, f32x4.splat(0));
  return <f32>1.0 / sum16(a, b, c, d);
}

/** Stores a row's 8 features, or fewer at the end of a head. */
// @ts-ignore: decorator
@inline
function output(a: usize, count: u32, scratch: usize, low: v128, high: v128, inverse: f32): void {
  const i = f32x4.splat(inverse);
  const to = count < PANEL ? scratch : a;
  v128.store(to, f32x4.mul(low, i));
  v128.store(to, f32x4.mul(high, i), 16);
  if (count < PANEL) memory.copy(a, scratch, count << 2);
}

/** Weighted sums of one row's values: up to 4 panels of features side by side. pages -> first page's address slot */
function values1(
  pages: usize, offset: usize, n: u32, s: usize, a: usize, n_state: u32, inverse: f32, scratch: usize,
): void {
  const size = <usize>PAGE << 5;
  let feature: u32 = 0;
  const zero = f32x4.splat(0);
  for (; feature + 4 * PANEL <= n_state; feature += 4 * PANEL) {
    let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
    let p = s;
    let table = pages;
    for (let done: u32 = 0; done < n; done += PAGE) {
      let v = load<usize>(table) + offset + (<usize>(feature >> 3) * size);
      const end = v + (<usize>min(PAGE, n - done) << 5);
      while (v < end) {
        const x = v128.load_splat<f32>(p);
        a0 = madd(v128.load(v), x, a0);
        a1 = madd(v128.load(v, 16), x, a1);
        b0 = madd(v128.load(v, 1024), x, b0);
        b1 = madd(v128.load(v, 1040), x, b1);
        c0 = madd(v128.load(v, 2048), x, c0);
        c1 = madd(v128.load(v, 2064), x, c1);
        d0 = madd(v128.load(v, 3072), x, d0);
        d1 = madd(v128.load(v, 3088), x, d1);
        v += 32;
        p += 4;
      }
      table += 4;
    }
    const o = a + (<usize>feature << 2);
    output(o, PANEL, scratch, a0, a1, inverse);
    output(o + 32, PANEL, scratch, b0, b1, inverse);
    output(o + 64, PANEL, scratch, c0, c1, inverse);
    output(o + 96, PANEL, scratch, d0, d1, inverse);
  }
  for (; feature < n_state; feature += PANEL) {
    let a0 = zero, a1 = zero;
    let p = s;
    let table = pages;
    for (let done: u32 = 0; done < n; done += PAGE) {
      let v = load<usize>(table) + offset + (<usize>(feature >> 3) * size);
      const end = v + (<usize>min(PAGE, n - done) << 5);
      while (v < end) {
        const x = v128.load_splat<f32>(p);
        a0 = madd(v128.load(v), x, a0);
        a1 = madd(v128.load(v, 16), x, a1);
        v += 32;
        p += 4;
      }
      table += 4;
    }
    output(a + (<usize>feature << 2), min(PANEL, n_state - feature), scratch, a0, a1, inverse);
  }
}

/** Weighted sums of four rows' values, one panel of features at a time. ss, as: bytes from row to row */
function values4(
  pages: usize, offset: usize, n: u32, s: usize, ss: usize, a: usize, as: usize, n_state: u32,
  inverses: usize, scratch: usize,
): void {
  const size = <usize>PAGE << 5;
  const zero = f32x4.splat(0);
  for (let feature: u32 = 0; feature < n_state; feature += PANEL) {
    let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
    let p = s;
    let p1 = s + ss;
    let p2 = p1 + ss;
    let p3 = p2 + ss;
    let table = pages;
    for (let done: u32 = 0; done < n; done += PAGE) {
      let v = load<usize>(table) + offset + (<usize>(feature >> 3) * size);
      const end = v + (<usize>min(PAGE, n - done) << 5);
      while (v < end) {
        const v0 = v128.load(v);
        const v1 = v128.load(v, 16);
        let x = v128.load_splat<f32>(p);
        a0 = madd(v0, x, a0);
        a1 = madd(v1, x, a1);
        x = v128.load_splat<f32>(p1);
        b0 = madd(v0, x, b0);
        b1 = madd(v1, x, b1);
        x = v128.load_splat<f32>(p2);
        c0 = madd(v0, x, c0);
        c1 = madd(v1, x, c1);
        x = v128.load_splat<f32>(p3);
        d0 = madd(v0, x, d0);
        d1 = madd(v1, x, d1);
        v += 32;
        p += 4;
        p1 += 4;
        p2 += 4;
        p3 += 4;
      }
      table += 4;
    }
    const o = a + (<usize>feature << 2);
    const count = min(PANEL, n_state - feature);
    output(o, count, scratch, a0, a1, load<f32>(inverses));
    output(o + as, count, scratch, b0, b1, load<f32>(inverses, 4));
    output(o + 2 * as, count, scratch, c0, c1, load<f32>(inverses, 8));
    output(o + 3 * as, count, scratch, d0, d1, load<f32>(inverses, 12));
  }
}

/** Bytes of scratch memory a thread needs for attention(): [8], then [4] sums, then [4, n_ctx] scores. */
export function attentionBytes(n_ctx: u32): u32 {
  return 64 + BLOCK_ROWS * ((n_ctx + PAGE - 1) & ~(PAGE - 1)) * 4;
}

/** This thread's share of the attention of every block and head, into rows of a; a barrier must follow. */
export function attention(m: Model, layer: u32, blocks: usize, n_blocks: u32): void {
  const n_state = m.n_embd / m.n_head;
  const scale = f32x4.splat(changetype<Layer>(m.layers + <usize>layer * offsetof<Layer>()).attention_scale);
  const keysHead = (<usize>n_state * PAGE) << 2;
  const valuesHead = (<usize>((n_state + PANEL - 1) / PANEL) * PANEL * PAGE) << 2;
  const at = <usize>layer * m.page_layer;
  const qs = <usize>m.qkv_stride << 2;
  const as = <usize>m.embd_stride << 2;
  const scratch = m.own + <usize>threadIndex() * m.own_bytes;
  const inverses = scratch + 32;
  const s = scratch + 64;
  for (let unit = first(n_blocks * m.n_head); unit >= 0; unit = next()) {
    const block = changetype<Block>(blocks + <usize>(<u32>unit / m.n_head) * offsetof<Block>());
    const head = <usize>(<u32>unit % m.n_head);
    const q = m.qkv + ((<usize>block.row * m.qkv_stride + head * n_state) << 2);
    const a = m.a + ((<usize>block.out * m.embd_stride + head * n_state) << 2);
    const n = block.position + block.count; // positions that the block's last row sees
    const keys = at + head * keysHead;
    const values = at + <usize>m.n_head * keysHead + head * valuesHead;
    const ss = <usize>((n + PAGE - 1) & ~(PAGE - 1)) << 2;
    if (block.count == BLOCK_ROWS) {
      for (let done: u32 = 0; done < n; done += PANEL) {
        const page = load<usize>(block.pages + (<usize>(done / PAGE) << 2)) + keys;
        scores4(page + (<usize>(done % PAGE / PANEL) * n_state << 5), q, qs, n_state, s + (<usize>done << 2), ss, scale);
      }
      for (let r: usize = 0; r < BLOCK_ROWS; r++)
        store<f32>(inverses + (r << 2), softmax(s + r * ss, block.position + <u32>r + 1, n));
      values4(block.pages, values, n, s, ss, a, as, n_state, inverses, scratch);
    } else {
      for (let r: usize = 0; r < block.count; r++) {
        const seen = block.position + <u32>r + 1;
        for (let done: u32 = 0; done < seen; done += PAGE) {
          const page = load<usize>(block.pages + (<usize>(done / PAGE) << 2)) + keys;
          scores1(page, q + r * qs, n_state, s + (<usize>done << 2), scale);
        }
        const inverse = softmax(s, seen, seen);
        values1(block.pages, values, seen, s, a + r * as, n_state, inverse, scratch);
      }
    }
  }
}
