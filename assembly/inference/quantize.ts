/** Packs weights into panels as int8: each thread its share; a barrier must follow. */
import { PANEL } from "../abi";
import { first, next, threadIndex } from "../threads";
import { largest } from "../vector";
import { Pack } from "./model";

/** Raises a word that all threads see to at least this value. */
function raise(address: usize, value: u32): void {
  let old = atomic.load<u32>(address);
  while (old < value) {
    const seen = atomic.cmpxchg<u32>(address, old, value);
    if (seen == old) return;
    old = seen;
  }
}

/** Panels rounded together: their source lines are whole cache lines, and stay in the cache. */
const WIDTH: u32 = 4;
/** 1.5 * 2^23: adding it to a small number rounds it to a whole one, ties to even, in the lowest bits. */
const MAGIC: f32 = 12582912.0;

/** x * inverse rounded, as four int32. The product must lie within -128 to 128. */
// @ts-ignore: decorator
@inline
function whole(x: v128, inverse: v128): v128 {
  const magic = f32x4.splat(MAGIC);
  return i32x4.sub(f32x4.add(f32x4.mul(x, inverse), magic), magic);
}

/** 127 / most, or 0: an all-zero output has scale 0 and integers 0. */
// @ts-ignore: decorator
@inline
function inverseOf(most: v128): v128 {
  return v128.and(f32x4.div(f32x4.splat(127), most), f32x4.gt(most, f32x4.splat(0)));
}

/** The sums of 16 int8's absolute values, in fours: added to four int32. */
// @ts-ignore: decorator
@inline
function addAbsolute(sum: v128, bytes: v128): v128 {
  return i32x4.add(sum, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(i8x16.abs(bytes))));
}

/** [n_in, n_out] -> int8 [n_out / 8, n_in / 2, 8, 2] with one scale per output */
export function quantize_linear(p: Pack): void {
  const panels = (p.n_out + PANEL - 1) / PANEL;
  const top = p.own + <usize>threadIndex() * p.own_bytes; // [WIDTH, 8]
  const line = <usize>p.n_out << 2;
  for (let unit = first((panels + WIDTH - 1) / WIDTH); unit >= 0; unit = next()) {
    const begin = <u32>unit * WIDTH;
    const end = min(begin + WIDTH, panels);
    const n = begin * PANEL;
    if (n + WIDTH * PANEL <= p.n_out) {
      columnsLargest(p.from + (<usize>n << 2), line, p.n_in, top);
      for (let panel = begin; panel < end; panel++)
        quantizePanel(p, panel, p.from + (<usize>panel << 5), line, top + (<usize>(panel - begin) << 5));
    } else
      for (let panel = begin; panel < end; panel++) {
        // The last outputs: a panel of their own, padded with zeros.
        const count = <usize>min(PANEL, p.n_out - panel * PANEL) << 2;
        const rows = top + 256; // [n_in, 8]
        memory.fill(rows, 0, <usize>p.n_in << 5);
        const from = p.from + (<usize>panel << 5);
        memory.fill(top, 0, 32);
        for (let k: usize = 0; k < p.n_in; k++) {
          const row = rows + (k << 5);
          memory.copy(row, from + k * line, count);
          v128.store(top, f32x4.max(v128.load(top), f32x4.abs(v128.load(row))));
          v128.store(top, f32x4.max(v128.load(top, 16), f32x4.abs(v128.load(row, 16))), 16);
        }
        quantizePanel(p, panel, rows, 32, top);
      }
  }
}

/** The largest absolute values of 32 columns. from [n_in, 32], `line` bytes from row to row -> to [32] */
function columnsLargest(from: usize, line: usize, n_in: u32, to: usize): void {
  const zero = f32x4.splat(0);
  let a = zero, b = zero, c = zero, d = zero, e = zero, f = zero, g = zero, h = zero;
  for (let k: u32 = 0; k < n_in; k++) {
    a = f32x4.max(a, f32x4.abs(v128.load(from)));
    b = f32x4.max(b, f32x4.abs(v128.load(from, 16)));
    c = f32x4.max(c, f32x4.abs(v128.load(from, 32)));
    d = f32x4.max(d, f32x4.abs(v128.load(from, 48)));
    e = f32x4.max(e, f32x4.abs(v128.load(from, 64)));
    f = f32x4.max(f, f32x4.abs(v128.load(from, 80)));
    g = f32x4.max(g, f32x4.abs(v128.load(from, 96)));
    h = f32x4.max(h, f32x4.abs(v128.load(from, 112)));
    from += line;
  }
  v128.store(to, a);
  v128.store(to, b, 16);
  v128.store(to, c, 32);
  v128.store(to, d, 48);
  v128.store(to, e, 64);
  v128.store(to, f, 80);
  v128.store(to, g, 96);
  v128.store(to, h, 112);
}

/** One panel: from [n_in, 8], `line` bytes from row to row, most [8] -> int8 [n_in / 2, 8, 2] and 8 scales */
function quantizePanel(p: Pack, panel: u32, from: usize, line: usize, most: usize): void {
  const low = v128.load(most);
  const high = v128.load(most, 16);
  const lows = inverseOf(low);
  const highs = inverseOf(high);
  const scale = p.scale + (<usize>panel << 5);
  v128.store(scale, f32x4.div(low, f32x4.splat(127)));
  v128.store(scale, f32x4.div(high, f32x4.splat(127)), 16);
  let sumLow = i32x4.splat(0);
  let sumHigh = sumLow;
  let to = p.to + <usize>panel * (<usize>((p.n_in + 1) >> 1) << 4);
  for (let k: u32 = 0; k < p.n_in; k += 2) {
    const even = i16x8.narrow_i32x4_s(whole(v128.load(from), lows), whole(v128.load(from, 16), highs));
    from += line;
    let odd = i16x8.splat(0);
    if (k + 1 < p.n_in) odd = i16x8.narrow_i32x4_s(whole(v128.load(from), lows), whole(v128.load(from, 16), highs));
    from += line;
    const bytes = i8x16.narrow_i16x8_s(even, odd); // 8 of the even input, 8 of the odd one
    const pairs = i8x16.shuffle(bytes, bytes, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    v128.store(to, pairs);
    const sums = i16x8.extadd_pairwise_i8x16_u(i8x16.abs(pairs)); // one per output
    sumLow = i32x4.add(sumLow, i32x4.extend_low_i16x8_u(sums));
    sumHigh = i32x4.add(sumHigh, i32x4.extend_high_i16x8_u(sums));
    to += 16;
  }
  raiseToLargest(p, i32x4.max_s(sumLow, sumHigh));
}

/** Raises `most` to the largest of four int32. */
function raiseToLargest(p: Pack, sums: v128): void {
  const pairs = i32x4.max_s(sums, v128.shuffle<i32>(sums, sums, 2, 3, 0, 1));
  const one = max(i32x4.extract_lane(pairs, 0), i32x4.extract_lane(pairs, 1));
  raise(changetype<usize>(p) + offsetof<Pack>("most"), one);
}

/** [n_out, n_in] -> int8 [n_out / 8, n_in / 2, 8, 2] with one scale per output */
export function quantize_rows(p: Pack): void {
  const n_in = p.n_in;
  const bytes = <usize>n_in << 2;
  const pairs = (n_in + 1) >> 1;
  const width = <usize>((n_in + 15) & ~15); // of a row as int8
  const rows = p.own + <usize>threadIndex() * p.own_bytes; // int8 [8, width]
  for (let unit = first((p.n_out + PANEL - 1) / PANEL); unit >= 0; unit = next()) {
    const n = <usize>unit * PANEL;
    memory.fill(rows, 0, PANEL * width);
    for (let r: usize = 0; r < PANEL; r++) {
      const scale = p.scale + ((n + r) << 2);
      if (n + r < p.n_out) store<f32>(scale, quantizeWeightRow(p, p.from + (n + r) * bytes, rows + r * width));
      else store<f32>(scale, 0);
    }
    // Pairs of inputs are the units now: 8 rows by 8 pairs are transposed at a time.
    let to = p.to + (<usize>unit * pairs << 4);
    for (let k: usize = 0; k < width; k += 16) transpose(rows + k, width, to + (k << 3), min<u32>(8, pairs - <u32>(k >> 1)));
  }
}

/** One row [n_in] -> int8 [n_in]. @returns its scale */
function quantizeWeightRow(p: Pack, from: usize, to: usize): f32 {
  const bytes = <usize>p.n_in << 2;
  const sixteens = bytes & ~63;
  let top = f32x4.splat(0);
  for (let i: usize = 0; i < sixteens; i += 16) top = f32x4.max(top, f32x4.abs(v128.load(from + i)));
  let most = largest(top);
  for (let i = sixteens; i < bytes; i += 4) most = max<f32>(most, abs<f32>(load<f32>(from + i)));
  const inverse = inverseOf(f32x4.splat(most));
  let sums = i32x4.splat(0);
  for (let i: usize = 0; i < sixteens; i += 64) {
    const low = i16x8.narrow_i32x4_s(whole(v128.load(from + i), inverse), whole(v128.load(from + i, 16), inverse));
    const high = i16x8.narrow_i32x4_s(whole(v128.load(from + i, 32), inverse), whole(v128.load(from + i, 48), inverse));
    const sixteen = i8x16.narrow_i16x8_s(low, high);
    v128.store(to + (i >> 2), sixteen);
    sums = addAbsolute(sums, sixteen);
  }
  let total = i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3);
  for (let i = sixteens; i < bytes; i += 4) {
    const value = i32x4.extract_lane(whole(v128.load32_splat(from + i), inverse), 0);
    store<i8>(to + (i >> 2), <i8>value);
    total += abs(value);
  }
  raise(changetype<usize>(p) + offsetof<Pack>("most"), total);
  return most / 127;
}

/** Transposes int16 [8 rows, 8]. from: `width` bytes from row to row -> to [count <= 8, 8] */
function transpose(from: usize, width: usize, to: usize, count: u32): void {
  const a = v128.load(from);
  const b = v128.load(from + width);
  const c = v128.load(from + 2 * width);
  const d = v128.load(from + 3 * width);
  const e = v128.load(from + 4 * width);
  const f = v128.load(from + 5 * width);
  const g = v128.load(from + 6 * width);
  const h = v128.load(from + 7 * width);
  transposeHalf(
    v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11), v128.shuffle<i16>(c, d, 0, 8, 1, 9, 2, 10, 3, 11),
    v128.shuffle<i16>(e, f, 0, 8, 1, 9, 2, 10, 3, 11), v128.shuffle<i16>(g, h, 0, 8, 1, 9, 2, 10, 3, 11), to, count,
  );
  if (count > 4)
    transposeHalf(
      v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15), v128.shuffle<i16>(c, d, 4, 12, 5, 13, 6, 14, 7, 15),
      v128.shuffle<i16>(e, f, 4, 12, 5, 13, 6, 14, 7, 15), v128.shuffle<i16>(g, h, 4, 12, 5, 13, 6, 14, 7, 15),
      to + 64, count - 4,
    );
}

/** Rows in pairs, four columns: ab holds a0 b0 a1 b1 a2 b2 a3 b3. */
// @ts-ignore: decorator
@inline
function transposeHalf(ab: v128, cd: v128, ef: v128, gh: v128, to: usize, count: u32): void {
  const low = v128.shuffle<i32>(ab, cd, 0, 4, 1, 5); // a0b0 c0d0 a1b1 c1d1
  const low2 = v128.shuffle<i32>(ef, gh, 0, 4, 1, 5);
  const high = v128.shuffle<i32>(ab, cd, 2, 6, 3, 7);
  const high2 = v128.shuffle<i32>(ef, gh, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(low, low2, 0, 2));
  if (count > 1) v128.store(to, v128.shuffle<i64>(low, low2, 1, 3), 16);
  if (count > 2) v128.store(to, v128.shuffle<i64>(high, high2, 0, 2), 32);
  if (count > 3) v128.store(to, v128.shuffle<i64>(high, high2, 1, 3), 48);
}
