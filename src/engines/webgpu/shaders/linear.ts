import type { Activation } from "../../../model/hparams.js";
import type { Order } from "../order.js";
import { each, float, GROUP, PAGE, PANEL, PASS_HEAD, PASS_ROW, place, type Storage } from "./wgsl.js";

/** Registers in which a thread may prefetch weights. */
const MOST_AHEAD = 64;
/** Floats per group in shared memory, with 8 of padding, so that threads of different groups use different banks. */
const GROUP_ROOM = PANEL * (GROUP + 1);

/** What a product reads, and what becomes of its results. */
export type LinearKind =
  /** LayerNorm(x) times c_attn: queries to a buffer, keys and values into the cache's pages. */
  | "attention-in"
  /** LayerNorm(x) times c_fc, then the activation. */
  | "hidden"
  /** A projection added to x. */
  | "residual"
  /** LayerNorm(x) of the rows whose logits are wanted, times wte. */
  | "logits";

/** A product with one slice of a matrix's columns. */
export interface LinearShape {
  readonly kind: LinearKind;
  readonly storage: Storage;
  /** Inputs. */
  readonly order: Order;
  /** The slice's columns, and the first of them. */
  readonly columns: number;
  readonly first: number;
  /** All columns of the matrix. */
  readonly n_out: number;
  /** Rows that a workgroup computes. */
  readonly rows: number;
  /** The order in which results are stored ("hidden", "residual"). */
  readonly to?: Order;
  /** Heads ("attention-in"). */
  readonly n_head: number;
  readonly activation_function: Activation;
  readonly layer_norm_epsilon: number;
  /** Bytes of shared memory that a workgroup may use. */
  readonly shared: number;
}

/** x / (1 + e^v), without cancellation or infinities. */
const sigmoid = (v: string): string => `return x / (1.0 + exp(min(${v}, 80.0)));`;

/** The coefficients of the normal distribution's tail: assembly/activation.ts has their source. */
const TAIL = [
  -0.07226832050331564, 0.2866112061728086, -0.3366367998641952, 0.35691991474271545, -0.09932081318049032,
  0.12728533293767003, 0.06853641184364917, 0.0851678390008958, 0.083705226416392,
];

/** Each activation of x. gelu_new is the tanh approximation of GELU, x / (1 + e^-2u). */
const ACTIVATION: Readonly<Record<Activation, string>> = {
  gelu_new: `
  let u = ${Math.sqrt(2 / Math.PI)} * (x + 0.044715 * x * x * x);
  ${sigmoid("-2.0 * u")}`,
  gelu: `
  let s = 1.0 / (1.0 + 0.21 * abs(x));
  let p = ${TAIL.slice(1).reduce((sum, term) => `fma(${sum}, s, ${term})`, `${TAIL[0]}`)} * s;
  let tail = p * exp(max(-0.5 * x * x, -80.0));
  return x * select(1.0 - tail, tail, x < 0.0);`,
  relu: "return select(x, 0.0, x < 0.0);", // max() would turn NaN into 0
  silu: sigmoid("-x"),
  quick_gelu: sigmoid("-1.702 * x"),
};

/** Rows whose sums a workgroup adds up at once. */
function rowsTogether({ rows, order, shared }: LinearShape): number {
  const groups = order.slices / GROUP;
  const bytes = groups * (GROUP_ROOM + PANEL) * 4;
  return Math.max(1, Math.min(rows, Math.floor(shared / bytes)));
}

/**
 * input [rows, order.size] times a slice of a matrix [n_in, columns]: workgroup (panel, block of rows), one thread per
 * slice of the inputs.
 */
export function linearShader(shape: LinearShape): string {
  const { kind, storage, order, columns, first, n_out, rows, to, n_head } = shape;
  const { n, slices, chunk, size } = order;
  const groups = slices / GROUP;
  const together = rowsTogether(shape);
  const isNormed = kind !== "residual";
  const isHalf = storage === "float16";
  const D = n / n_head;
  const D4 = Math.ceil(D / 4);
  // As many loads at a time as registers allow: only loads in flight hide the memory's latency.
  // If a thread's weights fit in registers, they load while LayerNorm waits for its sums.
  const isAhead = rows === 1 && chunk * (isHalf ? 4 : 8) <= MOST_AHEAD;
  const unroll = isAhead ? chunk : Math.min(chunk, rows === 1 ? 8 : rows === 2 ? 4 : 2);
  const isLogits = kind === "logits";

  const fetch = (u: number, i: string): string => `
    let at${u} = (${i}) * ${slices}u + t;
    ${
      isHalf
        ? `let raw${u} = w[panel + at${u}];`
        : `let wa${u} = w[2u * (panel + at${u})]; let wb${u} = w[2u * (panel + at${u}) + 1u];`
    }
    ${isAhead ? `let in${u} = input[from0 + at${u}];` : ""}`;
  const read = (r: number, u: number): string => (isAhead ? `in${u}` : `input[from${r} + at${u}]`);
  const step = (u: number, i: string): string => `
    ${isAhead ? "" : fetch(u, i)}
    ${isNormed ? `let g${u} = v[at${u}]; let b${u} = v[${size}u + at${u}];` : ""}
    ${each(rows, (r) =>
      isNormed
        ? `let x${u}_${r} = fma((${read(r, u)} - mean${r}) * scale${r}, g${u}, b${u});`
        : `let x${u}_${r} = ${read(r, u)};`,
    )}`;
  const multiply = (u: number): string => `
    ${
      isHalf
        ? `let wa${u} = vec4f(unpack2x16float(raw${u}.x), unpack2x16float(raw${u}.y));
    let wb${u} = vec4f(unpack2x16float(raw${u}.z), unpack2x16float(raw${u}.w));`
        : ""
    }
    ${each(
      rows,
      (r) =>
        `low${r} = fma(vec4f(x${u}_${r}), wa${u}, low${r}); high${r} = fma(vec4f(x${u}_${r}), wb${u}, high${r});`,
    )}`;
  const block = (count: number, i: string): string =>
    each(count, (u) => step(u, `${i} + ${u}u`)) + each(count, multiply);
  const full = chunk - (chunk % unroll);

  /** Code that sums, for each row, one number of every thread. */
  const reduce = (result: string, from: string): string => `
    ${each(rows, (r) => `part[${r * slices}u + t] = ${from}${r};`)}
    workgroupBarrier();
    for (var j = t; j < ${rows * groups}u; j += ${slices}u) {
      let at = (j / ${groups}u) * ${slices}u + (j % ${groups}u) * ${GROUP}u;
      mid[j] = ${each(GROUP, (m) => `part[at + ${m}u]`, " + ")};
    }
    workgroupBarrier();
    ${each(
      rows,
      (r) => `var ${result}${r} = 0.0;
    for (var j = 0u; j < ${groups}u; j++) { ${result}${r} += mid[${r * groups}u + j]; }`,
    )}`;
  const square = (r: string, value: string): string =>
    `let d${r} = ${value} - mean${r}; square${r} = fma(d${r}, d${r}, square${r});`;
  const norm = `
    ${each(rows, (r) => `var sum${r} = 0.0;`)}
    ${
      isAhead
        ? each(chunk, (u) => `sum0 += in${u};`, " ")
        : `for (var i = 0u; i < ${chunk}u; i++) {
      ${each(rows, (r) => `sum${r} += input[from${r} + i * ${slices}u + t];`)}
    }`
    }
    ${reduce("total", "sum")}
    ${each(rows, (r) => `let mean${r} = total${r} * ${1 / n}; var square${r} = 0.0;`)}
    ${
      isAhead
        ? each(chunk, (u) => `if (t * ${chunk}u + ${u}u < ${n}u) { ${square("0", `in${u}`)} }`)
        : `for (var i = 0u; i < ${chunk}u; i++) {
      if (t * ${chunk}u + i < ${n}u) {
        ${each(rows, (r) => square(`${r}`, `input[from${r} + i * ${slices}u + t]`))}
      }
    }`
    }
    workgroupBarrier();
    ${reduce("squares", "square")}
    ${each(rows, (r) => `let scale${r} = 1.0 / sqrt(squares${r} * ${1 / n} + ${float(shape.layer_norm_epsilon)});`)}
    workgroupBarrier();`;

  const store = {
    "attention-in": `
      let sum = value + v[${2 * size}u + column];
      if (column < ${n}u) {
        output[row * ${n}u + column] = sum;
      } else {
        let which = column / ${n}u - 1u; // 0 keys, 1 values
        let head = (column % ${n}u) / ${D}u;
        let d = (column % ${n}u) % ${D}u;
        let about = ${PASS_HEAD}u + ${PASS_ROW}u * row;
        let position = about_pass[about + 1u];
        let page = about_pass[about_pass[about + 2u] + position / ${PAGE}u];
        let slot = position % ${PAGE}u;
        let start = ((page * 2u + which) * ${n_head}u + head) * ${PAGE * D4 * 4}u;
        let at = select((d / 4u * ${PAGE}u + slot) * 4u + d % 4u, slot * ${D4 * 4}u + d, which == 1u);
        cache[start + at] = sum;
      }`,
    hidden: `output[row * ${to?.size}u + place(column)] = activation(value + v[${2 * size}u + column]);`,
    residual: `
      let at = row * ${to?.size}u + place(column);
      output[at] += value + v[column];`,
    logits: `output[row * ${n_out}u + column] = value;`,
  }[kind];

  return `
@group(0) @binding(0) var<storage, read> about_pass: array<u32>;
@group(0) @binding(1) var<storage, read> w: array<${isHalf ? "vec4u" : "vec4f"}>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> input: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
${kind === "attention-in" ? "@group(0) @binding(5) var<storage, read_write> cache: array<f32>;" : ""}
var<workgroup> part: array<f32, ${Math.max(together * groups * GROUP_ROOM, isNormed ? rows * slices : 0)}>;
var<workgroup> mid: array<f32, ${Math.max(together * groups * PANEL, isNormed ? rows * groups : 0)}>;
${to ? place(to) : ""}
${kind === "hidden" ? `fn activation(x: f32) -> f32 { ${ACTIVATION[shape.activation_function]} }` : ""}
@compute @workgroup_size(${slices})
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) group: vec3u) {
  let panel = group.x * ${size}u;
  let count = about_pass[${isLogits ? 1 : 0}];
  let first_row = group.y * ${rows}u;
  ${each(rows, (r) => {
    const row = `min(first_row + ${r}u, count - 1u)`;
    const read = isLogits ? `about_pass[${PASS_HEAD + 3}u + ${PASS_ROW}u * ${row}]` : row;
    return `let from${r} = ${read} * ${size}u; var low${r} = vec4f(); var high${r} = vec4f();`;
  })}
  ${isAhead ? each(chunk, (u) => fetch(u, `${u}u`)) : ""}
  ${isNormed ? norm : ""}
  ${isAhead ? block(chunk, "0u") : `for (var i = 0u; i < ${full}u; i += ${unroll}u) { ${block(unroll, "i")} }`}
  ${full < chunk ? `{ ${block(chunk - full, `${full}u`)} }` : ""}
  let mine = t / ${GROUP}u * ${GROUP_ROOM}u + t % ${GROUP}u * ${PANEL}u;
  ${each(Math.ceil(rows / together), (round) => {
    const here = Math.min(together, rows - round * together);
    return `{
    ${each(here, (i) => {
      const r = round * together + i;
      const at = `${i * groups * GROUP_ROOM}u + mine`;
      return ["low", "high"]
        .map((half, h) => each(4, (c) => `part[${at} + ${h * 4 + c}u] = ${half}${r}.${"xyzw"[c]};`, " "))
        .join("\n");
    })}
    workgroupBarrier();
    for (var j = t; j < ${here * groups * PANEL}u; j += ${slices}u) {
      let at = j / ${PANEL}u * ${GROUP_ROOM}u + j % ${PANEL}u;
      mid[j] = ${each(GROUP, (m) => `part[at + ${m * PANEL}u]`, " + ")};
    }
    workgroupBarrier();
    for (var j = t; j < ${here * PANEL}u; j += ${slices}u) {
      let row = first_row + ${round * together}u + j / ${PANEL}u;
      let own = group.x * ${PANEL}u + j % ${PANEL}u;
      let column = ${first}u + own;
      if (row < count && own < ${columns}u) {
        var value = 0.0;
        for (var g = 0u; g < ${groups}u; g++) {
          value += mid[(j / ${PANEL}u * ${groups}u + g) * ${PANEL}u + j % ${PANEL}u];
        }
        ${store}
      }
    }
    ${(round + 1) * together < rows ? "workgroupBarrier();" : ""}
  }`;
  })}
}`;
}
