/** LayerNorm and the embedding: one row at a time, so a row's bits depend on that row only. */
import { Model, Norm, PANEL } from "./model";
import { sum } from "../vector";

export const EPSILON: f32 = 1e-5; // openai/gpt-2 src/model.py, norm()

/** y = (x - mean) / sqrt(variance + 1e-5) g + b, the variance divided by n. x, y [n] */
export function layerNorm(norm: Norm, x: usize, y: usize, n: u32): void {
  const bytes = (<usize>n) << 2;
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
  for (let i: usize = 0; i < whole; i += 16) {
    const d = f32x4.mul(f32x4.sub(v128.load(x + i), means), inverses);
    v128.store(y + i, f32x4.add(f32x4.mul(d, v128.load(norm.g + i)), v128.load(norm.b + i)));
  }
  for (let i = whole; i < bytes; i += 4) {
    const d = (load<f32>(x + i) - mean) * inverse;
    store<f32>(y + i, d * load<f32>(norm.g + i) + load<f32>(norm.b + i));
  }
}

/** x = wte[id] + wpe[position]: a token's row is gathered from the panels that the logits use. x [n_embd] */
export function embed(m: Model, id: u32, position: u32, x: usize): void {
  const n = m.n_embd;
  const wte = m.wte;
  const panel = <usize>(id / PANEL);
  const lane = <usize>(id % PANEL);
  const wpe = m.wpe + (<usize>position * n << 2);
  if (wte.scale) {
    const scale = load<f32>(wte.scale + (<usize>id << 2));
    const w = wte.w + panel * (<usize>((n + 1) >> 1) << 4) + (lane << 1); // [n / 2, 8, 2]
    for (let i: usize = 0; i < n; i++)
      store<f32>(x + (i << 2), <f32>load<i8>(w + ((i >> 1) << 4) + (i & 1)) * scale + load<f32>(wpe + (i << 2)));
  } else {
    const w = wte.w + panel * (<usize>n << 5) + (lane << 2); // [n, 8]
    for (let i: usize = 0; i < n; i++)
      store<f32>(x + (i << 2), load<f32>(w + (i << 5)) + load<f32>(wpe + (i << 2)));
  }
}
