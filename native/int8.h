/**
 * y = x w + b with int8 weights [n_out / 8, n_in / 2, 8, 2] and int16 rows. Integer sums are exact, so they may be
 * added in any order.
 */

#if defined(__x86_64__)
/** sum + the products of pairs: eight outputs. */
INLINE __m256i dot8(__m256i sum, __m256i w, __m256i x) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
  return _mm256_dpwssd_epi32(sum, w, x);
#elif defined(__AVXVNNI__)
  return _mm256_dpwssd_avx_epi32(sum, w, x);
#else
  return _mm256_add_epi32(sum, _mm256_madd_epi16(w, x));
#endif
}
#endif

#if LANES == 16
typedef __m512i S; /* sixteen sums */
typedef __m512i W;
INLINE S dot(S sum, W w, W x) {
#if defined(__AVX512VNNI__)
  return _mm512_dpwssd_epi32(sum, w, x);
#else
  return _mm512_add_epi32(sum, _mm512_madd_epi16(w, x));
#endif
}
INLINE S no_sums(void) { return _mm512_setzero_si512(); }
INLINE W pair(const int16_t *x) { return _mm512_set1_epi32(*(const int32_t *)x); }
/** One pair of inputs of two panels. */
INLINE W widen(const int8_t *w, size_t panel) {
  return _mm512_cvtepi8_epi16(_mm256_inserti128_si256(
    _mm256_castsi128_si256(_mm_loadu_si128((const void *)w)), _mm_loadu_si128((const void *)(w + panel)), 1));
}
/** One panel: two pairs of inputs at a time, the first in the low half. */
typedef __m512i P;
INLINE P no_panel(void) { return _mm512_setzero_si512(); }
INLINE P two_pairs(const int16_t *x) {
  return _mm512_mask_set1_epi32(_mm512_set1_epi32(*(const int32_t *)x), 0xff00, *(const int32_t *)(x + 2));
}
INLINE P dot_panel(P sum, const int8_t *w, P x) {
  return dot(sum, _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)w)), x);
}
INLINE P last_pair(P sum, const int8_t *w, const int16_t *x) {
  return dot(sum, _mm512_zextsi256_si512(_mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)w))), _mm512_set1_epi32(*(const int32_t *)x));
}
INLINE i8 panel_sums(P s) {
  return (i8)_mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64(s, 1));
}
#elif defined(__x86_64__)
typedef __m256i S;
typedef __m256i W;
INLINE S dot(S sum, W w, W x) { return dot8(sum, w, x); }
INLINE S no_sums(void) { return _mm256_setzero_si256(); }
INLINE W pair(const int16_t *x) { return _mm256_set1_epi32(*(const int32_t *)x); }
INLINE W widen(const int8_t *w, size_t panel) { (void)panel; return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)w)); }
typedef struct { __m256i even, odd; } P;
INLINE P no_panel(void) { return (P){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
INLINE P two_pairs(const int16_t *x) { return (P){pair(x), pair(x + 2)}; }
INLINE P dot_panel(P sum, const int8_t *w, P x) {
  return (P){dot8(sum.even, widen(w, 0), x.even), dot8(sum.odd, widen(w + 16, 0), x.odd)};
}
INLINE P last_pair(P sum, const int8_t *w, const int16_t *x) { sum.even = dot8(sum.even, widen(w, 0), pair(x)); return sum; }
INLINE i8 panel_sums(P s) { return (i8)_mm256_add_epi32(s.even, s.odd); }
#else
/* Each pair's two products stay apart, in four sums of two outputs each, until the end. */
typedef struct { int32x4_t part[4]; } S;
typedef struct { int16x8_t low, high; } W;
INLINE S dot(S s, W w, W x) {
  s.part[0] = vmlal_s16(s.part[0], vget_low_s16(w.low), vget_low_s16(x.low));
  s.part[1] = vmlal_high_s16(s.part[1], w.low, x.low);
  s.part[2] = vmlal_s16(s.part[2], vget_low_s16(w.high), vget_low_s16(x.low));
  s.part[3] = vmlal_high_s16(s.part[3], w.high, x.low);
  return s;
}
INLINE S no_sums(void) { const int32x4_t z = vdupq_n_s32(0); return (S){{z, z, z, z}}; }
INLINE W pair(const int16_t *x) { const int16x8_t v = vreinterpretq_s16_s32(vdupq_n_s32(*(const int32_t *)x)); return (W){v, v}; }
INLINE W widen(const int8_t *w, size_t panel) {
  (void)panel;
  const int8x16_t v = vld1q_s8(w);
  return (W){vmovl_s8(vget_low_s8(v)), vmovl_high_s8(v)};
}
typedef S P;
INLINE i8 panel_sums(P s) {
  const int32x4_t low = vpaddq_s32(s.part[0], s.part[1]), high = vpaddq_s32(s.part[2], s.part[3]);
  i8 v;
  __builtin_memcpy(&v, &low, 16);
  __builtin_memcpy((char *)&v + 16, &high, 16);
  return v;
}
INLINE P no_panel(void) { return no_sums(); }
typedef struct { W even, odd; } X2;
#define two_pairs(x) ((X2){pair(x), pair((x) + 2)})
INLINE P dot_panel(P sum, const int8_t *w, X2 x) { return dot(dot(sum, widen(w, 0), x.even), widen(w + 16, 0), x.odd); }
INLINE P last_pair(P sum, const int8_t *w, const int16_t *x) { return dot(sum, widen(w, 0), pair(x)); }
#endif

/** 8 sums become outputs. */
INLINE void finish_sums(float *y, const float *b, i8 s, const float *scale, float row_scale, int mode) {
  finish8(y, b, (__builtin_convertvector(s, f8) * row_scale) * load8(scale), mode);
}

/** One row by a few panels, `distance` panels apart. */
INLINE void int8_streams(const Linear *l, u32 p, u32 distance, int streams, const int16_t *x, float row_scale, float *y, int mode) {
  const u32 pairs = (l->n_in + 1) / 2;
  const size_t panel = (size_t)pairs * 16;
  const int8_t *w = (const int8_t *)l->w + p * panel;
  P sum[8];
  for (int s = 0; s < streams; s++) sum[s] = no_panel();
  u32 k = 0;
  for (; k + 2 <= pairs; k += 2) {
    const __typeof__(two_pairs(x)) v = two_pairs(x + 2 * k);
#pragma clang loop unroll(full)
    for (int s = 0; s < streams; s++) sum[s] = dot_panel(sum[s], w + s * distance * panel + (size_t)k * 16, v);
  }
  if (k < pairs)
    for (int s = 0; s < streams; s++) sum[s] = last_pair(sum[s], w + s * distance * panel + (size_t)k * 16, x + 2 * k);
#pragma clang loop unroll(full)
  for (int s = 0; s < streams; s++) {
    const size_t at = ((size_t)p + (size_t)s * distance) * 8;
    finish_sums(y + at, l->b ? l->b + at : 0, panel_sums(sum[s]), l->scale + at, row_scale, mode);
  }
}

enum { INT8_STREAMS = 4 };

static __attribute__((noinline)) void int8_streams_all(const Linear *l, u32 p, u32 distance, const int16_t *x, float row_scale, float *y, int mode) {
  int8_streams(l, p, distance, INT8_STREAMS, x, row_scale, y, mode);
}
static __attribute__((noinline)) void int8_stream(const Linear *l, u32 p, const int16_t *x, float row_scale, float *y, int mode) {
  int8_streams(l, p, 0, 1, x, row_scale, y, mode);
}

/** Like linear_row(). */
static void int8_row(Thread *t, const Linear *l, const int16_t *x, float row_scale, float *y, int mode) {
  const u32 panels = l->n_out / PANEL, threads = thread_count(t);
  begin_units(t);
  for (; t->part < threads; t->part++) {
    const u32 owner = (t->thread + t->part) % threads;
    const u32 begin = (u64)panels * owner / threads, end = (u64)panels * (owner + 1) / threads;
    const u32 each = (end - begin) / INT8_STREAMS, units = end - begin - each * (INT8_STREAMS - 1);
    t->units += units;
    for (int64_t u = claim(t, owner, units); u >= 0; u = claim(t, owner, units)) {
      if (u < each) int8_streams_all(l, begin + u, each, x, row_scale, y, mode);
      else int8_stream(l, begin + u + each * (INT8_STREAMS - 1), x, row_scale, y, mode);
    }
  }
  end_units(t);
}

/** A vector of sums becomes outputs. */
INLINE void finish_wide(float *y, const float *b, S s, const float *scale, float row_scale, int mode) {
#if LANES == 16
  const i16 v = (i16)s;
  finishv(y, b, (__builtin_convertvector(v, f16) * row_scale) * load16(scale), mode);
#elif defined(__x86_64__)
  finish_sums(y, b, (i8)s, scale, row_scale, mode);
#else
  finish_sums(y, b, panel_sums(s), scale, row_scale, mode);
#endif
}

/** A few rows by two vectors of outputs. */
INLINE void int8_rows(int rows, const Linear *l, u32 p, const int16_t *x, const float *scales, float *y, size_t ys, int mode) {
  const u32 pairs = (l->n_in + 1) / 2;
  const size_t panel = (size_t)pairs * 16, xs = 2 * (size_t)pairs, at = (size_t)p * 8;
  const int8_t *w = (const int8_t *)l->w + p * panel;
  S s0[MOST_ROWS], s1[MOST_ROWS];
  for (int r = 0; r < rows; r++) s0[r] = s1[r] = no_sums();
  for (u32 k = 0; k < pairs; k++) {
    const W w0 = widen(w + (size_t)k * 16, panel), w1 = widen(w + WIDE * panel + (size_t)k * 16, panel);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      const W v = pair(x + r * xs + 2 * k);
      s0[r] = dot(s0[r], w0, v);
      s1[r] = dot(s1[r], w1, v);
    }
  }
  const float *b = l->b ? l->b + at : 0, *scale = l->scale + at;
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
    finish_wide(y + r * ys + at, b, s0[r], scale, scales[r], mode);
    finish_wide(y + r * ys + at + LANES, b ? b + LANES : 0, s1[r], scale + LANES, scales[r], mode);
  }
}

typedef void Int8Rows(const Linear *, u32, const int16_t *, const float *, float *, size_t, int);
#define INT8_ROWS(R) \
  static __attribute__((noinline)) void int8_rows##R(const Linear *l, u32 p, const int16_t *x, const float *scales, float *y, size_t ys, int mode) { \
    int8_rows(R, l, p, x, scales, y, ys, mode); \
  }
INT8_ROWS(1)
INT8_ROWS(2)
INT8_ROWS(3)
INT8_ROWS(4)
INT8_ROWS(5)
INT8_ROWS(6)
#if LANES == 16
INT8_ROWS(7)
INT8_ROWS(8)
#endif
static Int8Rows *const int8_some[] = {
  0, int8_rows1, int8_rows2, int8_rows3, int8_rows4, int8_rows5, int8_rows6,
#if LANES == 16
  int8_rows7, int8_rows8,
#endif
};

/** The same with int8 weights [n_out / 8, n_in / 2, 8, 2]. x [rows, n_in rounded up to even] int16, scales [rows] */
static void linear_int8(Thread *t, const Linear *l, u32 rows, const int16_t *x, const float *scales, float *y, size_t ys, int mode) {
  if (rows == 1) return int8_row(t, l, x, scales[0], y, mode);
  const u32 panels = l->n_out / PANEL;
  const size_t xs = 2 * (size_t)((l->n_in + 1) / 2);
  for (int64_t unit = first(t, (panels + UNIT - 1) / UNIT); unit >= 0; unit = next(t)) {
    const u32 begin = unit * UNIT, end = min_u32(begin + UNIT, panels);
    u32 p = begin;
    for (; p + PAIR <= end; p += PAIR)
      for (u32 r = 0; r < rows;) {
        const u32 count = rows_now(rows - r);
        int8_some[count](l, p, x + r * xs, scales + r, y + r * ys, ys, mode);
        r += count;
      }
    for (; p < end; p++)
      for (u32 r = 0; r < rows; r++) int8_stream(l, p, x + r * xs, scales[r], y + r * ys, mode);
  }
}
