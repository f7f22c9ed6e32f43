/** A square of this size, read and written, stays in the processor's cache. */
const SQUARE = 32;

/**
 * Transposes a matrix, or part of a larger one: to[c, r] = from[r, c].
 * @param from [n_rows, fromWidth]; its first n_columns columns are read
 * @param to [n_columns, toWidth]; its first n_rows columns are written
 */
export function transpose(
  from: Float32Array,
  fromWidth: number,
  to: Float32Array,
  toWidth: number,
  n_rows: number,
  n_columns: number,
): void {
  for (let r0 = 0; r0 < n_rows; r0 += SQUARE) {
    const r1 = Math.min(n_rows, r0 + SQUARE);
    for (let c0 = 0; c0 < n_columns; c0 += SQUARE) {
      const c1 = Math.min(n_columns, c0 + SQUARE);
      for (let c = c0; c < c1; c++) {
        for (let r = r0; r < r1; r++) to[c * toWidth + r] = from[r * fromWidth + c];
      }
    }
  }
}
