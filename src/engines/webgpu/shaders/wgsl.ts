import type { Order } from "../order.js";

/**
 * The programs that the GPU runs, in WGSL. Letters: E n_embd, D numbers of a head, H heads, V vocabulary.
 *
 * Every number is a function of its own row and of the positions before it, by sums in one fixed order: what else
 * is in a batch, and how a prompt was cut, changes no bit on the same GPU.
 *
 * Matrices lie in panels of 8 outputs, [n_out / 8, order.size, 8], inputs in the order of order.ts, as float32
 * (two vec4 an input) or as pairs of float16 (one vec4 of u32). Rows of activations lie in that order too.
 */

/** Outputs in a panel. */
export const PANEL = 8;
/** Positions in a page of the cache. */
export const PAGE = 32;
/** Sums of slices that are added together before the rest. */
export const GROUP = 8;
/** Words before the rows' own in the buffer that tells what a pass is about: rows, rows with logits. */
export const PASS_HEAD = 4;
/** Words a row: token id, position, where its list of pages begins, which row the logits of this number are for. */
export const PASS_ROW = 4;

/** How weights are stored. */
export type Storage = "float32" | "float16";

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
export const each = (n: number, line: (i: number) => string, separator = "\n"): string =>
  range(n).map(line).join(separator);

/** A number as WGSL reads it: 1 would be a whole one. */
export const float = (value: number): string => (Number.isInteger(value) ? value.toFixed(1) : `${value}`);

/** The code of each place in an order: `placeOf(k)`. */
export const place = ({ slices, chunk }: Order): string =>
  `fn place(k: u32) -> u32 { return (k % ${chunk}u) * ${slices}u + k / ${chunk}u; }`;
