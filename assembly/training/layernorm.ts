/** LayerNorm of many rows, and its gradient: each thread its share; a barrier must follow. */
import { inverseDeviation, layerNorm, meanOf } from "../inference/layernorm";
import { first, next } from "../threads";
import { lanes, madd, nmadd, part, putPart, sum16 } from "../vector";

/** LayerNorm of rows, or its gradient. */
@unmanaged
export class LayerNorm {
  rows: u32;
  n: u32;
  g: usize;
  b: usize;
  /** [rows, n] */
  x: usize;
  /** [rows, n]; in layernorm_backward, y's gradient */
  y: usize;
  /** [rows, n]: the gradient of x; y's contribution is added to it. */
  dx: usize;
  /** [n] each, added to; or 0 */
  dg: usize;
  db: usize;
  /** [rows, 2]: mean, 1 / deviation */
  moments: usize;
  epsilon: f32;
}

/** Rows and columns per unit. */
const ROWS: u32 = 16;
const COLUMNS: u32 = 32;

/** y = LayerNorm(x). x, y [rows, n] */
export function layernorm_forward(p: LayerNorm): void {
  const bytes = <usize>p.n << 2;
  for (let unit = first((p.rows + ROWS - 1) / ROWS); unit >= 0; unit = next()) {
    const end = min(<u32>unit * ROWS + ROWS, p.rows);
    for (let r = <u32>unit * ROWS; r < end; r++) layerNorm(p.g, p.b, p.epsilon, p.x + r * bytes, p.y + r * bytes, p.n);
  }
}

/** dx += the gradient through LayerNorm; stores the rows' moments. x, y, dx [rows, n] -> moments [rows, 2] */
export function layernorm_backward_rows(p: LayerNorm): void {
  const bytes = <usize>p.n << 2;
  for (let unit = first((p.rows + ROWS - 1) / ROWS); unit >= 0; unit = next()) {
    const end = min(<u32>unit * ROWS + ROWS, p.rows);
    for (let r = <u32>unit * ROWS; r < end; r++)
      backwardRow(p.x + r * bytes, p.y + r * bytes, p.g, p.dx + r * bytes, p.n, p.moments + (<usize>r << 3), p.epsilon);
  }
}

/** dg and db, once the moments of all rows are stored. x, y [rows, n] -> dg, db [n] */
export function layernorm_backward_columns(p: LayerNorm): void {
  for (let unit = first((p.n + COLUMNS - 1) / COLUMNS); unit >= 0; unit = next())
    for (let i = <u32>unit * COLUMNS; i < min(<u32>unit * COLUMNS + COLUMNS, p.n); i += 4)
      backwardColumns(p, i, min<u32>(4, p.n - i));
}

/** With h = (x - mean) / deviation: dx += (g dy - mean(g dy) - h mean(g dy h)) / deviation. */
function backwardRow(x: usize, dy: usize, g: usize, dx: usize, n: u32, moments: usize, epsilon: f32): void {
  const mean = meanOf(x, n);
  const inverse = inverseDeviation(x, n, mean, epsilon);
  store<f32>(moments, mean);
  store<f32>(moments, inverse, 4);
  const means = f32x4.splat(mean);
  const inverses = f32x4.splat(inverse);
  const zero = f32x4.splat(0);
  let a = zero, b = zero, c = zero, d = zero; // g dy
  let e = zero, f = zero, k = zero, l = zero; // g dy h
  const whole = <usize>(n & ~15) << 2;
  let i: usize = 0;
  for (; i < whole; i += 64) {
    const d0 = f32x4.mul(v128.load(g + i), v128.load(dy + i));
    a = f32x4.add(a, d0);
    e = madd(d0, f32x4.mul(f32x4.sub(v128.load(x + i), means), inverses), e);
    const d1 = f32x4.mul(v128.load(g + i, 16), v128.load(dy + i, 16));
    b = f32x4.add(b, d1);
    f = madd(d1, f32x4.mul(f32x4.sub(v128.load(x + i, 16), means), inverses), f);
    const d2 = f32x4.mul(v128.load(g + i, 32), v128.load(dy + i, 32));
    c = f32x4.add(c, d2);
    k = madd(d2, f32x4.mul(f32x4.sub(v128.load(x + i, 32), means), inverses), k);
    const d3 = f32x4.mul(v128.load(g + i, 48), v128.load(dy + i, 48));
    d = f32x4.add(d, d3);
    l = madd(d3, f32x4.mul(f32x4.sub(v128.load(x + i, 48), means), inverses), l);
  }
  const rest = <i32>(n & 15);
  if (rest) {
    // g and dy are zero beyond the row, and so are their products.
    const d0 = f32x4.mul(part(g + i, rest), part(dy + i, rest));
    a = f32x4.add(a, d0);
    e = madd(d0, normalized(x + i, rest, means, inverses), e);
    const d1 = f32x4.mul(part(g + i + 16, rest - 4), part(dy + i + 16, rest - 4));
    b = f32x4.add(b, d1);
    f = madd(d1, normalized(x + i + 16, rest - 4, means, inverses), f);
    const d2 = f32x4.mul(part(g + i + 32, rest - 8), part(dy + i + 32, rest - 8));
    c = f32x4.add(c, d2);
    k = madd(d2, normalized(x + i + 32, rest - 8, means, inverses), k);
    const d3 = f32x4.mul(part(g + i + 48, rest - 12), part(dy + i + 48, rest - 12));
    d = f32x4.add(d, d3);
    l = madd(d3, normalized(x + i + 48, rest - 12, means, inverses), l);
  }
  const firsts = f32x4.splat(sum16(a, b, c, d) / <f32>n);
  const seconds = f32x4.splat(sum16(e, f, k, l) / <f32>n);
  const fours = <usize>(n & ~3) << 2;
  for (i = 0; i < fours; i += 16) {
    const h = f32x4.mul(f32x4.sub(v128.load(x + i), means), inverses);
    const v = nmadd(h, seconds, f32x4.sub(f32x4.mul(v128.load(g + i), v128.load(dy + i)), firsts));
    v128.store(dx + i, madd(v, inverses, v128.load(dx + i)));
  }
  const last = <i32>(n & 3);
  if (!last) return;
  const h = f32x4.mul(f32x4.sub(part(x + i, last), means), inverses);
  const v = nmadd(h, seconds, f32x4.sub(f32x4.mul(part(g + i, last), part(dy + i, last)), firsts));
  putPart(dx + i, madd(v, inverses, part(dx + i, last)), last);
}

/** h of the values at x, zeros beyond the row. */
// @ts-ignore: decorator
@inline
function normalized(x: usize, count: i32, means: v128, inverses: v128): v128 {
  return v128.and(f32x4.mul(f32x4.sub(part(x, count), means), inverses), lanes(count));
}

/** dg += sum of dy h, db += sum of dy over all rows in order, for up to 4 columns. */
function backwardColumns(p: LayerNorm, column: u32, count: i32): void {
  const bytes = <usize>p.n << 2;
  const at = <usize>column << 2;
  let x = p.x + at;
  let dy = p.y + at;
  const end = p.moments + (<usize>p.rows << 3);
  let g = f32x4.splat(0);
  let b = g;
  for (let m = p.moments; m < end; m += 8) {
    const d = part(dy, count);
    const h = f32x4.mul(f32x4.sub(part(x, count), v128.load_splat<f32>(m)), v128.load_splat<f32>(m, 4));
    g = madd(d, h, g);
    b = f32x4.add(b, d);
    x += bytes;
    dy += bytes;
  }
  putPart(p.dg + at, f32x4.add(part(p.dg + at, count), g), count);
  putPart(p.db + at, f32x4.add(part(p.db + at, count), b), count);
}
