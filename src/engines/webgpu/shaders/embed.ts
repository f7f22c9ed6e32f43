import type { Order } from "../order.js";
import { PANEL, PASS_HEAD, PASS_ROW, type Storage } from "./wgsl.js";

/** x = wte[id] + wpe[position] for the ids whose rows are in this slice of wte: one workgroup per row. */
export function embedShader(shape: {
  readonly storage: Storage;
  readonly order: Order;
  readonly first: number;
  readonly columns: number;
  readonly threads: number;
}): string {
  const { storage, order, first, columns, threads } = shape;
  const isHalf = storage === "float16";
  return `
@group(0) @binding(0) var<storage, read> about_pass: array<u32>;
@group(0) @binding(1) var<storage, read> wte: array<${isHalf ? "u32" : "f32"}>;
@group(0) @binding(2) var<storage, read> wpe: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) group: vec3u) {
  let row = group.x;
  let id = about_pass[${PASS_HEAD}u + ${PASS_ROW}u * row] - ${first}u; // an id before the slice wraps round, far above ${columns}
  if (id >= ${columns}u) { return; }
  let position = about_pass[${PASS_HEAD}u + ${PASS_ROW}u * row + 1u];
  let panel = id / ${PANEL}u * ${order.size}u;
  for (var i = t; i < ${order.size}u; i += ${threads}u) {
    let at = (panel + i) * ${PANEL}u + id % ${PANEL}u;
    ${isHalf ? `let value = unpack2x16float(wte[at / 2u])[at % 2u];` : `let value = wte[at];`}
    x[row * ${order.size}u + i] = value + wpe[position * ${order.size}u + i];
  }
}`;
}
