/**
 * Packs matrices into panels for the product's inner loop: a left factor in panels of a few rows [k, LEFT], a right
 * one in panels of a few columns [k, RIGHT]. Panels at the matrix's edge are padded with zeros.
 */

/** Rows of a left panel, columns of a right one: the part of the result that the inner loop keeps in registers. */
export const LEFT: u32 = 5;
export const RIGHT: u32 = 8;
/** Bytes of one k in a panel. */
export const LEFT_BYTES: usize = 4 * LEFT;
export const RIGHT_BYTES: usize = 4 * RIGHT;

/** Four vectors become four columns, written `line` bytes apart. */
// @ts-ignore: decorator
@inline
function putTransposed(a: v128, b: v128, c: v128, d: v128, to: usize, line: usize): void {
  const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const ab2 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const cd2 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5));
  v128.store(to + line, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
  v128.store(to + 2 * line, v128.shuffle<f32>(ab2, cd2, 0, 1, 4, 5));
  v128.store(to + 3 * line, v128.shuffle<f32>(ab2, cd2, 2, 3, 6, 7));
}

/** Four rows of four values, `step` bytes apart, become four columns, `line` bytes apart. */
// @ts-ignore: decorator
@inline
function transpose4(from: usize, step: usize, to: usize, line: usize): void {
  const from2 = from + 2 * step;
  putTransposed(v128.load(from), v128.load(from + step), v128.load(from2), v128.load(from2 + step), to, line);
}

/** The row of a left panel beyond the first four. */
// @ts-ignore: decorator
@inline
function transposeFifth(from: usize, to: usize): void {
  const a = v128.load(from);
  v128.store_lane<f32>(to, a, 0);
  v128.store_lane<f32>(to + LEFT_BYTES, a, 1);
  v128.store_lane<f32>(to + 2 * LEFT_BYTES, a, 2);
  v128.store_lane<f32>(to + 3 * LEFT_BYTES, a, 3);
}

/**
 * Rows that each have their k side by side -> one left panel [k, LEFT].
 * @param step bytes from row to row @param rows 1 to LEFT
 */
export function leftFromRows(from: usize, step: usize, rows: u32, k: u32, to: usize): void {
  const whole: u32 = rows < LEFT ? 0 : k & ~3;
  for (const last = from + (<usize>whole << 2); from < last; from += 16, to += 4 * LEFT_BYTES) {
    transpose4(from, step, to, LEFT_BYTES);
    transposeFifth(from + 4 * step, to + 16);
  }
  edge(from, step, 4, rows, k - whole, to, LEFT);
}

/**
 * Rows that lie side by side, with `step` bytes from k to k -> left panels [rows / LEFT, k, LEFT].
 * @param rows any number @param panel bytes from panel to panel
 */
export function leftFromColumns(from: usize, step: usize, rows: u32, k: u32, to: usize, panel: usize): void {
  const whole = rows / LEFT;
  for (let i: u32 = 0; i < k; i++) {
    let x = from + <usize>i * step;
    let y = to + <usize>i * LEFT_BYTES;
    for (let p: u32 = 0; p < whole; p++) {
      v128.store(y, v128.load(x));
      store<f32>(y, load<f32>(x, 16), 16);
      x += LEFT_BYTES;
      y += panel;
    }
  }
  const rest = rows - whole * LEFT;
  if (rest) edge(from + whole * LEFT_BYTES, 4, step, rest, k, to + whole * panel, LEFT);
}

/**
 * Columns that each have their k side by side -> one right panel [k, RIGHT].
 * @param step bytes from column to column @param columns 1 to RIGHT
 */
export function rightFromRows(from: usize, step: usize, columns: u32, k: u32, to: usize): void {
  const whole: u32 = columns < RIGHT ? 0 : k & ~3;
  // Four at a time: with more columns a multiple of 4 KiB apart, the L1 cache would keep no line for long.
  for (let c: usize = 0; c < RIGHT; c += 4) {
    let x = from + c * step;
    let y = to + (c << 2);
    for (let i: u32 = 0; i < whole; i += 4, x += 16, y += 4 * RIGHT_BYTES) transpose4(x, step, y, RIGHT_BYTES);
  }
  edge(from + (<usize>whole << 2), step, 4, columns, k - whole, to + whole * RIGHT_BYTES, RIGHT);
}

/**
 * Columns that lie side by side, with `step` bytes from k to k -> right panels [columns / RIGHT, k, RIGHT].
 * @param columns any number @param panel bytes from panel to panel
 */
export function rightFromColumns(
  from: usize, step: usize, columns: u32, k: u32, to: usize, panel: usize,
): void {
  const whole = columns / RIGHT;
  for (let i: u32 = 0; i < k; i++) {
    let x = from + <usize>i * step;
    let y = to + <usize>i * RIGHT_BYTES;
    for (let p: u32 = 0; p < whole; p++) {
      for (let v: usize = 0; v < RIGHT_BYTES; v += 16) v128.store(y + v, v128.load(x + v));
      x += RIGHT_BYTES;
      y += panel;
    }
  }
  const rest = columns - whole * RIGHT;
  if (rest) edge(from + whole * RIGHT_BYTES, 4, step, rest, k, to + whole * panel, RIGHT);
}

/**
 * Packs a panel, or its last k, value by value.
 * @param line, step bytes from line to line, from k to k @param lines how many there are @param room how many fit
 */
function edge(from: usize, line: usize, step: usize, lines: u32, k: u32, to: usize, room: u32): void {
  for (let i: u32 = 0; i < k; i++) {
    let x = from + <usize>i * step;
    for (let l: u32 = 0; l < room; l++) {
      store<f32>(to, l < lines ? load<f32>(x) : 0);
      to += 4;
      x += line;
    }
  }
}

/**
 * Transposes panels [k, RIGHT] of results back into rows.
 * @param from [k, RIGHT] @param to address of the first row, `step` bytes from row to row @param rows 1 to RIGHT
 * @param scales RIGHT factors, one per row
 */
export function rowsFromRight(from: usize, k: u32, to: usize, step: usize, rows: u32, scales: usize): void {
  const whole: u32 = rows < RIGHT ? 0 : k & ~3;
  for (let group: usize = 0; group < RIGHT_BYTES; group += 16) {
    const factors = v128.load(scales + group);
    let x = from + group;
    let y = to;
    for (let i: u32 = 0; i < whole; i += 4, x += 4 * RIGHT_BYTES, y += 16) transposeBack(x, y, step, factors);
    to += 4 * step;
  }
  to -= RIGHT * step;
  for (let i = whole; i < k; i++)
    for (let r: usize = 0; r < rows; r++)
      store<f32>(
        to + r * step + (<usize>i << 2), load<f32>(from + i * RIGHT_BYTES + (r << 2)) * load<f32>(scales + (r << 2)),
      );
}

// @ts-ignore: decorator
@inline
function transposeBack(from: usize, to: usize, step: usize, scales: v128): void {
  const a = f32x4.mul(v128.load(from), scales);
  const b = f32x4.mul(v128.load(from + RIGHT_BYTES), scales);
  const c = f32x4.mul(v128.load(from + 2 * RIGHT_BYTES), scales);
  const d = f32x4.mul(v128.load(from + 3 * RIGHT_BYTES), scales);
  putTransposed(a, b, c, d, to, step);
}

/** n rounded up to a multiple. */
// @ts-ignore: decorator
@inline
export function up(n: u32, unit: u32): u32 {
  return ((n + unit - 1) / unit) * unit;
}
