import type { Order } from "../order.js";
import { each, float, GROUP, PAGE, PASS_HEAD, PASS_ROW, place } from "./wgsl.js";

/** The sizes that attention depends on. */
export interface AttentionShape {
  readonly n_head: number;
  /** Features per head. */
  readonly d: number;
  /** What scores are multiplied by. */
  readonly scale: number;
  /** Positions whose scores fit in shared memory at a time, a multiple of a page. */
  readonly block: number;
  readonly threads: number;
  /** Where the results go: the order of E. */
  readonly to: Order;
}

/**
 * Softmax(scale q k) v over a row's pages: workgroup (head, row). A context longer than a block is computed block by
 * block, relative to the largest score so far (Milakov and Gimelshein 2018, arXiv 1805.02867).
 * q [rows, E]; pages [page, 2, H, ...]: keys [D / 4, 32, 4], values [32, D / 4, 4].
 */
export function attentionShader({ n_head, d, scale, block, threads, to }: AttentionShape): string {
  const d4 = Math.ceil(d / 4);
  const columns = Math.min(d4, threads);
  const parts = Math.floor(threads / columns);
  const groups = threads / GROUP;
  const reduce = (
    result: string,
    value: string,
    combine: (a: string, b: string) => string,
    start: string,
  ): string => `
    reduced[t] = ${value};
    workgroupBarrier();
    if (t < ${groups}u) {
      var sum = reduced[t * ${GROUP}u];
      for (var m = 1u; m < ${GROUP}u; m++) { sum = ${combine("sum", `reduced[t * ${GROUP}u + m]`)}; }
      groups[t] = sum;
    }
    workgroupBarrier();
    var ${result} = ${start};
    for (var j = 0u; j < ${groups}u; j++) { ${result} = ${combine(result, "groups[j]")}; }`;
  return `
@group(0) @binding(0) var<storage, read> about_pass: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> cache: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
var<workgroup> query: array<vec4f, ${d4}>;
var<workgroup> scores: array<f32, ${block}>;
var<workgroup> reduced: array<f32, ${threads}>;
var<workgroup> groups: array<f32, ${groups}>;
var<workgroup> partial: array<vec4f, ${parts * d4}>;
var<workgroup> result: array<vec4f, ${d4}>;
${place(to)}
@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) group: vec3u) {
  let head = group.x;
  let row = group.y;
  let length = about_pass[${PASS_HEAD}u + ${PASS_ROW}u * row + 1u] + 1u;
  let pages = about_pass[${PASS_HEAD}u + ${PASS_ROW}u * row + 2u];
  for (var i = t; i < ${d4}u; i += ${threads}u) {
    var part = vec4f();
    let begin = row * ${d * n_head}u + head * ${d}u + i * 4u;
    ${each(4, (c) => (d % 4 === 0 ? `part[${c}] = q[begin + ${c}u];` : `if (i * 4u + ${c}u < ${d}u) { part[${c}] = q[begin + ${c}u]; }`))}
    query[i] = part * ${float(scale)};
    result[i] = vec4f();
  }
  workgroupBarrier();
  var most = -3.0e38;
  var whole = 0.0;
  for (var start = 0u; start < length; start += ${block}u) {
    let n = min(length - start, ${block}u);
    var own_most = -3.0e38;
    for (var p = t; p < n; p += ${threads}u) {
      let page = about_pass[pages + (start + p) / ${PAGE}u];
      let keys = (page * ${2 * n_head}u + head) * ${PAGE * d4}u + p % ${PAGE}u;
      var products = vec4f();
      for (var i = 0u; i < ${d4}u; i++) { products = fma(query[i], cache[keys + i * ${PAGE}u], products); }
      let score = (products.x + products.y) + (products.z + products.w);
      scores[p] = score;
      own_most = max(own_most, score);
    }
    ${reduce("block_most", "own_most", (a, b) => `max(${a}, ${b})`, "most")}
    let shrink = exp(most - block_most);
    most = block_most;
    var own_sum = 0.0;
    for (var p = t; p < n; p += ${threads}u) {
      let weight = exp(scores[p] - most);
      scores[p] = weight;
      own_sum += weight;
    }
    workgroupBarrier();
    ${reduce("block_sum", "own_sum", (a, b) => `${a} + ${b}`, "0.0")}
    whole = whole * shrink + block_sum;
    if (t < ${columns * parts}u) {
      for (var i = t % ${columns}u; i < ${d4}u; i += ${columns}u) {
        var sum = vec4f();
        for (var p = t / ${columns}u; p < n; p += ${parts}u) {
          let page = about_pass[pages + (start + p) / ${PAGE}u];
          let values = (page * ${2 * n_head}u + ${n_head}u + head) * ${PAGE * d4}u;
          sum = fma(vec4f(scores[p]), cache[values + p % ${PAGE}u * ${d4}u + i], sum);
        }
        partial[t / ${columns}u * ${d4}u + i] = sum;
      }
    }
    workgroupBarrier();
    for (var i = t; i < ${d4}u; i += ${threads}u) {
      var sum = result[i] * shrink;
      for (var j = 0u; j < ${parts}u; j++) { sum += partial[j * ${d4}u + i]; }
      result[i] = sum;
    }
    workgroupBarrier();
  }
  for (var i = t; i < ${d}u; i += ${threads}u) {
    output[row * ${to.size}u + place(head * ${d}u + i)] = result[i / 4u][i % 4u] / whole;
  }
}`;
}
