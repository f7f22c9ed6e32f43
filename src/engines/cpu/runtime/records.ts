/**
 * The records that the threads read, 4 bytes per field. The classes in assembly/ have the same fields in the same order
 * (test/engines/cpu/runtime/records.test.ts compares them).
 */

type FieldType = "u32" | "f32";

/** A record's fields in order, and their types: addresses are u32. */
export type Fields = Readonly<Record<string, FieldType>>;

/** A record's values by name. */
export type FieldValues<F extends Fields> = { readonly [Name in keyof F]: number };

/** A record's layout. */
export interface RecordType<F extends Fields = Fields> {
  readonly fields: F;
  /** Bytes of a record. */
  readonly bytes: number;
  readonly offsets: Readonly<Record<keyof F, number>>;
}

function record<F extends Fields>(fields: F): RecordType<F> {
  const offsets = Object.fromEntries(Object.keys(fields).map((name, i) => [name, 4 * i]));
  return { fields, bytes: 4 * Object.keys(fields).length, offsets: offsets as Record<keyof F, number> };
}

/** u32 fields by name. */
const words = <Name extends string>(...names: Name[]): Record<Name, "u32"> =>
  Object.fromEntries(names.map((name) => [name, "u32"])) as Record<Name, "u32">;

/** Writes some or all fields of a record. */
export function write<F extends Fields>(
  memory: WebAssembly.Memory,
  at: number,
  { fields, bytes, offsets }: RecordType<F>,
  values: Partial<FieldValues<F>>,
): void {
  const view = new DataView(memory.buffer, at, bytes);
  for (const name in values) {
    const value = values[name];
    if (value === undefined) continue;
    if (fields[name] === "f32") view.setFloat32(offsets[name], value, true);
    else view.setUint32(offsets[name], value, true);
  }
}

/** Reads one u32 field of a record. */
export function read<F extends Fields>(
  memory: WebAssembly.Memory,
  at: number,
  { bytes, offsets }: RecordType<F>,
  name: keyof F,
): number {
  return new DataView(memory.buffer, at, bytes).getUint32(offsets[name], true);
}

// assembly/inference/model.ts
export const LINEAR = record({ ...words("n_in", "n_out", "w", "b", "scale"), limit: "f32", type: "u32" });
export const NORM = record({ ...words("g", "b"), epsilon: "f32" });
export const LAYER = record({
  ...words("ln_1", "c_attn", "c_proj", "ln_2", "c_fc", "c_proj_mlp"),
  attention_scale: "f32",
});
export const BLOCK = record(words("row", "count", "position", "pages", "out"));
export const MODEL = record({
  ...words("n_embd", "n_head", "n_layer", "layers", "wte", "wpe", "ln_f", "lm_head", "activation"),
  ...words("embd_stride", "qkv_stride", "hidden_stride", "page_layer"),
  ...words("x", "last_x", "a", "qkv", "hidden", "quantized", "row_scale", "own", "own_bytes"),
  ...words("rows", "ids", "positions", "row_pages", "blocks", "n_blocks"),
  ...words("last_blocks", "n_last_blocks", "n_last", "logits", "resume_at"),
});
export const PACK = record(words("from", "to", "scale", "n_in", "n_out", "most", "own", "own_bytes"));

// assembly/training/
export const MATMUL = record({
  ...words("m", "n", "k", "a", "a_row", "a_k", "b", "b_k", "b_column", "c", "c_row", "bias", "add"),
  ...words("shared", "own", "own_bytes"),
});
export const LAYERNORM = record({
  ...words("rows", "n", "g", "b", "x", "y", "dx", "dg", "db", "moments"),
  epsilon: "f32",
});
export const ATTENTION = record({
  ...words("n", "t", "n_head", "n_embd", "qkv", "a", "rows", "da", "dqkv"),
  ...words("own", "own_bytes"),
  scale: "f32",
});
export const VALUES = record({ ...words("n", "rows", "x", "y", "z"), scale: "f32", activation: "u32" });
export const EMBEDDING = record(words("rows", "t", "n", "ids", "wte", "wpe", "x"));
export const CROSSENTROPY = record({
  ...words("rows", "n_vocab", "row", "logits", "targets", "losses"),
  scale: "f32",
});
export const UPDATE = record({
  ...words("n", "values", "gradients", "m", "v"),
  ...({ mean: "f32", rate: "f32", correction: "f32" } as const),
});
