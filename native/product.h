/** Training's matrix product: C = A B with factors in any layout; each element is one sum over k in ascending order. */

/** The block of A packed at a time, in panels of TILE rows, and the depth of k done in one go. */
enum { TILE = LANES == 16 ? 12 : 6, COLUMNS = 2 * LANES, DEPTH = 256, SHARED_ROWS = 1536, SHARED_DEPTH = 768 };
/** At least this many units of work per thread, if there is enough; panels packed in one go. */
enum { UNITS = 8, GROUP = 8 };
/** Values between panels: at a distance of a multiple of 4 KiB they would share few lines of the L1 cache. */
enum { GAP = 16 };

/**
 * c = x w for a few rows of x by two vectors of columns; or c continues from its present value.
 * @param w [depth, COLUMNS], ws values from k to k @param xr, xk values from row to row of x and from k to k
 */
INLINE void tile_any(int rows, const float *w, size_t ws, const float *x, size_t xr, size_t xk, u32 depth, float *c, size_t cr, int go_on) {
  V s0[TILE], s1[TILE];
  for (int r = 0; r < rows; r++) {
    __builtin_prefetch(c + r * cr, 1);
    __builtin_prefetch(c + r * cr + LANES, 1);
  }
  for (int r = 0; r < rows; r++) {
    s0[r] = go_on ? loadv(c + r * cr) : (V)(0);
    s1[r] = go_on ? loadv(c + r * cr + LANES) : (V)(0);
  }
  for (u32 k = 0; k < depth; k++) {
    const V w0 = loadv(w + k * ws), w1 = loadv(w + k * ws + LANES);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      const V v = (V)(x[r * xr + k * xk]);
      s0[r] = fmav(w0, v, s0[r]);
      s1[r] = fmav(w1, v, s1[r]);
    }
  }
  for (int r = 0; r < rows; r++) {
    storev(c + r * cr, s0[r]);
    storev(c + r * cr + LANES, s1[r]);
  }
}

#define TILES(NAME, XR, XK)                                                                                         \
  static __attribute__((noinline)) void NAME(                                                                       \
    u32 rows, const float *w, size_t ws, const float *x, size_t xs, u32 depth, float *c, size_t cr, int go_on      \
  ) {                                                                                                               \
    if (rows == TILE) return tile_any(TILE, w, ws, x, XR, XK, depth, c, cr, go_on);                                 \
    for (u32 r = 0; r < rows; r++) tile_any(1, w, ws, x + r * (XR), XR, XK, depth, c + r * cr, cr, go_on);          \
  }
/** Rows stored k by k; columns, whose rows lie side by side; a panel. */
TILES(tile_rows, xs, 1)
TILES(tile_columns, 1, xs)
TILES(tile_panel, 1, (size_t)TILE + 0 * xs)

/** Transposes four rows of four values. */
INLINE void turn(const float *from, size_t step, float *to, size_t line) {
  const f4 a = *(const f4u *)from, b = *(const f4u *)(from + step), c = *(const f4u *)(from + 2 * step), d = *(const f4u *)(from + 3 * step);
  const f4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const f4 ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  *(f4u *)to = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  *(f4u *)(to + line) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  *(f4u *)(to + 2 * line) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
  *(f4u *)(to + 3 * line) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

/** Rows [count, depth], `step` values apart -> [depth, width], zeros beyond `count`. */
INLINE void panel_of_rows(const float *from, size_t step, u32 count, u32 depth, float *to, u32 width) {
  u32 r = 0;
  for (; r + 4 <= count; r += 4) {
    u32 k = 0;
    for (; k + 4 <= depth; k += 4) turn(from + r * step + k, step, to + (size_t)k * width + r, width);
    for (; k < depth; k++)
      for (u32 i = 0; i < 4; i++) to[(size_t)k * width + r + i] = from[(r + i) * step + k];
  }
  for (; r < width; r++)
    for (u32 k = 0; k < depth; k++) to[(size_t)k * width + r] = r < count ? from[r * step + k] : 0;
}

/** Columns [depth, count], `step` values from k to k -> the same */
INLINE void panel_of_columns(const float *from, size_t step, u32 count, u32 depth, float *to, u32 width) {
  for (u32 k = 0; k < depth; k++, from += step, to += width) {
    if (count == width) for (u32 i = 0; i < width; i++) to[i] = from[i];
    else for (u32 i = 0; i < width; i++) to[i] = i < count ? from[i] : 0;
  }
}

static u32 up(u32 n, u32 unit) { return (n + unit - 1) / unit; }

static u32 matmul_blocks(const Product *p) { return up(p->k, SHARED_DEPTH) * up(p->m, SHARED_ROWS); }

/** A block of A: its first row and k, and how many of each. */
typedef struct { u32 row, rows, k, depth; size_t panel; } Part;

static Part part_of(const Product *p, u32 block) {
  const u32 blocks = up(p->m, SHARED_ROWS);
  Part b = {.row = block % blocks * SHARED_ROWS, .k = block / blocks * SHARED_DEPTH};
  b.rows = min_u32(SHARED_ROWS, p->m - b.row);
  b.depth = min_u32(SHARED_DEPTH, p->k - b.k);
  b.panel = (size_t)b.depth * TILE + GAP;
  return b;
}

/** Packs a block of A [m, k] into panels [rows / TILE, depth, TILE] that all threads read. */
static void matmul_pack(Thread *t, const Product *p, u32 block) {
  const Part b = part_of(p, block);
  const u32 panels = up(b.rows, TILE);
  for (int64_t unit = first(t, up(panels, GROUP)); unit >= 0; unit = next(t))
    for (u32 i = unit * GROUP; i < min_u32(unit * GROUP + GROUP, panels); i++) {
      const float *a = p->a + (size_t)(b.row + i * TILE) * p->a_row + (size_t)b.k * p->a_k;
      float *to = p->shared + i * b.panel;
      const u32 count = min_u32(TILE, b.rows - i * TILE);
      if (p->a_k == 1) panel_of_rows(a, p->a_row, count, b.depth, to, TILE);
      else panel_of_columns(a, p->a_k, count, b.depth, to, TILE);
    }
}

/** A few columns of C, from panel `begin` to `end`, over a block's k. */
static void matmul_strip(const Product *p, const Part *b, u32 column, u32 begin, u32 end, float *own) {
  float *const c = own + DEPTH * COLUMNS; // for tiles that reach beyond C
  const u32 columns = min_u32(COLUMNS, p->n - column);
  for (u32 done = 0; done < b->depth; done += DEPTH) {
    const u32 depth = min_u32(DEPTH, b->depth - done), k = b->k + done;
    const float *from = p->b + (size_t)k * p->b_k + (size_t)column * p->b_column;
    if (p->b_column == 1) panel_of_columns(from, p->b_k, columns, depth, own, COLUMNS);
    else panel_of_rows(from, p->b_column, columns, depth, own, COLUMNS);
    const int go_on = k > 0 || p->add, ends = k + depth == p->k;
    for (u32 i = begin; i < end; i++) {
      const u32 rows = min_u32(TILE, b->rows - i * TILE);
      float *to = p->c + (size_t)(b->row + i * TILE) * p->c_row + column;
      const float *a = p->shared + i * b->panel + (size_t)done * TILE;
      if (columns == COLUMNS) {
        tile_panel(rows, own, COLUMNS, a, 0, depth, to, p->c_row, go_on);
        if (ends && p->bias)
          for (u32 r = 0; r < rows; r++)
            for (u32 j = 0; j < COLUMNS; j += LANES)
              storev(to + r * p->c_row + j, loadv(to + r * p->c_row + j) + loadv(p->bias + column + j));
      } else {
        if (go_on) for (u32 r = 0; r < rows; r++) for (u32 j = 0; j < columns; j++) c[r * COLUMNS + j] = to[r * p->c_row + j];
        tile_panel(rows, own, COLUMNS, a, 0, depth, c, COLUMNS, go_on);
        for (u32 r = 0; r < rows; r++)
          for (u32 j = 0; j < columns; j++)
            to[r * p->c_row + j] = ends && p->bias ? c[r * COLUMNS + j] + p->bias[column + j] : c[r * COLUMNS + j];
      }
    }
  }
}

/** C [m, n] += the packed block times its rows of B [k, n]. */
static void matmul_block(Thread *t, const Product *p, u32 block) {
  const Part b = part_of(p, block);
  const u32 panels = up(b.rows, TILE), strips = up(p->n, COLUMNS);
  u32 chunks = up(UNITS * thread_count(t), strips);
  if (chunks > up(panels, GROUP)) chunks = up(panels, GROUP);
  const u32 each = up(panels, chunks);
  for (int64_t unit = first(t, strips * chunks); unit >= 0; unit = next(t)) {
    const u32 begin = unit % chunks * each, end = min_u32(begin + each, panels);
    if (begin < end) matmul_strip(p, &b, unit / chunks * COLUMNS, begin, end, p->own);
  }
}
