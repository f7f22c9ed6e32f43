/**
 * Matrices brought into panels for the product's inner loop: a left factor in panels of 5 rows [k, 5], a right
 * one in panels of 8 columns [k, 8]. What a panel lacks at the matrix's edge is filled with zeros.
 */

/** Rows of a left panel, columns of a right one: what the inner loop keeps of the result in registers. */
export const LEFT: u32 = 5;
export const RIGHT: u32 = 8;
/** Bytes of one k in a panel. */
export const LEFT_BYTES: usize = 20;
export const RIGHT_BYTES: usize = 32;
/** Columns of a wide right panel: for processors and programs whose vectors hold eight values. */
export const WIDE: u32 = 16;
export const WIDE_BYTES: usize = 64;

/**
 * Rows that lie with their k's side by side -> one left panel [k, 5].
 * @param step bytes from row to row @param rows 1 to 5
 */
export function leftFromRows(from: usize, step: usize, rows: u32, k: u32, to: usize): void {
  if (rows < LEFT) return edge(from, step, 4, rows, k, to, LEFT, LEFT_BYTES);
  const end = from + (<usize>k << 2);
  const r1 = step;
  const r2 = r1 + step;
  const r3 = r2 + step;
  const r4 = r3 + step;
  for (const last = from + (<usize>(k & ~3) << 2); from < last; from += 16, to += 4 * LEFT_BYTES) {
    const a = v128.load(from);
    const b = v128.load(from + r1);
    const c = v128.load(from + r2);
    const d = v128.load(from + r3);
    const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
    const cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
    const ab2 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
    const cd2 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5));
    v128.store(to, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7), 20);
    v128.store(to, v128.shuffle<f32>(ab2, cd2, 0, 1, 4, 5), 40);
    v128.store(to, v128.shuffle<f32>(ab2, cd2, 2, 3, 6, 7), 60);
    store<f32>(to, load<f32>(from + r4), 16);
    store<f32>(to, load<f32>(from + r4, 4), 36);
    store<f32>(to, load<f32>(from + r4, 8), 56);
    store<f32>(to, load<f32>(from + r4, 12), 76);
  }
  for (; from < end; from += 4, to += LEFT_BYTES) {
    store<f32>(to, load<f32>(from));
    store<f32>(to, load<f32>(from + r1), 4);
    store<f32>(to, load<f32>(from + r2), 8);
    store<f32>(to, load<f32>(from + r3), 12);
    store<f32>(to, load<f32>(from + r4), 16);
  }
}

/**
 * Rows that lie with their k's `step` bytes apart, side by side themselves -> left panels [rows / 5, k, 5].
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
  if (rest) edge(from + <usize>whole * LEFT_BYTES, 4, step, rest, k, to + <usize>whole * panel, LEFT, LEFT_BYTES);
}

/** Columns that lie with their k's side by side -> one right panel [k, 8]. @param columns 1 to 8 */
export function rightFromRows(from: usize, step: usize, columns: u32, k: u32, to: usize): void {
  rightFromRowsInto(from, step, columns, k, to, RIGHT_BYTES);
}

/**
 * Eight columns of a panel that may be wider.
 * @param columns 0 to 8: what is lacking becomes zeros @param line bytes from k to k in the panel
 */
export function rightFromRowsInto(
  from: usize, step: usize, columns: u32, k: u32, to: usize, line: usize,
): void {
  if (columns < RIGHT) return edge(from, step, 4, columns, k, to, RIGHT, line);
  const end = from + (<usize>k << 2);
  const r1 = step;
  const r2 = r1 + step;
  const r3 = r2 + step;
  const half = r3 + step;
  for (const last = from + (<usize>(k & ~3) << 2); from < last; from += 16, to += 4 * line) {
    turn4(from, r1, r2, r3, to, line);
    turn4(from + half, r1, r2, r3, to + 16, line);
  }
  for (; from < end; from += 4, to += line) {
    const low = from + half;
    store<f32>(to, load<f32>(from));
    store<f32>(to, load<f32>(from + r1), 4);
    store<f32>(to, load<f32>(from + r2), 8);
    store<f32>(to, load<f32>(from + r3), 12);
    store<f32>(to, load<f32>(low), 16);
    store<f32>(to, load<f32>(low + r1), 20);
    store<f32>(to, load<f32>(low + r2), 24);
    store<f32>(to, load<f32>(low + r3), 28);
  }
}

/** Four rows of four values become four columns; the columns go `line` bytes apart. */
// @ts-ignore: decorator
@inline
function turn4(from: usize, r1: usize, r2: usize, r3: usize, to: usize, line: usize): void {
  const a = v128.load(from);
  const b = v128.load(from + r1);
  const c = v128.load(from + r2);
  const d = v128.load(from + r3);
  const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const ab2 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const cd2 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5));
  v128.store(to + line, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
  v128.store(to + 2 * line, v128.shuffle<f32>(ab2, cd2, 0, 1, 4, 5));
  v128.store(to + 3 * line, v128.shuffle<f32>(ab2, cd2, 2, 3, 6, 7));
}

/**
 * Columns that lie side by side, their k's `step` bytes apart -> right panels [columns / 8, k, 8], or those of 16.
 * @param line bytes of one k in a panel, 32 or 64 @param panel bytes from panel to panel
 */
export function rightFromColumns(
  from: usize, step: usize, columns: u32, k: u32, to: usize, line: usize, panel: usize,
): void {
  const width = <u32>(line >> 2);
  const whole = columns / width;
  for (let i: u32 = 0; i < k; i++) {
    let x = from + <usize>i * step;
    let y = to + <usize>i * line;
    for (let p: u32 = 0; p < whole; p++) {
      v128.store(y, v128.load(x));
      v128.store(y, v128.load(x, 16), 16);
      if (line > RIGHT_BYTES) {
        v128.store(y, v128.load(x, 32), 32);
        v128.store(y, v128.load(x, 48), 48);
      }
      x += line;
      y += panel;
    }
  }
  const rest = columns - whole * width;
  if (rest) edge(from + <usize>whole * line, 4, step, rest, k, to + <usize>whole * panel, width, line);
}

/** A panel of fewer lines than it has room for. @param line, step bytes from line to line, from k to k @param out the panel's bytes from k to k */
function edge(
  from: usize, line: usize, step: usize, lines: u32, k: u32, to: usize, room: u32, out: usize,
): void {
  for (let i: u32 = 0; i < k; i++) {
    let x = from + <usize>i * step;
    for (let l: u32 = 0; l < room; l++) {
      store<f32>(to + (<usize>l << 2), l < lines ? load<f32>(x) : 0);
      x += line;
    }
    to += out;
  }
}

/**
 * Panels [k, 8] of results, turned back into rows.
 * @param from [k, 8] @param to address of the first row, `step` bytes from row to row @param rows 1 to 8
 * @param scales 8 factors, one a row
 */
export function rowsFromRight(from: usize, k: u32, to: usize, step: usize, rows: u32, scales: usize): void {
  const low = v128.load(scales);
  const high = v128.load(scales, 16);
  const whole = k & ~3;
  let i: u32 = 0;
  for (; i < whole && rows == RIGHT; i += 4, from += 4 * RIGHT_BYTES, to += 16) {
    turnBack(from, to, step, low);
    turnBack(from + 16, to + 4 * step, step, high);
  }
  for (; i < k; i++, from += RIGHT_BYTES, to += 4)
    for (let r: usize = 0; r < rows; r++)
      store<f32>(to + r * step, load<f32>(from + (r << 2)) * load<f32>(scales + (r << 2)));
}

// @ts-ignore: decorator
@inline
function turnBack(from: usize, to: usize, step: usize, scales: v128): void {
  const a = f32x4.mul(v128.load(from), scales);
  const b = f32x4.mul(v128.load(from, 32), scales);
  const c = f32x4.mul(v128.load(from, 64), scales);
  const d = f32x4.mul(v128.load(from, 96), scales);
  const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const ab2 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const cd2 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5));
  v128.store(to + step, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
  v128.store(to + 2 * step, v128.shuffle<f32>(ab2, cd2, 0, 1, 4, 5));
  v128.store(to + 3 * step, v128.shuffle<f32>(ab2, cd2, 2, 3, 6, 7));
}

/** n rounded up to a multiple. */
// @ts-ignore: decorator
@inline
export function up(n: u32, unit: u32): u32 {
  return ((n + unit - 1) / unit) * unit;
}
