import type { Order } from "../order.js";

/**
 * The programs that the GPU runs, in WGSL. Letters: E n_embd, D features per head, H heads, V vocabulary.
 *
 * Every number depends only on its own row and the positions before it, summed in one fixed order: on the same GPU, no
 * bit depends on the rest of a batch or on how a prompt was cut.
 *
 * Matrices are in panels of 8 outputs, [n_out / 8, order.size, 8], inputs in the order of order.ts, as float32 (two
 * vec4 per input) or as pairs of float16 (one vec4 of u32). Rows of activations are in that order too.
 */

/** Outputs in a panel. */
export const PANEL = 8;
/** Positions in a page of the cache. */
export const PAGE = 32;
/** Slices whose sums are added together first. */
export const GROUP = 8;
/** Words at the start of the buffer that describes a pass: rows, rows with logits, how many of the largest logits. */
export const PASS_HEAD = 4;
/** The one of them with the number of largest logits. */
export const PASS_LARGEST = 2;
/** Words per row: token id, position, where its list of pages starts, which row the logits of this number are for. */
export const PASS_ROW = 4;

/** How weights are stored. */
export type Storage = "float32" | "float16";

/** [0, 1, ..., n - 1] */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
/** Lines of code for 0 .. n - 1. */
export const each = (n: number, line: (i: number) => string, separator = "\n"): string =>
  range(n).map(line).join(separator);

/** A number as a WGSL float: 1 would be an integer. */
export const float = (value: number): string => (Number.isInteger(value) ? value.toFixed(1) : `${value}`);

/** WGSL code for placeOf(k) of an order. */
export const place = ({ slices, chunk }: Order): string =>
  `fn place(k: u32) -> u32 { return (k % ${chunk}u) * ${slices}u + k / ${chunk}u; }`;
