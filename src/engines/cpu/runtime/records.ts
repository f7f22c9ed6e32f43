/** The records that the threads read; the classes in assembly/ have the same fields in the same order. */

export const LINEAR = ["n_in", "n_out", "w", "b", "scale", "limit"] as const;
export const NORM = ["g", "b"] as const;
export const LAYER = ["ln_1", "c_attn", "c_proj", "ln_2", "c_fc", "c_proj_mlp"] as const;
export const BLOCK = ["row", "count", "position", "pages", "out"] as const;
export const PACK = ["from", "to", "scale", "n_in", "n_out", "most", "own", "own_bytes"] as const;
export const MODEL = [
  ...["n_embd", "n_head", "n_layer", "layers", "wte", "wpe", "ln_f"],
  ...["embd_stride", "qkv_stride", "hidden_stride", "page_layer"],
  ...["x", "last_x", "a", "qkv", "hidden", "quantized", "row_scale", "own", "own_bytes"],
  ...["rows", "ids", "positions", "row_pages", "blocks", "n_blocks"],
  ...["last_blocks", "n_last_blocks", "n_last", "logits", "wide"],
] as const;

/** A record's values by name. */
export type Values<Fields extends readonly string[]> = Record<Fields[number], number>;

/** Bytes of a record. */
export function bytesOf(fields: readonly string[]): number {
  return fields.length * 4;
}

/** Fields that are float32; all others are unsigned integers. */
const FLOATS: ReadonlySet<string> = new Set(["limit", "factor", "mean", "rate", "correction"]);

/** Writes a record's words, or some of them. */
export function write<Fields extends readonly string[]>(
  memory: WebAssembly.Memory,
  at: number,
  fields: Fields,
  values: Partial<Values<Fields>>,
): void {
  const view = new DataView(memory.buffer, at, bytesOf(fields));
  for (const [name, value] of Object.entries(values) as [string, number][]) {
    const offset = fields.indexOf(name) * 4;
    if (FLOATS.has(name)) view.setFloat32(offset, value, true);
    else view.setUint32(offset, value, true);
  }
}

/** Reads one word of a record. */
export function read<Fields extends readonly string[]>(
  memory: WebAssembly.Memory,
  at: number,
  fields: Fields,
  name: Fields[number],
): number {
  return new DataView(memory.buffer, at, bytesOf(fields)).getUint32(fields.indexOf(name) * 4, true);
}
