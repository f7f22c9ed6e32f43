/** Brings weights from the order of the checkpoint into panels. */
import { PANEL } from "./model";
import { barrier, first, next, threadIndex } from "./threads";

@unmanaged
export class Pack {
  from: usize;
  to: usize;
  /** int8: [n_out] scales, to be written. */
  scale: usize;
  n_in: u32;
  /** Not rounded. */
  n_out: u32;
  /** int8: the largest sum of absolute integer weights of an output, to be raised. */
  most: u32;
  /** Each thread's own memory, and its size. */
  own: usize;
  own_bytes: u32;
}

/** Rows of the source that are read side by side. */
const STRIP: u32 = 16;

/** [n_in, n_out] -> [n_out / 8, n_in, 8] */
export function packLinear(p: Pack): void {
  const n_in = p.n_in;
  const n_out = p.n_out;
  const whole = n_out & ~(PANEL - 1);
  const line = <usize>n_out << 2;
  const panel = <usize>n_in << 5;
  for (let unit = first((n_in + STRIP - 1) / STRIP); unit >= 0; unit = next()) {
    const begin = <usize>unit * STRIP;
    const end = min<usize>(begin + STRIP, n_in);
    for (let n: u32 = 0; n < whole; n += PANEL) {
      let from = p.from + begin * line + (<usize>n << 2);
      let to = p.to + <usize>(n >> 3) * panel + (begin << 5);
      for (let k = begin; k < end; k++) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
        from += line;
        to += 32;
      }
    }
    if (whole < n_out)
      for (let k = begin; k < end; k++) {
        const to = p.to + <usize>(whole >> 3) * panel + (k << 5);
        memory.fill(to, 0, 32);
        memory.copy(to, p.from + k * line + (<usize>whole << 2), (n_out - whole) << 2);
      }
  }
  barrier();
}

/** [n_out, n_in] -> [n_out / 8, n_in, 8] in place: a panel takes the room of the 8 rows that it is made of. */
export function packRows(p: Pack): void {
  const n_in = p.n_in;
  const bytes = <usize>n_in << 2;
  for (let unit = first((p.n_out + PANEL - 1) / PANEL); unit >= 0; unit = next()) {
    const panel = p.to + <usize>unit * (<usize>n_in << 5);
    const rows = p.own + <usize>threadIndex() * p.own_bytes;
    memory.copy(rows, panel, <usize>n_in << 5);
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16)
      for (let half: usize = 0; half < 2; half++) {
        const from = rows + half * 4 * bytes + i;
        const a = v128.load(from);
        const b = v128.load(from + bytes);
        const c = v128.load(from + 2 * bytes);
        const d = v128.load(from + 3 * bytes);
        const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
        const cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
        const ab2 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
        const cd2 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
        const to = panel + (i << 3) + (half << 4);
        v128.store(to, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5));
        v128.store(to, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7), 32);
        v128.store(to, v128.shuffle<f32>(ab2, cd2, 0, 1, 4, 5), 64);
        v128.store(to, v128.shuffle<f32>(ab2, cd2, 2, 3, 6, 7), 96);
      }
    for (; i < bytes; i += 4)
      for (let r: usize = 0; r < PANEL; r++)
        store<f32>(panel + (i << 3) + (r << 2), load<f32>(rows + r * bytes + i));
  }
  barrier();
}

/** Raises a word that all threads see to at least this value. */
function raise(address: usize, value: u32): void {
  let old = atomic.load<u32>(address);
  while (old < value) {
    const seen = atomic.cmpxchg<u32>(address, old, value);
    if (seen == old) return;
    old = seen;
  }
}

/** [n_in, n_out] -> int8 [n_out / 8, n_in / 2, 8, 2] with one scale an output */
export function quantizeLinear(p: Pack): void {
  const n_in = p.n_in;
  const n_out = p.n_out;
  const pairs = (n_in + 1) >> 1;
  const line = <usize>n_out << 2;
  const own = p.own + <usize>threadIndex() * p.own_bytes; // [n_in + 1, 8]
  const zero = f32x4.splat(0);
  const rows = own + 64;
  for (let unit = first((n_out + PANEL - 1) / PANEL); unit >= 0; unit = next()) {
    const n = <usize>unit * PANEL;
    const count = <usize>min<u32>(PANEL, n_out - <u32>n);
    let low = zero;
    let high = zero;
    let from = p.from + (n << 2);
    for (let k: usize = 0; k < n_in; k++) {
      const to = rows + (k << 5);
      if (count == PANEL) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
      } else {
        memory.fill(to, 0, 32);
        memory.copy(to, from, count << 2);
      }
      low = f32x4.max(low, f32x4.abs(v128.load(to)));
      high = f32x4.max(high, f32x4.abs(v128.load(to, 16)));
      from += line;
    }
    if (n_in & 1) memory.fill(rows + (<usize>n_in << 5), 0, 32);
    quantizePanel(p, rows, pairs, n, low, high);
  }
  barrier();
}

/** [n_out, n_in] -> int8 [n_out / 8, n_in / 2, 8, 2] with one scale an output */
export function quantizeRows(p: Pack): void {
  const n_in = p.n_in;
  const n_out = p.n_out;
  const pairs = (n_in + 1) >> 1;
  const bytes = <usize>n_in << 2;
  const rows = p.own + <usize>threadIndex() * p.own_bytes + 64; // [n_in + 1, 8]
  for (let unit = first((n_out + PANEL - 1) / PANEL); unit >= 0; unit = next()) {
    const n = <usize>unit * PANEL;
    const count = <usize>min<u32>(PANEL, n_out - <u32>n);
    memory.fill(rows, 0, (<usize>pairs << 6));
    for (let r: usize = 0; r < count; r++) {
      const from = p.from + (n + r) * bytes;
      for (let i: usize = 0; i < bytes; i += 4) store<f32>(rows + (i << 3) + (r << 2), load<f32>(from + i));
    }
    let low = f32x4.splat(0);
    let high = low;
    for (let k: usize = 0; k < n_in; k++) {
      low = f32x4.max(low, f32x4.abs(v128.load(rows + (k << 5))));
      high = f32x4.max(high, f32x4.abs(v128.load(rows + (k << 5), 16)));
    }
    quantizePanel(p, rows, pairs, n, low, high);
  }
  barrier();
}

/** One panel [2 pairs, 8] with its largest values -> int8 [pairs, 8, 2] and 8 scales. */
function quantizePanel(p: Pack, rows: usize, pairs: u32, n: usize, low: v128, high: v128): void {
  const scale = p.scale + (n << 2);
  v128.store(scale, f32x4.div(low, f32x4.splat(127)));
  v128.store(scale, f32x4.div(high, f32x4.splat(127)), 16);
  // An output of zeros has scale 0 and integers 0: 127 / 0 is left out.
  const lows = v128.and(f32x4.div(f32x4.splat(127), low), f32x4.gt(low, f32x4.splat(0)));
  const highs = v128.and(f32x4.div(f32x4.splat(127), high), f32x4.gt(high, f32x4.splat(0)));
  let sumLow = i32x4.splat(0);
  let sumHigh = sumLow;
  let to = p.to + (n >> 3) * (<usize>pairs << 4);
  for (let pair: u32 = 0; pair < pairs; pair++) {
    const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(rows), lows)));
    const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(rows, 16), highs)));
    const c = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(rows, 32), lows)));
    const d = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(rows, 48), highs)));
    sumLow = i32x4.add(sumLow, i32x4.add(i32x4.abs(a), i32x4.abs(c)));
    sumHigh = i32x4.add(sumHigh, i32x4.add(i32x4.abs(b), i32x4.abs(d)));
    const even = i16x8.narrow_i32x4_s(a, b);
    const odd = i16x8.narrow_i32x4_s(c, d);
    const bytes = i8x16.narrow_i16x8_s(even, odd); // 8 of the even input, 8 of the odd one
    v128.store(to, i8x16.shuffle(bytes, bytes, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
    rows += 64;
    to += 16;
  }
  v128.store(p.own + <usize>threadIndex() * p.own_bytes, i32x4.max_s(sumLow, sumHigh));
  const four = p.own + <usize>threadIndex() * p.own_bytes;
  for (let i: usize = 0; i < 16; i += 4) raise(changetype<usize>(p) + offsetof<Pack>("most"), load<u32>(four + i));
}
