/**
 * y = x w + b, with weights in panels of 8 outputs [n_out / 8, n_in, 8], as float32 or float16. In every kernel here,
 * each output has one accumulator and adds its products in input order. Weights are read in place, a few rows of x at a
 * time: repacking them first for many rows was no faster (Zen 5).
 */

/** 8 weights. */
INLINE f8 weights(const void *w, size_t at, int half) {
  return half ? load8h((const _Float16 *)w + at) : load8((const float *)w + at);
}

/** One vector of weights: from one panel, or from two. */
INLINE V wide_weights(const void *w, size_t at, size_t panel, int half) {
#if LANES == 16
  if (half) {
    h16 v;
    v.lo = *(const h8u *)((const _Float16 *)w + at);
    v.hi = *(const h8u *)((const _Float16 *)w + at + panel);
    return __builtin_convertvector(v, f16);
  }
  return load_panels((const float *)w + at, panel);
#else
  (void)panel;
  return weights(w, at, half);
#endif
}

/** Stores 8 sums. @param b the panel's bias, or none */
INLINE void finish8(float *y, const float *b, f8 v, int mode) {
  if (b) v += load8(b);
  if (mode == ADD) v = load8(y) + v;
  else if (mode == GELU_NEW) v = gelu_new8(v);
  else if (mode != STORE) v = activate8(v, mode);
  store8(y, v);
}

INLINE void finishv(float *y, const float *b, V v, int mode) {
#if LANES == 16
  if (b) v += load16(b);
  if (mode == ADD) v = load16(y) + v;
  else if (mode == GELU_NEW) v = gelu_new16(v);
  else if (mode != STORE) v = activate16(v, mode);
  store16(y, v);
#else
  finish8(y, b, v, mode);
#endif
}

/** Streams of weights that one thread reads at once: memory delivers most that way. */
enum { STREAMS = 4 };

/** One row by `streams` panels, `distance` panels apart. */
INLINE void row_streams(
  const void *w, size_t at, size_t distance, int streams, u32 n_in, const float *x, float *y, const float *b, int mode, int half
) {
  const size_t panel = (size_t)n_in * 8;
  f8 sum[STREAMS];
  for (int s = 0; s < streams; s++) sum[s] = (f8)(0);
  for (u32 k = 0; k < n_in; k++) {
    const f8 v = (f8)(x[k]);
#pragma clang loop unroll(full)
    for (int s = 0; s < streams; s++)
      sum[s] = fma8(weights(w, at + s * distance * panel + (size_t)k * 8, half), v, sum[s]);
  }
#pragma clang loop unroll(full)
  for (int s = 0; s < streams; s++) finish8(y + s * distance * 8, b ? b + s * distance * 8 : 0, sum[s], mode);
}

static __attribute__((noinline)) void row_streams_f32(const void *w, size_t at, size_t distance, u32 n_in, const float *x, float *y, const float *b, int mode) {
  row_streams(w, at, distance, STREAMS, n_in, x, y, b, mode, 0);
}
static __attribute__((noinline)) void row_streams_f16(const void *w, size_t at, size_t distance, u32 n_in, const float *x, float *y, const float *b, int mode) {
  row_streams(w, at, distance, STREAMS, n_in, x, y, b, mode, 1);
}

/** One row: a thread reads its share of the panels as STREAMS streams, each from its own quarter of the share. */
INLINE void linear_row(Thread *t, const Linear *l, const float *x, float *y, int mode, int half) {
  const u32 panels = l->n_out / PANEL, threads = thread_count(t);
  begin_units(t);
  for (; t->part < threads; t->part++) {
    const u32 owner = (t->thread + t->part) % threads;
    const u32 begin = (u64)panels * owner / threads, end = (u64)panels * (owner + 1) / threads;
    const u32 each = (end - begin) / STREAMS, units = end - begin - each * (STREAMS - 1);
    t->units += units;
    for (int64_t u = claim(t, owner, units); u >= 0; u = claim(t, owner, units)) {
      const u32 p = u < each ? begin + u : begin + u + each * (STREAMS - 1);
      const size_t at = (size_t)p * l->n_in * 8;
      const float *b = l->b ? l->b + p * 8 : 0;
      if (u >= each) row_streams(l->w, at, 0, 1, l->n_in, x, y + p * 8, b, mode, half);
      else if (half) row_streams_f16(l->w, at, each, l->n_in, x, y + p * 8, b, mode);
      else row_streams_f32(l->w, at, each, l->n_in, x, y + p * 8, b, mode);
    }
  }
  end_units(t);
}

/** Panels in a unit when there are several rows: two vectors of outputs, four with 512 bits. */
enum { WIDE = LANES / 8, UNIT = 4, PAIR = 2 * WIDE };

/** A few rows by two vectors of outputs, straight from the panels. */
INLINE void rows_pair(
  int rows, const void *w, size_t at, u32 n_in, const float *x, size_t xs, float *y, size_t ys, const float *b, int mode, int half
) {
  const size_t panel = (size_t)n_in * 8;
  V s0[8], s1[8];
  for (int r = 0; r < rows; r++) s0[r] = s1[r] = (V)(0);
  for (u32 k = 0; k < n_in; k++) {
    const V w0 = wide_weights(w, at + (size_t)k * 8, panel, half);
    const V w1 = wide_weights(w, at + WIDE * panel + (size_t)k * 8, panel, half);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      const V v = (V)(x[r * xs + k]);
      s0[r] = fmav(w0, v, s0[r]);
      s1[r] = fmav(w1, v, s1[r]);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
    finishv(y + r * ys, b, s0[r], mode);
    finishv(y + r * ys + LANES, b ? b + LANES : 0, s1[r], mode);
  }
}

#define ROWS_PAIR(R) \
  static __attribute__((noinline)) void rows_pair##R(const void *w, size_t at, u32 n_in, const float *x, size_t xs, float *y, size_t ys, const float *b, int mode, int half) { \
    if (half) rows_pair(R, w, at, n_in, x, xs, y, ys, b, mode, 1); \
    else rows_pair(R, w, at, n_in, x, xs, y, ys, b, mode, 0); \
  }
ROWS_PAIR(1)
ROWS_PAIR(2)
ROWS_PAIR(3)
ROWS_PAIR(4)
ROWS_PAIR(5)
ROWS_PAIR(6)
#if LANES == 16
ROWS_PAIR(7)
ROWS_PAIR(8)
enum { MOST_ROWS = 8 };
#else
enum { MOST_ROWS = 6 };
#endif
typedef void RowsPair(const void *, size_t, u32, const float *, size_t, float *, size_t, const float *, int, int);
static RowsPair *const rows_pairs[] = {
  0, rows_pair1, rows_pair2, rows_pair3, rows_pair4, rows_pair5, rows_pair6,
#if LANES == 16
  rows_pair7, rows_pair8,
#endif
};

/** How many of the remaining rows to do now: the last ones in two halves rather than a full block and a remainder. */
static u32 rows_now(u32 left) {
  return left <= MOST_ROWS ? left : left < 2 * MOST_ROWS ? (left + 1) / 2 : MOST_ROWS;
}

/** Several rows by one panel, for the panels left over at the end. */
INLINE void rows_panel(const void *w, size_t at, u32 n_in, u32 rows, const float *x, size_t xs, float *y, size_t ys, const float *b, int mode, int half) {
  for (u32 r = 0; r < rows; r++) row_streams(w, at, 0, 1, n_in, x + r * xs, y + r * ys, b, mode, half);
}

/** y = x w + b: this thread's share. x [rows, n_in], xs values from row to row; w [n_out / 8, n_in, 8]; y [rows, n_out], ys from row to row */
INLINE void linear(Thread *t, const Linear *l, u32 rows, const float *x, size_t xs, float *y, size_t ys, int mode, int half) {
  if (rows == 1) return linear_row(t, l, x, y, mode, half);
  const u32 panels = l->n_out / PANEL, n_in = l->n_in;
  for (int64_t unit = first(t, (panels + UNIT - 1) / UNIT); unit >= 0; unit = next(t)) {
    const u32 begin = unit * UNIT, end = min_u32(begin + UNIT, panels);
    u32 p = begin;
    for (; p + PAIR <= end; p += PAIR) {
      const size_t at = (size_t)p * n_in * 8;
      const float *b = l->b ? l->b + p * 8 : 0;
      float *to = y + p * 8;
      for (u32 r = 0; r < rows;) {
        const u32 count = rows_now(rows - r);
        rows_pairs[count](l->w, at, n_in, x + r * xs, xs, to + r * ys, ys, b, mode, half);
        r += count;
      }
    }
    for (; p < end; p++)
      rows_panel(l->w, (size_t)p * n_in * 8, n_in, rows, x, xs, y + p * 8, ys, l->b ? l->b + p * 8 : 0, mode, half);
  }
}

static void linear_float32(Thread *t, const Linear *l, u32 rows, const float *x, size_t xs, float *y, size_t ys, int mode) {
  linear(t, l, rows, x, xs, y, ys, mode, 0);
}
static void linear_float16(Thread *t, const Linear *l, u32 rows, const float *x, size_t xs, float *y, size_t ys, int mode) {
  linear(t, l, rows, x, xs, y, ys, mode, 1);
}
