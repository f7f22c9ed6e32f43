import type { Order } from "../order.js";
import { each, PANEL, place, type Storage } from "./wgsl.js";

/**
 * Packs float32 rows into a matrix's panels. Each thread stores one input's 8 outputs of a panel.
 * It reads rows k0 .. k0 + rows - 1 of [n_in, n_out] or, if isTransposed, rows n0 .. of [n_out, n_in], and stores
 * columns first .. first + columns - 1.
 */
export function packShader(shape: {
  readonly storage: Storage;
  readonly order: Order;
  readonly n_out: number;
  readonly isTransposed: boolean;
}): string {
  const { storage, order, n_out, isTransposed } = shape;
  const isHalf = storage === "float16";
  const value = (c: number): string =>
    isTransposed
      ? `select(0.0, rows[min((panel * ${PANEL}u + ${c}u) * ${order.n}u + k, arrayLength(&rows) - 1u)], panel * ${PANEL}u + ${c}u < piece.count)`
      : `select(0.0, rows[min((k - piece.start) * ${n_out}u + column + ${c}u, arrayLength(&rows) - 1u)], panel * ${PANEL}u + ${c}u < piece.columns)`;
  return `
struct Piece { start: u32, count: u32, first: u32, columns: u32, first_panel: u32 }
@group(0) @binding(0) var<uniform> piece: Piece;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> w: array<${isHalf ? "vec4u" : "vec4f"}>;
${place(order)}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  ${
    isTransposed
      ? `let k = id.x; if (k >= ${order.n}u) { return; }`
      : `let k = piece.start + id.x; if (id.x >= piece.count) { return; }`
  }
  let panel = id.y;
  let column = piece.first + panel * ${PANEL}u;
  let at = (piece.first_panel + panel) * ${order.size}u + place(k);
  let a = vec4f(${each(4, value, ", ")});
  let b = vec4f(${each(4, (c) => value(c + 4), ", ")});
  ${
    isHalf
      ? `w[at] = vec4u(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));`
      : `w[2u * at] = a; w[2u * at + 1u] = b;`
  }
}`;
}
