/** LayerNorm of many rows, and its gradient. */
import { EPSILON, layerNorm } from "../inference/norm";
import { Norm } from "../inference/model";
import { barrier, first, next } from "../threads";
import { sum } from "../vector";

@unmanaged
export class NormRows {
  rows: u32;
  n: u32;
  g: usize;
  b: usize;
  /** [rows, n] */
  x: usize;
  /** [rows, n]; on the way back its gradient */
  y: usize;
  /** [rows, n]: the gradient of x, to which y's part is added. */
  dx: usize;
  /** [n] each, added to; or 0 */
  dg: usize;
  db: usize;
  /** [rows, 2]: mean, 1 / deviation */
  moments: usize;
}

/** Rows of a unit; columns of a unit. */
const ROWS: u32 = 16;
const COLUMNS: u32 = 32;

/** y = LayerNorm(x). All threads together; a barrier ends it. */
export function normRows(p: NormRows): void {
  const bytes = <usize>p.n << 2;
  for (let unit = first((p.rows + ROWS - 1) / ROWS); unit >= 0; unit = next()) {
    const end = min(<u32>unit * ROWS + ROWS, p.rows);
    for (let r = <u32>unit * ROWS; r < end; r++)
      // g and b are the record's neighbours, as in Norm.
      layerNorm(changetype<Norm>(changetype<usize>(p) + offsetof<NormRows>("g")), p.x + r * bytes, p.y + r * bytes, p.n);
  }
  barrier();
}

/** dx += the gradient through LayerNorm; dg and db likewise. All threads together; a barrier ends it. */
export function normRowsBack(p: NormRows): void {
  const bytes = <usize>p.n << 2;
  for (let unit = first((p.rows + ROWS - 1) / ROWS); unit >= 0; unit = next()) {
    const end = min(<u32>unit * ROWS + ROWS, p.rows);
    for (let r = <u32>unit * ROWS; r < end; r++)
      rowBack(p.x + r * bytes, p.y + r * bytes, p.g, p.dx + r * bytes, p.n, p.moments + (<usize>r << 3));
  }
  barrier();
  if (!p.dg) return;
  for (let unit = first((p.n + COLUMNS - 1) / COLUMNS); unit >= 0; unit = next())
    for (let i = <u32>unit * COLUMNS; i < min(<u32>unit * COLUMNS + COLUMNS, p.n); i += 4)
      columnsBack(p, i, min<u32>(4, p.n - i));
  barrier();
}

/** One row; keeps its mean and 1 / deviation. The same sums in the same order as layerNorm(). */
function rowBack(x: usize, dy: usize, g: usize, dx: usize, n: u32, moments: usize): void {
  const bytes = <usize>n << 2;
  const whole = bytes & ~15;
  let t = f32x4.splat(0);
  for (let i: usize = 0; i < whole; i += 16) t = f32x4.add(t, v128.load(x + i));
  let total = sum(t);
  for (let i = whole; i < bytes; i += 4) total += load<f32>(x + i);
  const mean = total / <f32>n;
  const means = f32x4.splat(mean);
  t = f32x4.splat(0);
  for (let i: usize = 0; i < whole; i += 16) {
    const d = f32x4.sub(v128.load(x + i), means);
    t = f32x4.add(t, f32x4.mul(d, d));
  }
  let squares = sum(t);
  for (let i = whole; i < bytes; i += 4) {
    const d = load<f32>(x + i) - mean;
    squares += d * d;
  }
  const inverse = <f32>1.0 / sqrt<f32>(squares / <f32>n + EPSILON);
  const inverses = f32x4.splat(inverse);
  store<f32>(moments, mean);
  store<f32>(moments, inverse, 4);
  // With h = (x - mean) / deviation: dx = (g dy - mean(g dy) - h mean(g dy h)) / deviation.
  let t1 = f32x4.splat(0);
  let t2 = f32x4.splat(0);
  for (let i: usize = 0; i < whole; i += 16) {
    const d = f32x4.mul(v128.load(g + i), v128.load(dy + i));
    t1 = f32x4.add(t1, d);
    t2 = f32x4.add(t2, f32x4.mul(d, f32x4.mul(f32x4.sub(v128.load(x + i), means), inverses)));
  }
  let first = sum(t1);
  let second = sum(t2);
  for (let i = whole; i < bytes; i += 4) {
    const d = load<f32>(g + i) * load<f32>(dy + i);
    first += d;
    second += d * ((load<f32>(x + i) - mean) * inverse);
  }
  first /= <f32>n;
  second /= <f32>n;
  const firsts = f32x4.splat(first);
  const seconds = f32x4.splat(second);
  for (let i: usize = 0; i < whole; i += 16) {
    const h = f32x4.mul(f32x4.sub(v128.load(x + i), means), inverses);
    const d = f32x4.sub(f32x4.sub(f32x4.mul(v128.load(g + i), v128.load(dy + i)), firsts), f32x4.mul(h, seconds));
    v128.store(dx + i, f32x4.add(v128.load(dx + i), f32x4.mul(d, inverses)));
  }
  for (let i = whole; i < bytes; i += 4) {
    const h = (load<f32>(x + i) - mean) * inverse;
    const d = load<f32>(g + i) * load<f32>(dy + i) - first - h * second;
    store<f32>(dx + i, load<f32>(dx + i) + d * inverse);
  }
}

/** dg += sum of dy h, db += sum of dy over all rows in order, for up to 4 columns. */
function columnsBack(p: NormRows, column: u32, count: u32): void {
  const bytes = <usize>p.n << 2;
  const at = <usize>column << 2;
  let x = p.x + at;
  let dy = p.y + at;
  const end = p.moments + (<usize>p.rows << 3);
  if (count == 4) {
    let g = f32x4.splat(0);
    let b = g;
    for (let m = p.moments; m < end; m += 8) {
      const d = v128.load(dy);
      const h = f32x4.mul(f32x4.sub(v128.load(x), v128.load_splat<f32>(m)), v128.load_splat<f32>(m, 4));
      g = f32x4.add(g, f32x4.mul(d, h));
      b = f32x4.add(b, d);
      x += bytes;
      dy += bytes;
    }
    v128.store(p.dg + at, f32x4.add(v128.load(p.dg + at), g));
    v128.store(p.db + at, f32x4.add(v128.load(p.db + at), b));
    return;
  }
  for (let i: usize = 0; i < count; i++) {
    let g: f32 = 0;
    let b: f32 = 0;
    let xi = x + (i << 2);
    let di = dy + (i << 2);
    for (let m = p.moments; m < end; m += 8) {
      const d = load<f32>(di);
      g += d * ((load<f32>(xi) - load<f32>(m)) * load<f32>(m, 4));
      b += d;
      xi += bytes;
      di += bytes;
    }
    const to = at + (i << 2);
    store<f32>(p.dg + to, load<f32>(p.dg + to) + g);
    store<f32>(p.db + to, load<f32>(p.db + to) + b);
  }
}
