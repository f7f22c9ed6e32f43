/** LayerNorm and the embedding: one row at a time, so a row's bits depend on that row alone. */
import { PANEL, WeightType } from "../abi";
import { first, next } from "../threads";
import { lanes, madd, part, putPart, sum16 } from "../vector";
import { quantizeActivations } from "./linear_int8";
import { Linear, Model, Norm } from "./model";

/** The mean of a row. x [n] */
export function meanOf(x: usize, n: u32): f32 {
  const whole = <usize>(n & ~15) << 2;
  const zero = f32x4.splat(0);
  let a = zero, b = zero, c = zero, d = zero;
  let i: usize = 0;
  for (; i < whole; i += 64) {
    a = f32x4.add(a, v128.load(x + i));
    b = f32x4.add(b, v128.load(x + i, 16));
    c = f32x4.add(c, v128.load(x + i, 32));
    d = f32x4.add(d, v128.load(x + i, 48));
  }
  const rest = <i32>(n & 15);
  if (rest) {
    a = f32x4.add(a, part(x + i, rest));
    b = f32x4.add(b, part(x + i + 16, rest - 4));
    c = f32x4.add(c, part(x + i + 32, rest - 8));
    d = f32x4.add(d, part(x + i + 48, rest - 12));
  }
  return sum16(a, b, c, d) / <f32>n;
}

/** 1 / sqrt(variance + epsilon) of a row, with the variance divided by n: openai/gpt-2 src/model.py, norm(). x [n] */
export function inverseDeviation(x: usize, n: u32, mean: f32, epsilon: f32): f32 {
  const whole = <usize>(n & ~15) << 2;
  const means = f32x4.splat(mean);
  const zero = f32x4.splat(0);
  let a = zero, b = zero, c = zero, d = zero;
  let i: usize = 0;
  for (; i < whole; i += 64) {
    const x0 = f32x4.sub(v128.load(x + i), means);
    a = madd(x0, x0, a);
    const x1 = f32x4.sub(v128.load(x + i, 16), means);
    b = madd(x1, x1, b);
    const x2 = f32x4.sub(v128.load(x + i, 32), means);
    c = madd(x2, x2, c);
    const x3 = f32x4.sub(v128.load(x + i, 48), means);
    d = madd(x3, x3, d);
  }
  const rest = <i32>(n & 15);
  if (rest) {
    a = addSquare(a, x + i, means, rest);
    b = addSquare(b, x + i + 16, means, rest - 4);
    c = addSquare(c, x + i + 32, means, rest - 8);
    d = addSquare(d, x + i + 48, means, rest - 12);
  }
  return <f32>1.0 / sqrt<f32>(sum16(a, b, c, d) / <f32>n + epsilon);
}

function addSquare(sum: v128, x: usize, means: v128, count: i32): v128 {
  const d = v128.and(f32x4.sub(part(x, count), means), lanes(count));
  return madd(d, d, sum);
}

/** y = (x - mean) / deviation g + b. x, y, g, b [n] */
export function layerNorm(g: usize, b: usize, epsilon: f32, x: usize, y: usize, n: u32): void {
  const mean = meanOf(x, n);
  const means = f32x4.splat(mean);
  const inverses = f32x4.splat(inverseDeviation(x, n, mean, epsilon));
  const whole = <usize>(n & ~3) << 2;
  let i: usize = 0;
  for (; i < whole; i += 16) {
    const d = f32x4.mul(f32x4.sub(v128.load(x + i), means), inverses);
    v128.store(y + i, madd(d, v128.load(g + i), v128.load(b + i)));
  }
  const rest = <i32>(n & 3);
  if (!rest) return;
  const d = f32x4.mul(f32x4.sub(part(x + i, rest), means), inverses);
  putPart(y + i, madd(d, part(g + i, rest), part(b + i, rest)), rest);
}

/**
 * A matrix's input: LayerNorm of x if there is a norm, rounded to int16 if the matrix is int8.
 * @param x [rows, n_in], xs values from row to row @param a LayerNorm's rows, as values from row to row
 * @param q [rows, n_in] int16, n_in rounded up to even @param scales [rows]
 * @param alone not 0: this thread does all rows by itself; 0: its share of them, and a barrier must follow
 */
export function prepare(
  l: Linear, norm: Norm | null, rows: u32, x: usize, xs: u32, a: usize, as: u32, q: usize, scales: usize, alone: u32,
): void {
  const n = l.n_in;
  const quantized = l.type == WeightType.INT8;
  const bytes = ((<usize>n + 1) >> 1) << 2; // of a row as int16
  for (let r = alone ? 0 : first(rows); r >= 0; ) {
    const row = <usize>r;
    let from = x + (row * xs << 2);
    if (norm !== null) {
      const to = a + (row * as << 2);
      layerNorm(norm.g, norm.b, norm.epsilon, from, to, n);
      from = to;
    }
    if (quantized) store<f32>(scales + (row << 2), quantizeActivations(from, q + row * bytes, n, l.limit));
    if (alone) r = <u32>r + 1 < rows ? r + 1 : -1;
    else r = next();
  }
}

/** x = wte[id] + wpe[position] for this thread's rows; a barrier must follow. */
export function embed(m: Model): void {
  for (let unit = first(m.rows); unit >= 0; unit = next()) {
    const row = <usize>unit << 2;
    embedRow(m, load<u32>(m.ids + row), load<u32>(m.positions + row), m.x + row * m.embd_stride);
  }
}

/** One token's row, gathered from the panels that the logits use. x [n_embd] */
function embedRow(m: Model, id: u32, position: u32, x: usize): void {
  const n = m.n_embd;
  const wte = m.wte;
  const panel = <usize>(id / PANEL);
  const lane = <usize>(id % PANEL);
  const wpe = m.wpe + (<usize>position * n << 2);
  if (wte.type == WeightType.INT8) {
    const scale = f32x4.splat(load<f32>(wte.scale + (<usize>id << 2)));
    const w = wte.w + panel * (<usize>((n + 1) >> 1) << 4) + (lane << 1); // [n / 2, 8, 2]
    for (let i: usize = 0; i < n; i++) {
      const q = f32x4.splat(<f32>load<i8>(w + ((i >> 1) << 4) + (i & 1)));
      v128.store_lane<f32>(x + (i << 2), madd(q, scale, v128.load32_splat(wpe + (i << 2))), 0);
    }
  } else {
    const w = wte.w + panel * (<usize>n << 5) + (lane << 2); // [n, 8]
    for (let i: usize = 0; i < n; i++)
      store<f32>(x + (i << 2), load<f32>(w + (i << 5)) + load<f32>(wpe + (i << 2)));
  }
}
